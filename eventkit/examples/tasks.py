"""A to-do list: `eventkit --app eventkit.examples.tasks` knows all that is defined here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import Aggregate, Event, RecordedEvent, apply
from eventkit.projection import Projection, Transaction, on


class TaskCreated(Event):
    """Somebody wrote down what is to be done."""

    title: str = Field(description="What is to be done.")
    owner: str = Field(description="Who is to do it.")


class TaskCompleted(Event):
    """It was done."""


class TaskReopened(Event):
    """It was not done after all: what puts a `TaskCompleted` right, which stays in the log."""

    reason: str = Field(description="What was found to be missing.")


class Task(Aggregate):
    """One entry of the to-do list."""

    title: str = ""
    owner: str = ""
    done: bool = False
    reopened: int = 0

    def create(self, title: str, owner: str) -> None:
        """Write the task down.

        Raises:
            ValueError: it was created before.
        """
        if self.version:
            raise ValueError(f"{self.aggregate_id} was created before")
        self.record(TaskCreated(title=title, owner=owner))

    def complete(self) -> None:
        """Note it as done.

        Raises:
            ValueError: it is not there, or done already.
        """
        if not self.version or self.done:
            raise ValueError(f"{self.aggregate_id} is not open")
        self.record(TaskCompleted())

    def reopen(self, reason: str) -> None:
        """Take it up again.

        Raises:
            ValueError: it is not done.
        """
        if not self.done:
            raise ValueError(f"{self.aggregate_id} is not done")
        self.record(TaskReopened(reason=reason))

    @apply
    def _created(self, event: TaskCreated) -> None:
        self.title, self.owner = event.title, event.owner

    @apply
    def _completed(self, _event: TaskCompleted) -> None:
        self.done = True

    @apply
    def _reopened(self, _event: TaskReopened) -> None:
        self.done = False
        self.reopened += 1


class TaskBoard(Projection):
    """The tasks that are to be done, and how often each was taken up again."""

    name = "task_board"
    version = 1
    categories = ("task",)

    board = Table(
        "task_board",
        MetaData(),
        Column("task_id", String, primary_key=True),
        Column("title", String, nullable=False),
        Column("owner", String, nullable=False),
        Column("status", String, nullable=False),
        Column("reopened", Integer, nullable=False),
    )

    @on(TaskCreated)
    def created(self, recorded: RecordedEvent[TaskCreated], tx: Transaction) -> None:
        """A card comes onto the board."""
        event = recorded.event
        card = {"title": event.title, "owner": event.owner, "status": "open", "reopened": 0}
        tx.insert(self.board, {"task_id": recorded.aggregate_id, **card})

    @on(TaskCompleted)
    def completed(self, recorded: RecordedEvent, tx: Transaction) -> None:
        """The card is ticked off."""
        tx.update(self.board, {"task_id": recorded.aggregate_id, "status": "done"})

    @on(TaskReopened)
    def reopened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        """The tick is taken back."""
        card = {"task_id": recorded.aggregate_id, "status": "open"}
        tx.update(self.board, card, add={"reopened": 1})


SOURCE = "/eventkit/examples/tasks"
"""The CloudEvents source of the made-up log."""
_BEGIN = datetime(2024, 1, 8, 9, tzinfo=UTC)
_PEOPLE = ("ann", "bob", "cleo", "dan")
_TITLES = ("Mend the {}", "Order a new {}", "Clean the {}", "Write the manual of the {}")
_THINGS = ("printer", "coffee machine", "front door", "projector", "bicycle shed", "website")
_REASONS = ("it broke again", "one part was forgotten", "the customer is not happy")


def sample_log(tasks: int = 600, seed: int = 1) -> list[bytes]:
    """A made-up log of the to-do list, as lines of CloudEvents sorted by time.

    Parameters:
        tasks: how many.
        seed: another seed gives another log.
    """
    rng = Random(seed)  # noqa: S311 - an example, not a secret
    events = [event for number in range(1, tasks + 1) for event in _life(rng, f"task-{number}")]
    events.sort(key=lambda event: str(event["time"]))
    return [json.dumps(event).encode() + b"\n" for event in events]


def _life(rng: Random, task_id: str) -> Iterator[dict[str, Any]]:
    at = _BEGIN + timedelta(minutes=rng.randrange(60 * 24 * 90))
    owner = rng.choice(_PEOPLE)
    title = rng.choice(_TITLES).format(rng.choice(_THINGS))

    def event(kind: str, **data: str) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": str(UUID(int=rng.getrandbits(128), version=4)),
            "source": SOURCE,
            "type": kind,
            "subject": task_id,
            "time": at.isoformat(),
            "workspaceid": "example",
            "causedbyuser": owner if kind == "TaskCompleted" else rng.choice(_PEOPLE),
            "data": data,
        }

    yield event("TaskCreated", title=title, owner=owner)
    while rng.random() < 0.8:  # noqa: PLR2004 - most tasks get done
        at += timedelta(minutes=rng.randrange(30, 60 * 24 * 10))
        yield event("TaskCompleted")
        if rng.random() < 0.6:  # noqa: PLR2004 - and stay done
            return
        at += timedelta(minutes=rng.randrange(10, 60 * 24 * 5))
        yield event("TaskReopened", reason=rng.choice(_REASONS))
