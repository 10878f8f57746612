"""Events that cannot be read: parked as those at which a handler fails, with what follows them."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eventkit import Event, RecordedEvent
from eventkit.errors import ProjectionError
from eventkit.events import EventTypes
from eventkit.projection import DeadLetters, ReadModels, Runner, Transaction, effect, on
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import (
    Balances,
    Closed,
    Deposited,
    Opened,
    Withdrawn,
    actual,
    expected,
    fill,
)
from tests.projection.test_parking import letters, places, without

BAD, LATER, ACCOUNTS = "account-1", 9, 4
"""The account whose third event cannot be read, its version at the end, how many there are."""
_READ = "SELECT data FROM events WHERE aggregate_id = ? AND version = 3"
_WRITE = "UPDATE events SET data = ? WHERE aggregate_id = ? AND version = 3"
_TRIGGER = "SELECT sql FROM sqlite_master WHERE name = 'events_are_never_updated'"


class Everything(Balances):
    """Asks for all types there are, so also for one whose class is missing."""

    @on(Event)
    def any(self, recorded: RecordedEvent, tx: Transaction) -> None:
        """Nothing more to do."""


class Stopping(Everything):
    on_failure = "stop"


class Mailing(Everything):
    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    @effect(Withdrawn)
    def mail(self, recorded: RecordedEvent) -> None:
        self.sent.append((recorded.aggregate_id, recorded.version))


def narrow_store(path: Path, *missing: type[Event]) -> SqliteStore:
    """A store of which the code lacks some classes, and knows no others of the same names."""
    types = EventTypes()
    known: set[type[Event]] = {Opened, Deposited, Withdrawn, Closed}
    types.bind_all(known - set(missing))
    return SqliteStore(path, types=types)


def change_body(path: Path, change: Callable[[bytes], bytes]) -> Callable[[], None]:
    """Change the event's body, which triggers refuse, as damage does; returns what mends it."""

    def write(body: bytes) -> None:
        with closing(sqlite3.connect(path)) as connection:
            (trigger,) = connection.execute(_TRIGGER).fetchone()
            connection.execute("DROP TRIGGER events_are_never_updated")
            connection.execute(_WRITE, (body, BAD))
            connection.execute(trigger)
            connection.commit()

    with closing(sqlite3.connect(path)) as connection:
        (data,) = connection.execute(_READ, (BAD,)).fetchone()
    write(change(data))
    return lambda: write(data)


def damage(path: Path) -> Callable[[], None]:
    """Damage the body."""
    return change_body(path, lambda data: data[:10] + b"\xff" * 12)


def lose_schema(path: Path) -> Callable[[], None]:
    """Name a schema that the store does not hold."""
    return change_body(path, lambda data: data[:2] + bytes(8) + data[10:])


BREAKS = {
    "damaged": (damage, "UndecodableEvent"),
    "schema": (lose_schema, "UnknownSchema"),
}


@pytest.fixture
def path(store: SqliteStore, tmp_path: Path) -> Path:
    """A log in which all that follows is written."""
    fill(store, ACCOUNTS)
    return tmp_path / "events.db"


@pytest.mark.parametrize("kind", BREAKS)
def test_an_event_that_cannot_be_read_parks_with_what_follows_until_a_retry_can(
    kind: str, path: Path, store: SqliteStore, models: ReadModels
) -> None:
    whole = expected(store)
    (before,) = store.get_events(BAD, 3, 3)
    break_it, error = BREAKS[kind]
    mend = break_it(path)
    with narrow_store(path) as damaged:
        assert Runner(Everything(), damaged, models).run() == damaged.last_position() - 7
        status = Runner(Everything(), damaged, models).status()
        assert (status.lag, status.state, status.parked) == (0, "ready", 7)
        assert places(models) == [
            (BAD, 3, "failed"), *((BAD, version, "waiting") for version in range(4, 10)),
        ]  # fmt: skip
        first = letters(models)[0]
        assert (first.event_id, first.position, first.event_type, first.attempts) == (
            before.event_id, before.position, "Withdrawn", 1,
        )  # fmt: skip
        assert (first.error or "").startswith(f"{error}: {BAD} version 3")
        assert without(actual(models), BAD) == without(whole, BAD)
        done = DeadLetters(Everything(), damaged, models).retry()
        assert (done.applied, done.parked) == (0, 7)
        assert [it.attempts for it in done.failed] == [2]
    mend()
    with narrow_store(path) as mended:
        assert DeadLetters(Everything(), mended, models).retry() == (7, (), 0)
        assert actual(models) == whole
        Runner(Everything(), mended, models).rebuild()
    assert actual(models) == whole


