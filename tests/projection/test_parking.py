"""Events that a handler fails at again and again: parked, in order, while all others flow."""

import logging
from typing import Any, ClassVar

import pytest
from sqlalchemy import event

from eventkit import RecordedEvent
from eventkit.errors import InvalidProjection
from eventkit.projection import ReadModels, Runner, Transaction, worker
from eventkit.projection import failures as failing
from eventkit.projection.dead_letters_table import DeadLetter, count_parked, find_letters
from eventkit.projection.source import Partition, SqliteSource
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Closed, Deposited, Opened, actual, expected, fill

pytestmark = pytest.mark.usefixtures("no_pauses")

ONLY = Partition("events", 0)


class Poisoned(Balances):
    """Fails on the third movement of some accounts, after it has written."""

    poison: ClassVar[frozenset[tuple[str, int]]] = frozenset({("account-3", 3)})

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        super().note(recorded, tx)
        if (recorded.aggregate_id, recorded.version) in self.poison:
            raise ValueError("no such\x00 owner\nand more lines")


def poisoned(*places: tuple[str, int]) -> Balances:
    """A projection that fails at events."""

    class Chosen(Poisoned):
        poison = frozenset(places)

    return Chosen()


@pytest.fixture(params=[5, 1_000])
def _batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_FIRST", request.param)
    monkeypatch.setattr(worker, "_LARGEST", request.param)


def letters(models: ReadModels) -> list[DeadLetter]:
    with models.connect() as connection:
        return list(find_letters(connection))


def places(models: ReadModels) -> list[tuple[str, int, str]]:
    return [(it.aggregate_id, it.aggregate_version, it.state) for it in letters(models)]


def without(rows: dict[str, list[tuple[Any, ...]]], account: str) -> dict[str, list[Any]]:
    """The rows of all other accounts."""
    return {table: [row for row in found if account not in row] for table, found in rows.items()}


def versions(models: ReadModels, account: str) -> list[int]:
    """Those of an account whose movements are in the journal."""
    return [version for _, name, version in actual(models)["journal"] if name == account]


@pytest.mark.usefixtures("_batches")
def test_a_poison_event_parks_with_all_later_ones_of_its_aggregate_and_others_flow(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=10)
    assert Runner(Poisoned(), store, models).run() == store.last_position() - 7
    assert without(actual(models), "account-3") == without(expected(store), "account-3")
    assert versions(models, "account-3") == [2]
    assert places(models) == [
        ("account-3", 3, "failed"),
        *(("account-3", version, "waiting") for version in range(4, 10)),
    ]
    status = Runner(Poisoned(), store, models).status()
    assert (status.lag, status.state, status.events) == (0, "ready", store.last_position() - 7)


def test_a_letter_points_at_its_event_and_tells_what_was_raised(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=4, rounds=1)
    Runner(Poisoned(), store, models).run()
    (letter,) = letters(models)
    (recorded,) = store.get_events("account-3", 3, 3)
    assert letter.event_id == recorded.event_id
    assert letter.position == recorded.position
    assert (letter.event_type, letter.attempts) == ("Withdrawn", 3)
    assert letter.error == "ValueError: no such\\x00 owner"
    assert "in note" in (letter.traceback or "")
    assert "another exception" not in (letter.traceback or "")
    assert letter.tried_at is not None
    assert letter.parked_at >= (recorded.metadata.timestamp or letter.parked_at)


def test_events_that_come_later_park_behind_also_after_a_restart(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=4, rounds=1)
    Runner(Poisoned(), store, models).run()
    store.append("account-3", [Deposited(amount=1)])
    store.append("account-2", [Deposited(amount=1)])
    Runner(Balances(), store, models).run()
    assert places(models) == [("account-3", 3, "failed"), ("account-3", 4, "waiting")]
    assert without(actual(models), "account-3") == without(expected(store), "account-3")


def test_a_worker_parks_behind_what_itself_parked_in_an_earlier_batch(
    store: SqliteStore, models: ReadModels
) -> None:
    runner_worker = worker.Worker(Poisoned(), SqliteSource(store), models)
    store.append("account-3", [Opened(owner="x"), Deposited(amount=1), Deposited(amount=2)])
    runner_worker.step(ONLY)
    store.append("account-3", [Deposited(amount=3)])
    runner_worker.step(ONLY)
    store.append("account-3", [Closed()])
    runner_worker.step(ONLY)
    assert [it[1:] for it in places(models)] == [(3, "failed"), (4, "waiting"), (5, "waiting")]


