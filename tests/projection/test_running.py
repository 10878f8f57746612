"""Catching up, following, and what is told about it."""

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import pytest

from eventkit import Event, Metadata, RecordedEvent
from eventkit.errors import (
    HandlerFailed,
    InvalidProjection,
    ProjectionBehind,
    ProjectionError,
    RebuildNeeded,
)
from eventkit.events import EventTypes
from eventkit.projection import (
    Progress,
    ProjectionStatus,
    ReadModels,
    Runner,
    Transaction,
    on,
    worker,
)
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
    rows,
)
from tests.projection.following import following, until


class Unread(Event):
    pass


@pytest.fixture
def runner(store: SqliteStore, models: ReadModels) -> Runner:
    return Runner(Balances(), store, models)


def ago(hours: int) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def test_a_run_brings_the_read_model_to_the_end_of_the_log(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    fill(store, accounts=20)
    assert (store.last_position(), expected(store)) == (runner.run(), actual(models))


def test_a_second_run_handles_only_what_is_new(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    fill(store, accounts=3)
    runner.run()
    store.append("account-1", [Deposited(amount=7)])
    assert (runner.run(), runner.run()) == (1, 0)
    assert expected(store) == actual(models)


def test_a_run_on_an_empty_log_makes_empty_tables(models: ReadModels, runner: Runner) -> None:
    assert (runner.run(), rows(models, Balances.accounts)) == (0, [])


def test_batches_of_any_size_lead_to_the_same_read_model(
    store: SqliteStore, models: ReadModels, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 7)
    monkeypatch.setattr(worker, "_LARGEST", 13)
    fill(store, accounts=20)
    runner.run()
    assert expected(store) == actual(models)


def test_batches_that_take_long_become_smaller(
    store: SqliteStore, models: ReadModels, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 64)
    monkeypatch.setattr(worker, "_LONGEST", 0.0)
    fill(store, accounts=20)
    done: list[int] = []
    runner.run(lambda progress: done.append(progress.done))
    assert done[:9] == [0, 64, 96, 112, 120, 124, 126, 127, 128]
    assert expected(store) == actual(models)


def test_the_checkpoint_moves_past_events_that_the_projection_does_not_read(
    store: SqliteStore, runner: Runner
) -> None:
    store.append("account-1", [Opened(owner="ann")])
    store.append("other-1", [Unread()] * 3)
    runner.run()
    status = runner.status()
    assert (status.position, status.events, status.lag) == (4, 1, 0)


def test_the_status_of_a_projection_that_never_ran_tells_how_much_there_is(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    store.append("account-1", [Opened(owner="ann"), Closed()])
    status = runner.status()
    assert status[:8] == ProjectionStatus("balances", 1, 0, 2, 2, 0, None, "new")[:8]
    assert [(it.state, it.lag) for it in status.partitions] == [("new", 2)]
    assert not models.exists()


def test_the_status_after_a_run_tells_where_it_stands(store: SqliteStore, runner: Runner) -> None:
    before = datetime.now(UTC)
    store.append("account-1", [Opened(owner="ann"), Closed()])
    runner.run()
    store.append("account-2", [Opened(owner="bob")])
    status = runner.status()
    assert (*status[:6], status.state) == ("balances", 1, 2, 3, 1, 2, "ready")
    assert status.updated_at is not None
    assert before <= status.updated_at <= datetime.now(UTC)


def test_the_lag_is_told_in_events_and_as_the_age_of_the_oldest_one(
    store: SqliteStore, runner: Runner
) -> None:
    runner.run()
    store.append("other-1", [Unread()], metadata=Metadata(timestamp=ago(hours=3)))
    store.append("account-1", [Opened(owner="ann")], metadata=Metadata(timestamp=ago(hours=2)))
    store.append("account-1", [Closed()])
    status = runner.status()
    assert status.lag == 3
    assert status.lag_seconds == pytest.approx(7200, abs=60)
    assert [(it.state, it.lag) for it in status.partitions] == [("behind", 3)]
    runner.run()
    assert (runner.status().lag, runner.status().lag_seconds) == (0, 0)


def test_the_status_names_the_worker_for_as_long_as_there_is_one(runner: Runner) -> None:
    def workers() -> list[str | None]:
        return [it.worker for it in runner.status().partitions]

    with following(runner):
        until(lambda: workers() == [f"{socket.gethostname()}:{os.getpid()}"])
    assert workers() == [None]


def test_the_status_tells_the_last_error_until_a_worker_goes_on(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    class Stopping(Balances):
        on_failure = "stop"

        def note(self, _recorded: RecordedEvent, _tx: Transaction) -> None:
            raise RuntimeError("out of paper")

    fill(store, accounts=2)
    with pytest.raises(HandlerFailed):
        Runner(Stopping(), store, models).follow(threading.Event())
    (part,) = runner.status().partitions
    assert (part.state, part.worker) == ("failed", None)
    assert "out of paper" in (part.error or "")
    assert part.error_at is not None
    with following(runner):
        until(lambda: runner.status().partitions[0].error is None)
        until(lambda: runner.status().partitions[0].state == "current")


def test_another_projection_in_the_same_database_is_new_until_it_runs(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    class Journal(Balances):
        name = "journal"

    runner.run()
    assert Runner(Journal(), store, models).status().state == "new"


def test_progress_counts_from_nothing_to_all_there_was(
    store: SqliteStore, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 50)
    monkeypatch.setattr(worker, "_LARGEST", 50)
    fill(store, accounts=20)
    seen: list[Progress] = []
    runner.run(seen.append)
    assert [(progress.done, progress.total) for progress in seen] == [
        (0, 184),
        (50, 184),
        (100, 184),
        (150, 184),
        (184, 184),
    ]


def test_following_takes_what_is_there_and_each_new_event(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    fill(store, accounts=5)
    reports = SimpleQueue[Progress]()
    with following(runner, reports.put):
        assert reports.get(timeout=30)[:2] == (46, 46)
        store.append("account-1", [Deposited(amount=1)])
        assert reports.get(timeout=30)[:2] == (47, 47)
        until(lambda: runner.status().state == "ready")
        store.append("account-1", [Deposited(amount=1)])
        assert reports.get(timeout=30)[:2] == (48, 48)
    assert expected(store) == actual(models)


def test_who_appended_can_wait_until_the_read_model_holds_it(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    done = store.append("account-1", [Opened(owner="ann")])
    with following(runner):
        runner.wait(done.position, timeout=30)
        for amount in range(1, 4):
            done = store.append("account-1", [Deposited(amount=amount)])
            models.wait(Balances, done.position, timeout=30)
            assert actual(models) == expected(store)


def test_a_wait_for_a_projection_that_nobody_runs_ends(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    done = store.append("account-1", [Opened(owner="ann")])
    with pytest.raises(ProjectionBehind, match="it has read nothing there"):
        models.wait("balances", done.position, timeout=0.05)
    runner.run()
    later = store.append("account-1", [Deposited(amount=1)])
    models.wait("balances", done.position, timeout=0)
    with pytest.raises(ProjectionBehind, match="it is at 1 there") as caught:
        runner.wait(later.position, timeout=0.05)
    assert (caught.value.offset, caught.value.position) == (1, str(later.position))


def test_a_stopped_follow_finishes_the_batch_at_work(
    store: SqliteStore, models: ReadModels
) -> None:
    stop = threading.Event()

    class Stopping(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            stop.set()
            super().note(recorded, tx)

    fill(store, accounts=5)
    assert Runner(Stopping(), store, models).follow(stop) == 46
    assert expected(store) == actual(models)


def test_a_follow_that_is_stopped_before_it_begins_handles_nothing(
    store: SqliteStore, runner: Runner
) -> None:
    fill(store, accounts=5)
    stop = threading.Event()
    stop.set()
    assert runner.follow(stop) == 0


def test_a_runner_takes_an_instance(store: SqliteStore, models: ReadModels) -> None:
    with pytest.raises(InvalidProjection, match="an instance"):
        Runner(Balances, store, models)  # type: ignore[arg-type]


def test_a_store_that_projections_cannot_read_is_refused(models: ReadModels) -> None:
    with pytest.raises(ProjectionError, match="cannot read from a object"):
        Runner(Balances(), object(), models)  # type: ignore[arg-type]


def test_a_log_that_is_shorter_than_the_checkpoint_is_another_store(
    store: SqliteStore, models: ReadModels, runner: Runner, tmp_path: Path
) -> None:
    fill(store, accounts=2)
    runner.run()
    with SqliteStore(tmp_path / "other.db") as other:
        other.append("account-1", [Opened(owner="ann")])
        with pytest.raises(RebuildNeeded, match="built from another store"):
            Runner(Balances(), other, models).run()


def test_an_event_that_cannot_be_read_stops_the_run_with_all_before_it_kept(
    store: SqliteStore, models: ReadModels, tmp_path: Path
) -> None:
    fill(store, accounts=4)
    events = store.last_position()
    store.append("account-1", [Unread()])
    store.append("account-1", [Deposited(amount=5)])
    types = EventTypes()
    types.bind_all([Opened, Deposited, Withdrawn, Closed])

    class Everything(Balances):
        on_failure = "stop"

        @on(Event)
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            """Reads all types there are, so also the one that has no class any more."""

    with (
        SqliteStore(tmp_path / "events.db", types=types) as narrow,
        pytest.raises(
            ProjectionError, match=r"cannot read its next event after events/0/37: .*Unread"
        ),
    ):
        Runner(Everything(), narrow, models).run()
    status = Runner(Everything(), store, models).status()
    assert (events, "building") == (status.position, status.state)
