"""Each event counts exactly once, whatever dies and however many run."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from eventkit.errors import CheckpointMoved
from eventkit.projection import ReadModels, Runner, worker
from eventkit.projection.checkpoints import Checkpoint, Checkpoints
from eventkit.projection.source import Partition, SqliteSource
from eventkit.projection.worker import Worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, actual, expected, fill, rows

ONLY = Partition("events", 0)


@pytest.fixture
def process(tmp_path: Path, models_url: str) -> Iterator["Processes"]:
    processes = Processes(tmp_path / "events.db", models_url)
    yield processes
    processes.stop()


class Processes:
    """Runs of the projection in processes of their own."""

    def __init__(self, store: Path, models_url: str) -> None:
        self._files = [str(store), models_url]
        self._started: list[subprocess.Popen[str]] = []

    def __call__(
        self, point: str = "never", left: int = 0, what: str = "run"
    ) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.projection.dying"]
        process = subprocess.Popen(
            [*command, *self._files, point, str(left), what],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


def prefix(store: SqliteStore, models: ReadModels) -> dict[str, list[tuple[object, ...]]]:
    """What the read model must hold at its checkpoint."""
    return expected(store, Runner(Balances(), store, models).status().position)


@pytest.mark.parametrize("point", ["in a handler", "before a commit", "after a commit"])
def test_a_worker_killed_at_any_point_leaves_rows_and_checkpoint_in_step(
    point: str, store: SqliteStore, models: ReadModels, process: Processes
) -> None:
    fill(store, accounts=10)
    for left in (2, 4):
        dying = process(point, left)
        dying.communicate()
        assert dying.returncode == -9
        assert actual(models) == prefix(store, models)
    Runner(Balances(), store, models).run()
    assert actual(models) == expected(store)


def test_a_worker_killed_from_outside_leaves_rows_and_checkpoint_in_step(
    store: SqliteStore, models: ReadModels, process: Processes
) -> None:
    fill(store, accounts=100)
    for batches in (1, 4, 9):
        dying = process()
        assert dying.stdout is not None
        for _ in range(batches):
            dying.stdout.readline()
        dying.kill()
        dying.communicate()
        assert actual(models) == prefix(store, models)
    Runner(Balances(), store, models).run()
    assert actual(models) == expected(store)


def test_a_rebuild_killed_on_its_way_is_finished_by_the_next_run(
    store: SqliteStore, models: ReadModels, process: Processes
) -> None:
    fill(store, accounts=20)
    runner = Runner(Balances(), store, models)
    runner.run()
    dying = process("in a handler", 30, "rebuild")
    dying.communicate()
    assert (dying.returncode, runner.status().state) == (-9, "rebuilding")
    assert actual(models) == prefix(store, models)
    runner.run()
    assert (actual(models), runner.status().state) == (expected(store), "ready")


def test_workers_of_one_projection_side_by_side_count_each_event_once(
    store: SqliteStore, models: ReadModels, process: Processes
) -> None:
    fill(store, accounts=100)
    running = [process() for _ in range(3)]
    for one in running:
        _, errors = one.communicate()
        assert one.returncode == 0 or "CheckpointMoved" in errors
    assert actual(models) == prefix(store, models)
    Runner(Balances(), store, models).run()
    assert actual(models) == expected(store)


def test_the_later_of_two_workers_at_one_place_writes_nothing(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 10)
    fill(store, accounts=20)
    one, two = (Worker(Balances(), SqliteSource(store), models) for _ in range(2))
    one.step(ONLY)
    with pytest.raises(CheckpointMoved) as caught:
        two.step(ONLY)
    assert (caught.value.expected, caught.value.actual) == (0, 10)
    assert actual(models) == expected(store, 10)


def test_a_worker_overtaken_by_a_rebuild_writes_nothing(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=2)
    overtaken = Worker(Balances(), SqliteSource(store), models)
    Runner(Balances(), store, models).rebuild()
    with pytest.raises(CheckpointMoved):
        overtaken.step(ONLY)
    assert actual(models) == expected(store)


def test_a_worker_of_an_earlier_build_at_the_same_place_writes_nothing(
    store: SqliteStore, models: ReadModels
) -> None:
    runner = Runner(Balances(), store, models)
    runner.run()
    overtaken = Worker(Balances(), SqliteSource(store), models)
    runner.rebuild()
    fill(store, accounts=2)
    with pytest.raises(CheckpointMoved, match="its tables were made anew"):
        overtaken.step(ONLY)
    assert rows(models, Balances.journal) == []


def test_a_worker_overtaken_by_a_rebuild_while_it_begins_works_on_the_new_build(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, accounts=2)
    Runner(Balances(), store, models).run()
    read = Checkpoints.read

    def read_before_the_other_rebuilds(
        _self: Checkpoints, _connection: Connection
    ) -> dict[Partition, Checkpoint]:
        monkeypatch.setattr(Checkpoints, "read", read)
        Runner(Balances(), store, models).rebuild()
        return {}

    monkeypatch.setattr(Checkpoints, "read", read_before_the_other_rebuilds)
    assert Worker(Balances(), SqliteSource(store), models).offsets == {ONLY: store.last_position()}


def test_a_worker_that_finds_the_tables_made_meanwhile_works_on_them(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, accounts=2)
    look = models.exists

    def look_before_the_other_makes_them() -> bool:
        found = look()
        monkeypatch.undo()
        Runner(Balances(), store, models).run()
        return found

    monkeypatch.setattr(models, "exists", look_before_the_other_makes_them)
    assert Worker(Balances(), SqliteSource(store), models).offsets == {ONLY: store.last_position()}


def test_workers_that_begin_together_make_the_checkpoint_once(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, accounts=2)
    Runner(Balances(), store, models).run()
    read = Checkpoints.read

    def read_before_the_other_makes_it(
        _self: Checkpoints, _connection: Connection
    ) -> dict[Partition, Checkpoint]:
        monkeypatch.setattr(Checkpoints, "read", read)
        return {}

    monkeypatch.setattr(Checkpoints, "read", read_before_the_other_makes_it)
    assert Worker(Balances(), SqliteSource(store), models).offsets == {ONLY: store.last_position()}
