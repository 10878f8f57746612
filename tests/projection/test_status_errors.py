"""The errors that the status tells: of workers that ended, until one goes on."""

import threading
from pathlib import Path

import pytest

from eventkit import RecordedEvent
from eventkit.errors import HandlerFailed, RebuildNeeded, StoreUnavailable
from eventkit.projection import ReadModels, Runner, Transaction
from eventkit.projection.follower import note_failure
from eventkit.projection.source import SqliteSource
from eventkit.projection.worker import Worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, Opened, fill
from tests.projection.following import following, until


@pytest.fixture
def runner(store: SqliteStore, models: ReadModels) -> Runner:
    return Runner(Balances(), store, models)


def test_the_error_of_a_run_stays_in_the_status_until_one_goes_through(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    class Stopping(Balances):
        on_failure = "stop"

        def note(self, _recorded: RecordedEvent, _tx: Transaction) -> None:
            raise RuntimeError("out of \0 paper")  # a text that PostgreSQL does not take

    fill(store, accounts=2)
    with pytest.raises(HandlerFailed):
        Runner(Stopping(), store, models).run()
    (part,) = runner.status().partitions
    assert (part.state, r"out of \x00 paper" in (part.error or "")) == ("failed", True)
    runner.run()
    (part,) = runner.status().partitions
    assert (part.state, part.error, part.error_at) == ("current", None, None)


def test_a_log_that_cannot_be_followed_any_more_is_told_by_the_status(
    store: SqliteStore, models: ReadModels, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = threading.Event()

    def state(_source: SqliteSource) -> None:
        if dead.is_set():
            raise StoreUnavailable("the log cannot be followed: the index is gone")

    fill(store, accounts=2)
    monkeypatch.setattr(SqliteSource, "state", state)
    with pytest.raises(StoreUnavailable), following(runner) as future:  # noqa: PT012 - at the end
        until(lambda: models.exists() and runner.status().partitions[0].state == "current")
        dead.set()
        future.result(10)
    (part,) = runner.status().partitions
    assert (part.state, part.worker) == ("failed", None)
    assert part.error == "the log cannot be followed: the index is gone"
    dead.clear()
    with following(runner):
        until(lambda: runner.status().partitions[0].state == "current")


def test_the_error_of_one_who_ends_is_not_told_of_what_another_works_on(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=2)
    worker = Worker(Balances(), SqliteSource(store), models)
    with models.writing() as connection:
        worker.reports.tell(connection, "elsewhere:1", dict.fromkeys(worker.partitions, 1.0))
    note_failure(worker, models, worker.partitions, ValueError("out of paper"))
    (part,) = Runner(Balances(), store, models).status().partitions
    assert (part.worker, part.error) == ("elsewhere:1", None)
    with models.writing() as connection:
        worker.reports.leave(connection, dict.fromkeys(worker.partitions))
    note_failure(worker, models, worker.partitions, ValueError("out of paper"))
    (part,) = Runner(Balances(), store, models).status().partitions
    assert part.error == "ValueError: out of paper"


def test_a_checkpoint_beyond_the_end_of_the_log_is_told_as_a_worker_would(
    store: SqliteStore, models: ReadModels, runner: Runner, tmp_path: Path
) -> None:
    fill(store, accounts=2)
    runner.run()
    with SqliteStore(tmp_path / "older.db") as older:
        older.append("account-1", [Opened(owner="ann")])
        of_older = Runner(Balances(), older, models)
        with pytest.raises(RebuildNeeded) as refused:
            of_older.run()
        status = of_older.status()
        (part,) = status.partitions
        assert (status.state, part.state, part.error_at) == ("outdated", "failed", None)
        assert part.error == str(refused.value)
        assert "eventkit projection rebuild balances" in part.error
        of_older.rebuild()
        status = of_older.status()
    assert (status.state, status.partitions[0].error) == ("ready", None)


@pytest.mark.parametrize("answers", [True, False])
def test_a_log_of_which_an_older_end_is_told_is_not_taken_for_another_one(
    store: SqliteStore,
    runner: Runner,
    monkeypatch: pytest.MonkeyPatch,
    *,
    answers: bool,
) -> None:
    """As on Kafka: the index here, or a broker, may for a moment not know of the newest events."""
    fill(store, accounts=2)
    end = store.last_position()
    store.append("account-1", [Deposited(amount=5)])
    runner.run()

    def reaches(*_: object) -> bool:
        if not answers:
            raise StoreUnavailable("Kafka does not tell where the log ends")
        return True

    monkeypatch.setattr(SqliteSource, "end", lambda *_: end)
    monkeypatch.setattr(SqliteSource, "reaches", reaches)
    status = runner.status()
    (part,) = status.partitions
    assert (status.state, status.lag, part.state, part.error) == ("ready", 0, "current", None)
