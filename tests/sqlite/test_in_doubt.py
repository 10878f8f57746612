"""An error while committing: nobody guesses, and a retry with the same ids finds out."""

import sqlite3

import pytest

from eventkit import Append, Appended, ConcurrencyError, OutcomeUnknown, Repository
from eventkit.errors import EventkitError, StoreBusy, StoreUnavailable
from eventkit.sqlite import SqliteStore
from tests.contract.domain import Parcel, moves, places
from tests.sqlite.faults import Faults, failure

IO_ERROR = sqlite3.SQLITE_IOERR | 5 << 8  # SQLITE_IOERR_FSYNC


@pytest.fixture
def faults(store: SqliteStore) -> Faults:
    return Faults(store)


def commit_fails(faults: Faults, *, late: bool) -> None:
    """Let the next COMMIT fail, before it had an effect or after."""
    fail = faults.fail_after if late else faults.fail_before
    fail("COMMIT", failure(IO_ERROR))


@pytest.mark.parametrize("late", [False, True], ids=["not written", "written"])
@pytest.mark.parametrize("expected", [0, None])
def test_a_retry_with_the_ids_of_the_error_makes_one_append_of_it(
    store: SqliteStore, faults: Faults, expected: int | None, *, late: bool
) -> None:
    commit_fails(faults, late=late)
    with pytest.raises(OutcomeUnknown) as caught:
        store.append("parcel-1", moves("a", "b"), expected)
    error = caught.value
    assert error.retryable
    assert isinstance(error.__cause__, sqlite3.OperationalError)
    done = store.append("parcel-1", moves("a", "b"), expected, event_ids=error.event_ids)
    assert (done.version, done.event_ids, done.already_recorded) == (2, error.event_ids, late)
    assert places(store.replay()) == ["a", "b"]


@pytest.mark.parametrize("late", [False, True], ids=["not written", "written"])
def test_saving_an_aggregate_again_makes_one_append_of_it(
    store: SqliteStore, faults: Faults, *, late: bool
) -> None:
    repository = Repository(store, Parcel)
    parcel = Parcel("parcel-1")
    parcel.move("a")
    commit_fails(faults, late=late)
    with pytest.raises(OutcomeUnknown):
        repository.save(parcel)
    assert list(parcel.pending_events) == moves("a")
    done = repository.save(parcel)
    assert done is not None
    assert (done.version, list(parcel.pending_events)) == (1, [])
    assert repository.get("parcel-1").places == ["a"]


def test_only_what_was_to_be_written_is_in_doubt(store: SqliteStore, faults: Faults) -> None:
    before = store.append("parcel-1", moves("a"))
    known = Append("parcel-1", moves("a"), 0, event_ids=before.event_ids)
    commit_fails(faults, late=False)
    results = store.append_each(
        [known, Append("parcel-1", moves("x"), 0), Append("parcel-2", moves("b"))]
    )
    assert [type(result) for result in results] == [Appended, ConcurrencyError, OutcomeUnknown]


def test_a_retry_in_the_same_commit_is_in_doubt_too(store: SqliteStore, faults: Faults) -> None:
    ids = store.append("parcel-9", moves("x")).event_ids
    ask = Append("parcel-1", moves("a"), event_ids=[type(ids[0])(int=7)])
    commit_fails(faults, late=False)
    results = store.append_each([ask, ask])
    assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown]
    assert places(store.replay()) == ["x"]


@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO events", "INSERT INTO schemas"])
def test_an_error_before_the_commit_wrote_nothing(
    store: SqliteStore, faults: Faults, statement: str
) -> None:
    faults.fail_before(statement, failure(IO_ERROR))
    with pytest.raises(StoreUnavailable, match="the disk failed"):
        store.append("parcel-1", moves("a"))
    assert list(store.replay()) == []
    assert store.append("parcel-1", moves("b"), expected_version=0).version == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [(sqlite3.SQLITE_FULL, StoreUnavailable), (sqlite3.SQLITE_BUSY, StoreBusy)],
)
def test_a_commit_that_is_known_to_have_failed_is_not_in_doubt(
    store: SqliteStore, faults: Faults, code: int, kind: type[EventkitError]
) -> None:
    faults.fail_before("COMMIT", failure(code))
    with pytest.raises(kind):
        store.append("parcel-1", moves("a"))
    assert list(store.replay()) == []
    assert store.append("parcel-1", moves("b"), expected_version=0).version == 1


def test_an_error_while_rolling_back_does_not_hide_the_first(
    store: SqliteStore, faults: Faults
) -> None:
    faults.fail_before("INSERT INTO events", failure(sqlite3.SQLITE_FULL))
    faults.fail_after("ROLLBACK", failure(IO_ERROR))
    with pytest.raises(StoreUnavailable, match="no room to write"):
        store.append("parcel-1", moves("a"))
    assert store.append("parcel-1", moves("b"), expected_version=0).version == 1


def test_a_transaction_that_could_not_be_rolled_back_is_by_the_next_append(
    store: SqliteStore, faults: Faults
) -> None:
    faults.fail_before("INSERT INTO events", failure(sqlite3.SQLITE_FULL))
    second = failure(IO_ERROR)

    def no_rollback(sql: str) -> None:
        if sql.startswith("INSERT INTO events"):
            faults.fail_before("ROLLBACK", second)
            raise failure(sqlite3.SQLITE_FULL)

    faults.before = no_rollback
    with pytest.raises(StoreUnavailable, match="no room to write"):
        store.append("parcel-1", moves("a"))
    with pytest.raises(StoreUnavailable):
        store.append("parcel-1", moves("a"))
    assert store.append("parcel-1", moves("b"), expected_version=0).version == 1
    assert places(store.replay()) == ["b"]


@pytest.mark.parametrize("late", [False, True], ids=["not written", "written"])
def test_what_was_to_be_written_together_is_in_doubt_together(
    store: SqliteStore, faults: Faults, *, late: bool
) -> None:
    appends = [Append("parcel-1", moves("a", "b"), 0), Append("parcel-2", moves("c"), 0)]
    commit_fails(faults, late=late)
    with pytest.raises(OutcomeUnknown) as caught:
        store.append_all(appends)
    ids = caught.value.event_ids
    assert len(ids) == 3
    again = [appends[0]._replace(event_ids=ids[:2]), appends[1]._replace(event_ids=ids[2:])]
    done = store.append_all(again)
    assert [(it.version, it.already_recorded) for it in done] == [(2, late), (1, late)]
    assert places(store.replay()) == ["a", "b", "c"]
