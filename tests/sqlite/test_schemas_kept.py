"""No event stands in the file without the schema it was written with, whatever came before it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from eventkit import Append, Appended, ConcurrencyError, Event, EventkitError
from eventkit.codec import fingerprint_of
from eventkit.errors import DuplicateEventId, IncompatibleSchema, StoreBusy
from eventkit.events import EventTypes
from eventkit.health.findings import Asked, Finding, Kind, Reading
from eventkit.sqlite import SqliteStore
from eventkit.sqlite.verifying import SqliteVerifier
from tests.contract.domain import moves
from tests.sqlite.faults import Faults, failure

IO_ERROR = sqlite3.SQLITE_IOERR | 5 << 8  # SQLITE_IOERR_FSYNC


class CratePacked(Event):
    pass


def due(kind: Any) -> type[Event]:
    """A class that is defined again, as by a reload of its module; the name is the same."""

    class CrateDue(Event):
        at: kind

    return CrateDue


FIRST = [CratePacked()]
"""Events of a class that the store has not written yet."""


@pytest.fixture
def store(file: Path) -> Iterator[SqliteStore]:
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
        yield store


def unread(file: Path) -> list[str]:
    """Return the types of the events whose schema the file does not hold."""
    with closing(sqlite3.connect(file)) as connection:
        held = {row[0] for row in connection.execute("SELECT fingerprint FROM schemas")}
        rows = connection.execute("SELECT event_type, data FROM events").fetchall()
    return [event_type for event_type, data in rows if fingerprint_of(data) not in held]


def lost_a_race(store: SqliteStore) -> None:
    with pytest.raises(ConcurrencyError):
        store.append("parcel-1", FIRST, expected_version=0)


def took_an_id(store: SqliteStore) -> None:
    (recorded,) = store.get_events("parcel-1")
    with pytest.raises(DuplicateEventId):
        store.append("parcel-2", FIRST, event_ids=[recorded.event_id])


def lost_a_race_beside_another(store: SqliteStore) -> None:
    """The commit writes something, though not this."""
    refused, written = store.append_each(
        [Append("parcel-1", FIRST, 0), Append("parcel-3", moves("b"))]
    )
    assert isinstance(refused, ConcurrencyError)
    assert not isinstance(written, EventkitError)


def lost_a_race_together(store: SqliteStore) -> None:
    with pytest.raises(ConcurrencyError):
        store.append_all([Append("parcel-2", FIRST, 0), Append("parcel-1", moves("b"), 0)])


def was_not_committed(store: SqliteStore) -> None:
    Faults(store).fail_before("COMMIT", failure(IO_ERROR))
    with pytest.raises(EventkitError):
        store.append("parcel-2", FIRST)


def was_not_committed_and_then_lost_a_race(store: SqliteStore) -> None:
    was_not_committed(store)
    lost_a_race(store)


def was_not_inserted(store: SqliteStore) -> None:
    Faults(store).fail_before("INSERT INTO events", failure(sqlite3.SQLITE_FULL))
    with pytest.raises(EventkitError):
        store.append("parcel-2", FIRST)


@pytest.mark.parametrize(
    "refused",
    [
        lost_a_race,
        took_an_id,
        lost_a_race_beside_another,
        lost_a_race_together,
        was_not_committed,
        was_not_committed_and_then_lost_a_race,
        was_not_inserted,
    ],
)
def test_the_schema_is_kept_by_the_first_append_of_a_class_that_is_written(
    store: SqliteStore, file: Path, refused: Callable[[SqliteStore], None]
) -> None:
    refused(store)
    store.append("parcel-1", FIRST, expected_version=1)
    assert unread(file) == []


def test_what_was_written_after_a_refusal_is_read_by_the_class_of_tomorrow(
    store: SqliteStore, file: Path
) -> None:
    lost_a_race(store)
    store.append("parcel-1", FIRST, expected_version=1)

    class Tomorrow(Event, event_type="CratePacked"):
        signed_by: str = ""

    types = EventTypes()
    types.bind(Tomorrow)
    with SqliteStore(file, types=types) as later:
        (recorded,) = later.get_events("parcel-1", from_version=2)
    assert recorded.event == Tomorrow()


class Told:
    """Keeps what a verification finds."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)

    def read(self, now: Reading) -> None:
        pass

    def remark(self, text: str) -> None:
        pass


def verified(file: Path) -> list[tuple[Kind, str]]:
    """Return what a verification finds of the bodies, and how to mend it."""
    told = Told()
    SqliteVerifier(file, EventTypes(), Asked(), told).run()
    return [(it.kind, it.fix) for it in told.findings if it.kind is not Kind.GUARD]


def test_the_next_append_of_a_class_adds_the_schema_that_its_earlier_events_lack(
    store: SqliteStore, file: Path
) -> None:
    store.append("parcel-2", FIRST)
    store.close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TRIGGER schemas_are_never_deleted")
        connection.execute("DELETE FROM schemas WHERE schema LIKE '%CratePacked%'")
        connection.commit()
    assert unread(file) == ["CratePacked"]
    ((kind, fix),) = verified(file)
    assert (kind, "append an event of the class as it was" in fix) == (Kind.SCHEMA, True)
    with SqliteStore(file) as again:
        again.append("parcel-3", FIRST)
    assert (unread(file), verified(file)) == ([], [])


NUMBER = [due(int).model_validate({"at": 5})]
MOMENT = [due(datetime).model_validate({"at": datetime(2024, 1, 1, tzinfo=UTC)})]
"""Their schemas have one fingerprint, which does not tell logical types apart."""


@pytest.fixture
def outdated(file: Path) -> Iterator[SqliteStore]:
    """Another store, which found no schema of this type; since then the other form was written."""
    with SqliteStore(file, timeout=0, types=EventTypes()) as outdated:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy):
                outdated.append("crate-1", MOMENT)
        with SqliteStore(file, types=EventTypes()) as faster:
            faster.append("crate-1", NUMBER)
        yield outdated


def test_a_schema_of_another_meaning_fails_its_own_append_alone(outdated: SqliteStore) -> None:
    results = outdated.append_each(
        [Append("parcel-1", moves("a")), Append("crate-1", MOMENT), Append("parcel-2", moves("b"))]
    )
    assert [type(it) for it in results] == [Appended, IncompatibleSchema, Appended]
    with pytest.raises(IncompatibleSchema, match="field at was long"):
        outdated.append("crate-1", MOMENT)


def test_a_schema_of_another_meaning_fails_what_is_to_be_written_together(
    outdated: SqliteStore,
) -> None:
    with pytest.raises(IncompatibleSchema):
        outdated.append_all([Append("parcel-1", moves("a")), Append("crate-1", MOMENT)])
    assert outdated.get_events("parcel-1") == []


@pytest.mark.parametrize("first", [NUMBER, MOMENT], ids=["number", "moment"])
def test_of_two_meanings_in_one_commit_the_earlier_counts(file: Path, first: list[Event]) -> None:
    second = MOMENT if first is NUMBER else NUMBER
    with SqliteStore(file, types=EventTypes()) as store:
        done, refused = store.append_each([Append("crate-1", first), Append("crate-2", second)])
        assert (type(done), type(refused)) == (Appended, IncompatibleSchema)
    assert unread(file) == []
