"""Progress bars on standard error: events, rate, time left. Nothing where it is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from eventkit.cli.output import ERR
from eventkit.projection import Progress as Report


class CatchUp(Protocol):
    """How far an index has come."""

    @property
    def done(self) -> int:
        """Offsets that were read."""

    @property
    def total(self) -> int:
        """Offsets there are."""


class _Events(ProgressColumn):
    """How many events are done, and how many a second."""

    def render(self, task: Task) -> Text:
        events, rate = task.fields["events"], task.fields.get("rate")
        if rate is None:
            rate = events / task.elapsed if task.elapsed else 0
        return Text(f"{events:,} events  {rate:,.0f}/s")


def events_progress() -> Progress:
    """A display whose tasks have a field `events` beside what is completed of their total."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Events(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=ERR,
        disable=not ERR.is_terminal,
    )


def reporting(progress: Progress, description: str) -> Callable[[Report], None]:
    """A bar for a projection: what its runner calls after each batch."""
    task = progress.add_task(description, total=None, events=0, rate=0.0)

    def report(now: Report) -> None:
        progress.update(task, completed=now.done, total=now.total, events=now.done, rate=now.rate)

    return report


@contextmanager
def catching_up(description: str) -> Iterator[Callable[[CatchUp], None]]:
    """A bar for an index that is built; there is none to see where it is up to date at once."""
    with events_progress() as progress:
        tasks: list[TaskID] = []

        def report(now: CatchUp) -> None:
            if not tasks and now.done < now.total:
                tasks.append(progress.add_task(description, events=0))
            for task in tasks:
                done = now.done >= now.total
                progress.update(
                    task, completed=now.done, total=now.total, events=now.done, visible=not done
                )

        yield report
