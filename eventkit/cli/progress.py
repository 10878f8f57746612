"""Progress bars on standard error: events, rate, time left. Nothing where it is no terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from eventkit.cli.output import ERR
from eventkit.projection import Progress as Report


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