@pytest.mark.usefixtures("_batches")
def test_several_poisoned_aggregates_park_each_for_itself(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=10, rounds=2)
    Runner(poisoned(("account-3", 3), ("account-4", 3), ("account-5", 5)), store, models).run()
    failed = [it[:2] for it in places(models) if it[2] == "failed"]
    assert failed == [("account-3", 3), ("account-4", 3), ("account-5", 5)]
    assert len(places(models)) == 3 + 3 + 2
    assert versions(models, "account-5") == [2, 3, 4]


def test_a_handler_that_fails_at_everything_parks_everything_in_no_long_time(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    class Broken(Balances):
        def note(self, _recorded: RecordedEvent, _tx: Transaction) -> None:
            nonlocal calls
            calls += 1
            raise ValueError

    monkeypatch.setattr(failing, "_PAUSES", (0.001, 0.001))
    fill(store, accounts=200, rounds=1)
    Runner(Broken(), store, models).run()
    assert [it[2] for it in places(models)].count("failed") == 200
    assert calls < 200 * 2  # three attempts for the first ones, then one


def test_a_handler_that_fails_twice_and_then_does_not_parks_nothing(
    store: SqliteStore, models: ReadModels
) -> None:
    chances = iter([ValueError("by chance")] * 2)

    class Unlucky(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            if recorded.position.offset == 42:
                for chance in chances:
                    raise chance

    fill(store, accounts=20)
    Runner(Unlucky(), store, models).run()
    assert letters(models) == []
    assert actual(models) == expected(store)


def test_failures_with_good_events_between_them_leave_each_its_attempts(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [f"account-{number}" for number in range(1, 15)]
    chances = iter([ValueError("by chance")])

    class Unlucky(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            if recorded.aggregate_id in bad:
                raise ValueError("always")
            if recorded.aggregate_id == "account-99":
                for chance in chances:
                    raise chance

    monkeypatch.setattr(worker, "_FIRST", 1)
    monkeypatch.setattr(worker, "_LARGEST", 1)
    for name in ["account-0", *bad, "account-99"]:
        store.append(name, [Opened(owner=name)])
    for name in [*bad, "account-99"]:
        store.append(name, [Deposited(amount=1)])
        store.append("account-0", [Deposited(amount=1)])
    Runner(Unlucky(), store, models).run()
    assert [it.aggregate_id for it in letters(models)] == bad


def test_each_parked_event_is_logged_as_an_error(
    store: SqliteStore, models: ReadModels, caplog: pytest.LogCaptureFixture
) -> None:
    fill(store, accounts=4, rounds=1)
    store.append("account-3", [Deposited(amount=1)])
    Runner(Poisoned(), store, models).run()
    (error,) = [it for it in caplog.records if it.levelno == logging.ERROR]
    assert "balances parked Withdrawn, account-3 version 3 at events/0/" in error.getMessage()
    (warning,) = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert "1 event(s) wait behind" in warning.getMessage()


def test_parked_events_are_counted_by_partition(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=4, rounds=1)
    Runner(Poisoned(), store, models).run()
    store.append("account-3", [Deposited(amount=1)])
    Runner(Poisoned(), store, models).run()
    with models.connect() as connection:
        assert count_parked(connection, "balances", 1) == {ONLY: 2}
        assert count_parked(connection, "balances", 2) == {}


def test_a_rebuild_parks_anew_what_still_fails_and_nothing_else(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=10)
    Runner(poisoned(("account-3", 3), ("account-4", 4)), store, models).run()
    Runner(Poisoned(), store, models).rebuild()
    assert places(models)[0] == ("account-3", 3, "failed")
    assert {it[0] for it in places(models)} == {"account-3"}
    Runner(Balances(), store, models).rebuild()
    assert letters(models) == []
    assert actual(models) == expected(store)


def test_no_batch_of_the_usual_kind_asks_for_parked_events(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 5)
    monkeypatch.setattr(worker, "_LARGEST", 5)
    fill(store, accounts=10)
    with statements(models) as seen:
        Runner(Balances(), store, models).run()
    asked = [it for it in seen if "eventkit_dead_letters" in it and it.startswith("SELECT")]
    assert len(seen) > 50
    assert len(asked) == 2  # once whether any is parked, once which were discarded


class statements:  # noqa: N801 - a context manager
    """The statements that a block sends to write."""

    def __init__(self, models: ReadModels) -> None:
        self._engine = models._writer
        self._seen: list[str] = []

    def _note(self, _connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        self._seen.append(statement)

    def __enter__(self) -> list[str]:
        event.listen(self._engine, "before_cursor_execute", self._note)
        return self._seen

    def __exit__(self, *exc: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)


def test_what_happens_on_failure_is_one_of_two() -> None:
    with pytest.raises(InvalidProjection, match='"park" or "stop"'):

        class Skipping(Balances):
            on_failure = "skip"  # type: ignore[assignment]
