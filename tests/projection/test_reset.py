"""Putting a read model to a place in the log."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventkit import Metadata, Position
from eventkit.errors import InvalidInput, ProjectionError, RebuildNeeded
from eventkit.projection import Progress, ReadModels, Runner, worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, Opened, actual, expected, fill
from tests.projection.dying_versions import in_a_process
from tests.projection.ledgers import Ledger, Ledger2, held
from tests.projection.ledgers import expected as expected_ledger


@pytest.fixture(autouse=True)
def _filled(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_FIRST", 20)
    monkeypatch.setattr(worker, "_LARGEST", 20)
    fill(store, accounts=10)


@pytest.fixture
def runner(store: SqliteStore, models: ReadModels) -> Runner:
    runner = Runner(Balances(), store, models)
    runner.run()
    return runner


def at(offset: int) -> list[Position]:
    return [Position("events", 0, offset)]


def test_the_beginning_is_an_empty_model_that_the_next_run_fills(
    runner: Runner, store: SqliteStore, models: ReadModels
) -> None:
    assert runner.reset() == 0
    assert (actual(models), runner.status().position) == (expected(store, 0), 0)
    assert runner.status().state == "rebuilding"
    runner.run()
    assert (actual(models), runner.status().state) == (expected(store), "ready")


@pytest.mark.parametrize("place", [1, 33, 91])
def test_an_earlier_place_gives_the_model_as_it_was_there(
    place: int, runner: Runner, store: SqliteStore, models: ReadModels
) -> None:
    seen: list[Progress] = []
    runner.reset(at(place), seen.append)
    assert (actual(models), runner.status().position) == (expected(store, place), place)
    assert (seen[-1].done, seen[-1].total) == (place, place)
    runner.run()
    assert actual(models) == expected(store)


def test_a_later_place_keeps_what_is_there(
    runner: Runner, store: SqliteStore, models: ReadModels
) -> None:
    before = store.last_position()
    for _ in range(5):
        store.append("account-1", [Deposited(amount=1)])
    assert runner.reset(at(before + 2)) == 2
    assert (actual(models), runner.status().state) == (expected(store, before + 2), "ready")
    assert runner.run() == 3


def test_a_time_counts_the_events_up_to_it(store: SqliteStore, models: ReadModels) -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    start = store.last_position()
    for minute in range(5):
        when = Metadata(timestamp=noon + timedelta(minutes=minute))
        store.append(f"account-x{minute}", [Opened(owner="x")], metadata=when)
    runner = Runner(Balances(), store, models)
    runner.run()
    for moment, place in (
        (noon - timedelta(hours=1), start),
        (noon, start + 1),
        (noon + timedelta(minutes=2, seconds=30), start + 3),
        (noon + timedelta(days=1), start + 5),
    ):
        runner.reset(moment)
        assert (runner.status().position, actual(models)) == (place, expected(store, place))


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (Position("events", 0, 1_000_000), "is not in the log: events/0 goes from 0 to 92"),
        (Position("events", 0, -1), "is not in the log"),
        (Position("events", 7, 1), "reads no events/7; it reads events/0"),
    ],
)
def test_a_place_that_is_not_in_the_log_is_refused(
    place: Position, reason: str, runner: Runner, store: SqliteStore, models: ReadModels
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        runner.reset([place])
    assert actual(models) == expected(store)


def test_what_never_ran_has_nothing_to_reset(store: SqliteStore, models: ReadModels) -> None:
    Runner(Ledger(), store, models).run()
    with pytest.raises(ProjectionError, match="version 1 of projection balances has not run"):
        Runner(Balances(), store, models).reset()
    with pytest.raises(ProjectionError, match="version 2 of projection ledger has not run"):
        Runner(Ledger2(), store, models).reset()


def test_a_reset_is_no_way_around_a_rebuild(store: SqliteStore, models: ReadModels) -> None:
    Runner(Ledger(), store, models).run()
    changed = type("Changed", (Ledger,), {"accounts": Ledger2.accounts})()
    with pytest.raises(RebuildNeeded):
        Runner(changed, store, models).reset()


def test_a_version_beside_is_reset_in_its_own_tables(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    runner = Runner(Ledger2(), store, models)
    runner.rebuild_beside()
    runner.reset(at(30))
    assert held(models) == expected_ledger(store, 1)
    assert held(models, "__v2") == expected_ledger(store, 2, 30)
    runner.run()
    assert held(models, "__v2") == expected_ledger(store, 2)


@pytest.mark.usefixtures("runner")
def test_a_reset_that_is_killed_goes_on_with_the_next_run(
    store: SqliteStore, models: ReadModels, models_url: str, tmp_path: Path
) -> None:
    def again() -> SqliteStore:
        return SqliteStore(tmp_path / "events.db", types=store.types)

    def reset_and_die() -> None:
        with again() as events, ReadModels(models_url) as own:
            Runner(Balances(), events, own).reset(
                at(90), lambda now: os.kill(os.getpid(), signal.SIGKILL) if now.done else None
            )

    models.close()
    store.close()  # a forked process cannot open the file of its parent
    assert in_a_process(reset_and_die) == -9
    with again() as events:
        assert actual(models) == expected(events, 20)
        Runner(Balances(), events, models).run()
        assert actual(models) == expected(events)