def test_a_type_without_a_class_parks_until_the_class_is_there(
    path: Path, store: SqliteStore, models: ReadModels
) -> None:
    with narrow_store(path, Withdrawn) as narrow:
        Runner(Everything(), narrow, models).run()
    failed = [it[:2] for it in places(models) if it[2] == "failed"]
    assert failed == [(f"account-{number}", 3) for number in range(ACCOUNTS)]
    waiting = ACCOUNTS * 6 + 1
    assert len(places(models)) == ACCOUNTS + waiting
    assert DeadLetters(Everything(), store, models).retry().parked == 0
    assert actual(models) == expected(store)


def test_a_discarded_one_is_left_out_also_by_a_rebuild_and_the_others_go_on(
    path: Path, models: ReadModels
) -> None:
    damage(path)
    with narrow_store(path) as damaged:
        Runner(Everything(), damaged, models).run()
        done = DeadLetters(Everything(), damaged, models).discard(letters(models)[0].number, "lost")
        assert (done.applied, done.parked) == (6, 0)
        before = actual(models)
        Runner(Everything(), damaged, models).rebuild()
        assert actual(models) == before
        assert [version for _, name, version in before["journal"] if name == BAD] == [
            2, *range(4, LATER + 1),
        ]  # fmt: skip


def test_with_stop_it_ends_the_run_and_all_before_it_are_kept(
    path: Path, store: SqliteStore, models: ReadModels
) -> None:
    (bad,) = store.get_events(BAD, 3, 3)
    offset = bad.position.offset
    before = expected(store, offset - 1)
    damage(path)
    with narrow_store(path) as damaged:
        for _ in range(2):
            with pytest.raises(
                ProjectionError, match=rf"cannot read its next event after events/0/{offset - 1}: "
            ):
                Runner(Stopping(), damaged, models).run()
        assert actual(models) == before
        assert letters(models) == []
        Runner(Everything(), damaged, models).run()
        DeadLetters(Everything(), damaged, models).discard(letters(models)[0].number, "lost")
        Runner(Stopping(), damaged, models).rebuild()
        assert Runner(Stopping(), damaged, models).status().lag == 0


def test_a_handler_that_fails_in_the_same_batch_parks_too(
    path: Path, store: SqliteStore, models: ReadModels
) -> None:
    class Failing(Everything):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            if (recorded.aggregate_id, recorded.version) == ("account-2", 5):
                raise ValueError("no such owner")

    whole = expected(store)
    mend = damage(path)
    with narrow_store(path) as damaged:
        Runner(Failing(), damaged, models).run()
        assert [it for it in places(models) if it[2] == "failed"] == [
            (BAD, 3, "failed"), ("account-2", 5, "failed"),
        ]  # fmt: skip
    mend()
    with narrow_store(path) as mended:
        assert DeadLetters(Everything(), mended, models).retry().parked == 0
    assert actual(models) == whole


def test_many_that_cannot_be_read_do_not_spare_handlers_their_attempts(
    store: SqliteStore, models: ReadModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Once(Everything):
        failed = False

        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            if not Once.failed:
                Once.failed = True
                raise ConnectionError("by chance")

    for number in range(20):
        store.append(f"account-{number}", [Closed()])
    store.append("account-30", [Opened(owner="ann"), Deposited(amount=1)])
    with narrow_store(tmp_path / "events.db", Closed) as narrow, caplog.at_level(logging.ERROR):

        class Open(Once):
            @on(Opened)
            def closed(self, recorded: RecordedEvent, tx: Transaction) -> None:
                """What would handle the missing class is missing as well."""

        Runner(Open(), narrow, models).run()
    assert Once.failed
    assert len(letters(models)) == 20
    assert "mend the code that reads it" in caplog.text


def test_an_effect_of_an_event_that_cannot_be_read_waits_and_runs_later(
    store: SqliteStore, models: ReadModels, tmp_path: Path
) -> None:
    path = tmp_path / "events.db"
    Runner(Mailing(), store, models).run()
    store.append(BAD, [Opened(owner="ann"), Deposited(amount=9)])
    store.append(BAD, [Withdrawn(amount=1), Withdrawn(amount=2)])
    store.append("account-2", [Opened(owner="bob"), Withdrawn(amount=1)])
    mend = damage(path)
    with narrow_store(path) as damaged:
        mailing = Mailing()
        Runner(mailing, damaged, models).run()
        assert mailing.sent == [("account-2", 2)]
        found = [(it.kind, it.aggregate_version, it.state) for it in letters(models)]
        assert found == [
            ("effect", 3, "waiting"), ("effect", 4, "waiting"),
            ("handler", 3, "failed"), ("handler", 4, "waiting"),
        ]  # fmt: skip
        assert DeadLetters(mailing, damaged, models).retry().applied == 0
    mend()
    with narrow_store(path) as mended:
        assert DeadLetters(mailing, mended, models).retry() == (4, (), 0)
    assert mailing.sent == [("account-2", 2), (BAD, 3), (BAD, 4)]
