"""The to-do list that comes with eventkit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from eventkit import Event, connect
from eventkit.examples.tasks import (
    Task,
    TaskBoard,
    TaskCompleted,
    TaskCreated,
    TaskReopened,
    sample_log,
)
from eventkit.importer import Importer, Line
from eventkit.projection import ReadModels, Runner

CREATED = TaskCreated(title="Mend the door", owner="ann")


def test_a_task_records_what_it_decides() -> None:
    task = Task("task-1")
    task.create("Mend the door", "ann")
    task.complete()
    task.reopen("it still creaks")
    assert task.pending_events == (CREATED, TaskCompleted(), TaskReopened(reason="it still creaks"))
    assert (task.done, task.reopened) == (False, 1)


@pytest.mark.parametrize(
    ("events", "command"),
    [
        ([], Task.complete),
        ([CREATED], lambda task: task.create("Mend it again", "bob")),
        ([CREATED], lambda task: task.reopen("why not")),
        ([CREATED, TaskCompleted()], Task.complete),
    ],
    ids=["complete nothing", "create twice", "reopen what is open", "complete twice"],
)
def test_a_task_refuses_what_makes_no_sense(
    events: list[Event], command: Callable[[Task], None]
) -> None:
    task = Task.replay_from(events, "task-1")
    with pytest.raises(ValueError, match="task-1"):
        command(task)
    assert task.pending_events == ()


def test_the_board_of_the_made_up_log_agrees_with_its_tasks(tmp_path: Path) -> None:
    with (
        connect(f"sqlite:///{tmp_path}/events.db") as store,
        ReadModels(f"sqlite:///{tmp_path}/board.db") as models,
    ):
        store.types.bind_all((TaskCreated, TaskCompleted, TaskReopened))
        lines = [Line(number, text) for number, text in enumerate(sample_log(tasks=30), start=1)]
        rejected: list[object] = []
        for _ in Importer(store, rejected.append).run(lines):
            pass
        Runner(TaskBoard(), store, models).run()
        with models.connect() as connection:
            board = [tuple(row) for row in connection.execute(TaskBoard.board.select())]
        tasks = {row[0]: Task.replay_from(store.get_events(row[0])) for row in board}
    assert rejected == []
    assert len(board) == 30
    assert sorted(board) == sorted(
        (task_id, task.title, task.owner, "done" if task.done else "open", task.reopened)
        for task_id, task in tasks.items()
    )


def test_the_made_up_log_is_the_same_for_the_same_seed() -> None:
    assert sample_log(10, seed=2) == sample_log(10, seed=2)
    assert sample_log(10, seed=2) != sample_log(10, seed=3)
