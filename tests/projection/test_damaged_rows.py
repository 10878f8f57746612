"""Events of which more than the body is damaged: parked as any other that cannot be read."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eventkit import RecordedEvent
from eventkit.errors import ProjectionError
from eventkit.projection import DeadLetters, ReadModels, Runner, Transaction
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Withdrawn, actual, expected, fill
from tests.projection.test_parking import letters, places, without
from tests.projection.test_unreadable import BAD, Everything, Mailing, Stopping, narrow_store

_BODY = "data = CAST(data || x'00' AS BLOB)"
METADATA = "metadata = '[7'"
EVENT_ID = "event_id = x'00'"
HALF_TEXT = "metadata = CAST(x'7b22ff' AS TEXT)"
DAMAGES = {
    "metadata": f"{_BODY}, {METADATA}",
    "event id": f"{_BODY}, {EVENT_ID}",
    "time": f"{_BODY}, timestamp = 9000000000000000000",
    "text": f"{_BODY}, {HALF_TEXT}",
    "text alone": HALF_TEXT,
    "all": f"{_BODY}, {EVENT_ID}, timestamp = 9000000000000000000, {HALF_TEXT}",
}
LAST = 7
"""The version of the damaged account at the end; its third event is the damaged one."""
_TRIGGER = "SELECT sql FROM sqlite_master WHERE name = 'events_are_never_updated'"
_COLUMNS = ("event_id", "aggregate_id", "event_type", "timestamp", "metadata", "data")


def damage(
    path: Path, change: str, aggregate_id: str = BAD, version: int = 3
) -> Callable[[], None]:
    """Change the row of an event, which triggers refuse; returns what mends it."""

    def write(change: str, *values: object) -> None:
        statement = f"UPDATE events SET {change} WHERE position = {position}"  # noqa: S608
        with closing(sqlite3.connect(path)) as connection:
            (trigger,) = connection.execute(_TRIGGER).fetchone()
            connection.execute("DROP TRIGGER events_are_never_updated")
            connection.execute(statement, values)
            connection.execute(trigger)
            connection.commit()

    with closing(sqlite3.connect(path)) as connection:
        position, *before = connection.execute(
            f"SELECT position, {', '.join(_COLUMNS)} FROM events "  # noqa: S608
            "WHERE aggregate_id = ? AND version = ?",
            (aggregate_id, version),
        ).fetchone()
    write(change)
    return lambda: write(", ".join(f"{name} = ?" for name in _COLUMNS), *before)


@pytest.fixture
def path(store: SqliteStore, tmp_path: Path) -> Path:
    fill(store, accounts=3, rounds=3)
    return tmp_path / "events.db"


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_row_of_which_more_than_the_body_is_damaged_parks_until_it_is_mended(
    kind: str, path: Path, store: SqliteStore, models: ReadModels
) -> None:
    whole = expected(store)
    (before,) = store.get_events(BAD, 3, 3)
    mend = damage(path, DAMAGES[kind])
    with narrow_store(path) as damaged:
        assert Runner(Everything(), damaged, models).run() == damaged.last_position() - 5
        status = Runner(Everything(), damaged, models).status()
        assert (status.lag, status.state, status.parked) == (0, "ready", 5)
        assert places(models) == [
            (BAD, 3, "failed"), *((BAD, version, "waiting") for version in range(4, LAST + 1)),
        ]  # fmt: skip
        first = letters(models)[0]
        known = None if "event_id" in DAMAGES[kind] else before.event_id
        assert (first.position, first.event_type, first.event_id, first.attempts) == (
            before.position, "Withdrawn", known, 1,
        )  # fmt: skip
        assert (first.error or "").startswith(
            f"StoreCorrupted: {BAD} version 3: the row is damaged"
        )
        assert without(actual(models), BAD) == without(whole, BAD)
        done = DeadLetters(Everything(), damaged, models).retry()
        assert (done.applied, done.parked, [it.attempts for it in done.failed]) == (0, 5, [2])
    mend()
    with narrow_store(path) as mended:
        assert DeadLetters(Everything(), mended, models).retry() == (5, (), 0)
    assert actual(models) == whole


@pytest.mark.parametrize("kind", ["metadata", "all"])
def test_a_discarded_one_is_left_out_by_rebuilds_and_new_versions_also_once_it_is_mended(
    kind: str, path: Path, models: ReadModels
) -> None:
    class Next(Everything):
        version = 2

    mend = damage(path, DAMAGES[kind])
    with narrow_store(path) as damaged:
        Runner(Everything(), damaged, models).run()
        done = DeadLetters(Everything(), damaged, models).discard(letters(models)[0].number, "lost")
        assert (done.applied, done.parked) == (4, 0)
        before = actual(models)
        Runner(Everything(), damaged, models).rebuild()
        assert actual(models) == before
    mend()
    with narrow_store(path) as mended:
        Runner(Everything(), mended, models).rebuild()
        assert actual(models) == before
        Runner(Next(), mended, models).rebuild_beside()
        assert [it.version for it in letters(models)] == [1, 2]
        assert Runner(Next(), mended, models).status().events == mended.last_position() - 1


def test_with_stop_it_ends_the_run_and_is_told(path: Path, models: ReadModels) -> None:
    damage(path, DAMAGES["all"])
    with (
        narrow_store(path) as damaged,
        pytest.raises(ProjectionError, match=r"cannot read its next event .* the row is damaged"),
    ):
        Runner(Stopping(), damaged, models).run()
    assert letters(models) == []


def test_the_status_of_a_projection_whose_next_event_is_damaged_is_told(
    path: Path, store: SqliteStore, models: ReadModels
) -> None:
    (before,) = store.get_events(BAD, 3, 3)
    Runner(Everything(), store, models).run()
    Runner(Everything(), store, models).reset(
        [before.position._replace(offset=before.position.offset - 1)]
    )
    damage(path, DAMAGES["all"])
    with narrow_store(path) as damaged:
        status = Runner(Everything(), damaged, models).status()
    assert (status.lag, status.lag_seconds) == (
        store.last_position() - before.position.offset + 1,
        0.0,
    )


def test_effects_of_a_damaged_event_wait(
    path: Path, store: SqliteStore, models: ReadModels
) -> None:
    Runner(Mailing(), store, models).run()
    store.append("account-9", [Withdrawn(amount=1)])
    store.append("account-9", [Withdrawn(amount=2)])
    store.append("account-2", [Withdrawn(amount=3)])
    damage(path, DAMAGES["all"], "account-9", 1)
    with narrow_store(path) as damaged:
        mailing = Mailing()
        Runner(mailing, damaged, models).run()
        assert mailing.sent == [("account-2", 8)]
        found = [(it.kind, it.aggregate_version, it.state) for it in letters(models)]
        assert found[:3] == [
            ("effect", 1, "waiting"),
            ("effect", 2, "waiting"),
            ("handler", 1, "failed"),
        ]
        dead_letters = DeadLetters(mailing, damaged, models)
        assert dead_letters.retry(["account-9"]).applied == 0
        dead_letters.discard(letters(models)[2].number, "lost")
        assert mailing.sent == [("account-2", 8), ("account-9", 2)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("aggregate_id = CAST(x'6163636f756e742d31ff' AS TEXT)", "account-1\\xff"),
        ("aggregate_id = 'account-1' || char(0)", "account-1\\x00"),
        ("aggregate_id = 'nonsense'", "nonsense"),
    ],
)
def test_one_whose_aggregate_id_is_damaged_parks_under_what_can_be_read_of_it(
    change: str, named: str, path: Path, models: ReadModels
) -> None:
    mend = damage(path, f"{_BODY}, {change}")
    with narrow_store(path) as damaged:
        Runner(Everything(), damaged, models).run()
        assert places(models) == [(named, 3, "failed")]
        dead_letters = DeadLetters(Everything(), damaged, models)
        assert (dead_letters.retry().applied, letters(models)[0].attempts) == (0, 2)
    mend()
    with narrow_store(path) as mended:
        assert DeadLetters(Everything(), mended, models).retry() == (1, (), 0)


def test_a_handler_that_asks_for_what_is_damaged_parks_the_event(
    path: Path, store: SqliteStore, models: ReadModels
) -> None:
    class Asking(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            assert recorded.event_id is not None
            super().note(recorded, tx)

    whole = expected(store)
    damage(path, EVENT_ID)
    Runner(Asking(), store, models).run()
    first, *behind = letters(models)
    assert (first.aggregate_version, first.event_id, first.attempts) == (3, None, 3)
    assert len(behind) == LAST - 3
    assert "the row is damaged" in (first.error or "")
    assert without(actual(models), BAD) == without(whole, BAD)
    assert DeadLetters(Asking(), store, models).discard(first.number, "lost").parked == 0
