"""Which handlers an event goes to, and in which order."""

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import Event, RecordedEvent
from eventkit.projection import Projection, ReadModels, Runner, Transaction, on
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import rows


class Fact(Event):
    pass


class Began(Fact):
    pass


class Ended(Fact):
    pass


class Renamed(Event, event_type="NameChanged", aliases=("TitleChanged",)):
    name: str


class TitleChanged(Event):
    name: str


class Log(Projection):
    """Writes down which handler got what, in order."""

    lines = Table(
        "lines",
        MetaData(),
        Column("number", Integer, primary_key=True),
        Column("text", String),
    )

    def note(self, handler: str, recorded: RecordedEvent, tx: Transaction) -> None:
        text = f"{handler} {recorded.type} {recorded.aggregate_id} {recorded.version}"
        tx.insert(self.lines, {"text": text})


@pytest.fixture
def seen(store: SqliteStore, models: ReadModels) -> "Seen":
    return Seen(store, models)


class Seen:
    """What a projection's handlers got."""

    def __init__(self, store: SqliteStore, models: ReadModels) -> None:
        self._store = store
        self._models = models

    def by(self, projection: Projection) -> list[str]:
        Runner(projection, self._store, self._models).run()
        return [text for _, text in rows(self._models, Log.lines)]


def test_a_handler_of_several_classes_gets_the_events_of_all(
    store: SqliteStore, seen: Seen
) -> None:
    class Both(Log):
        name = "both"

        @on(Began, Ended)
        def both(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("both", recorded, tx)

    store.append("a-1", [Began(), Ended()])
    assert seen.by(Both()) == ["both Began a-1 1", "both Ended a-1 2"]


def test_on_above_on_adds_up(store: SqliteStore, seen: Seen) -> None:
    class Both(Log):
        name = "both"

        @on(Began)
        @on(Ended)
        def both(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("both", recorded, tx)

    store.append("a-1", [Began(), Ended()])
    assert seen.by(Both()) == ["both Began a-1 1", "both Ended a-1 2"]


def test_several_handlers_of_an_event_run_in_the_order_in_which_they_are_written(
    store: SqliteStore, seen: Seen
) -> None:
    class Twice(Log):
        name = "twice"

        @on(Began)
        def zeta(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("zeta", recorded, tx)

        @on(Began)
        def alpha(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("alpha", recorded, tx)

    store.append("a-1", [Began()])
    assert seen.by(Twice()) == ["zeta Began a-1 1", "alpha Began a-1 1"]


def test_a_handler_of_a_base_class_gets_the_events_of_all_its_subclasses(
    store: SqliteStore, seen: Seen
) -> None:
    class Facts(Log):
        name = "facts"

        @on(Fact)
        def fact(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("fact", recorded, tx)

        @on(Ended)
        def ended(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("ended", recorded, tx)

    store.append("a-1", [Began(), Renamed(name="x"), Ended()])
    assert seen.by(Facts()) == ["fact Began a-1 1", "fact Ended a-1 3", "ended Ended a-1 3"]


def test_a_handler_of_event_gets_all_there_are(store: SqliteStore, seen: Seen) -> None:
    class All(Log):
        name = "all"

        @on(Event)
        def everything(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("all", recorded, tx)

    store.append("a-1", [Began(), Renamed(name="x")])
    assert seen.by(All()) == ["all Began a-1 1", "all NameChanged a-1 2"]


def test_a_handler_reads_its_events_under_all_names_they_were_recorded_with(
    store: SqliteStore, seen: Seen
) -> None:
    class Names(Log):
        name = "names"

        @on(Renamed)
        def renamed(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("renamed", recorded, tx)

    with SqliteStore(store._path) as earlier:
        earlier.append("a-1", [TitleChanged(name="x")])
    store.append("a-1", [Renamed(name="y")])
    assert seen.by(Names()) == ["renamed TitleChanged a-1 1", "renamed NameChanged a-1 2"]


def test_only_the_categories_asked_for_are_read(store: SqliteStore, seen: Seen) -> None:
    class Some(Log):
        name = "some"
        categories = ("a", "b")

        @on(Began)
        def began(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("began", recorded, tx)

    for aggregate_id in ("a-1", "ab-1", "b-1", "c-1"):
        store.append(aggregate_id, [Began()])
    assert seen.by(Some()) == ["began Began a-1 1", "began Began b-1 1"]


class Parent(Log):
    name = "parent"

    @on(Began)
    def began(self, recorded: RecordedEvent, tx: Transaction) -> None:
        self.note("parent", recorded, tx)


def test_handlers_are_inherited_and_run_before_those_of_the_subclass(
    store: SqliteStore, seen: Seen
) -> None:
    class Child(Parent):
        @on(Began)
        def also(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("child", recorded, tx)

    store.append("a-1", [Began()])
    assert seen.by(Child()) == ["parent Began a-1 1", "child Began a-1 1"]


def test_an_overriding_method_handles_what_the_overridden_one_did(
    store: SqliteStore, seen: Seen
) -> None:
    class Child(Parent):
        def began(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("child", recorded, tx)

    store.append("a-1", [Began()])
    assert seen.by(Child()) == ["child Began a-1 1"]


def test_an_overriding_handler_handles_what_its_own_on_says(store: SqliteStore, seen: Seen) -> None:
    class Child(Parent):
        @on(Ended)
        def began(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("child", recorded, tx)

    store.append("a-1", [Began(), Ended()])
    assert seen.by(Child()) == ["child Ended a-1 2"]


def test_a_handler_set_to_none_is_gone(store: SqliteStore, seen: Seen) -> None:
    class Child(Parent):
        began = None  # type: ignore[assignment]

        @on(Ended)
        def ended(self, recorded: RecordedEvent, tx: Transaction) -> None:
            self.note("ended", recorded, tx)

    store.append("a-1", [Began(), Ended()])
    assert seen.by(Child()) == ["ended Ended a-1 2"]


def test_the_events_of_an_aggregate_come_in_order(store: SqliteStore, seen: Seen) -> None:
    for _ in range(50):
        for aggregate_id in ("a-1", "a-2", "a-3"):
            store.append(aggregate_id, [Began()])
    texts = [text.split() for text in seen.by(Parent())]
    versions = [int(version) for _, _, name, version in texts if name == "a-2"]
    assert versions == list(range(1, 51))
