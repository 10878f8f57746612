"""How the demo looks: made for a terminal of 80 columns, plain lines in a pipe."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from eventkit.cli.demo_choices import Change
from eventkit.cli.output import compact, printable
from eventkit.events import RecordedEvent

_INDENT = " " * 3
_GOES_ON = " \\"
_GAP = 2
"""Columns of the screen between those of a table."""


class Bars:
    """Progress bars, one a name.

    Parameters:
        progress: what draws them.
        names: what stands before each.
    """

    def __init__(self, progress: Progress, names: Iterable[str]) -> None:
        self._progress = progress
        self._tasks = {
            name: progress.add_task(printable(name), total=None, detail="", verdict="")
            for name in names
        }
        self.said: dict[str, str] = {}

    def show(self, name: str, done: float, total: float, detail: str, verdict: str = "") -> None:
        """Move a bar, and say something beside it."""
        self.said[name] = f"{detail}, {verdict}" if verdict else detail
        self._progress.update(
            self._tasks[name], completed=done, total=total, detail=detail, verdict=verdict
        )


class Screen:
    """Prints the parts of the demo.

    Parameters:
        console: where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def title(self, text: str) -> None:
        """What it is all about."""
        self._line(Text(text, style="bold"))

    def chapter(self, number: int, text: str) -> None:
        """A sentence that is shown to be true by what follows."""
        self._console.print()
        self._line(Text.assemble((f"{number}  ", "bold cyan"), (printable(text), "bold")))

    def say(self, text: str) -> None:
        """One line."""
        self._line(Text(_INDENT + printable(text)))

    def events(self, events: Iterable[RecordedEvent | None]) -> None:
        """A row for each event; None stands for those left out."""
        rows = [[_cell("..")] * 5 if item is None else _event_row(item) for item in events]
        self._table(("", "when (UTC)", "event", "what it says", "who"), rows, flexible=(3,))

    def state(self, columns: Sequence[str], fields: Iterable[Change]) -> None:
        """The fields of a state at two moments, in colour where they differ."""
        rows = []
        for name, before, now in fields:
            old, new = ("dim", "dim") if before == now else ("yellow", "bold green")
            rows.append([_cell(name), _cell(_brief(before), old), _cell(_brief(now), new)])
        self._table(columns, rows, flexible=(1, 2))

    def rows(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Rows of a read model, as many of their columns as there is room for."""
        cells = [[_cell(_brief(value)) for value in row] for row in rows]
        room, shown = self._room(), 0
        for width in _widths(columns, cells):
            room -= width + _GAP
            shown += room >= 0
        self._table(columns[:shown], [row[:shown] for row in cells])

    @contextmanager
    def bars(self, names: Sequence[str], *, stay: bool = False) -> Iterator[Bars]:
        """Progress bars for as long as the block lasts.

        Parameters:
            names: what stands before each.
            stay: keep them on the screen afterwards; in a pipe, what they said last.
        """
        width = max(map(len, names), default=0)
        with Progress(
            TextColumn(f"{_INDENT}{{task.description:{width}}}", markup=False),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[detail]}", markup=False),
            TextColumn("{task.fields[verdict]}", markup=False, style="bold green"),
            console=self._console,
            transient=not stay,
            disable=not self._console.is_terminal,
        ) as progress:
            bars = Bars(progress, names)
            yield bars
        if stay and not self._console.is_terminal:
            for name, detail in bars.said.items():
                self.say(f"{name:{width}}  {detail}")

    def commands(self, heading: str, options: Sequence[str], commands: Iterable[str]) -> None:
        """Commands to type, each as it must be typed here."""
        self._console.print()
        self._line(Text(heading, style="bold"))
        for command in commands:
            lines = [_program()]
            for part in (*options, command):
                if len(lines[-1]) + len(part) + len(_GOES_ON) >= self._console.width:
                    lines[-1] += _GOES_ON
                    lines.append(" " * 3)
                lines[-1] += f" {part}"
            self._line(Text("\n".join(lines), style="green"))

    def _line(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _room(self) -> int:
        return self._console.width - len(_INDENT) + _GAP

    def _table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Text]], flexible: Sequence[int] = ()
    ) -> None:
        """A table whose rows take one line each: flexible columns share what the others leave."""
        widths = _widths(columns, rows)
        others = sum(width for index, width in enumerate(widths) if index not in flexible)
        room = self._room() - others - _GAP * len(widths)
        for index in flexible:
            widths[index] = min(widths[index], max(room // len(flexible), 1))
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim", pad_edge=False)
        for column, width in zip(columns, widths, strict=True):
            table.add_column(printable(column), width=width, no_wrap=True, overflow="ellipsis")
        for row in rows:
            table.add_row(*row)
        self._console.print(Padding(table, (0, 0, 0, len(_INDENT)), expand=False))


def _widths(columns: Sequence[str], rows: Iterable[Sequence[Text]]) -> list[int]:
    widths = [len(column) for column in columns]
    for row in rows:
        widths = [max(width, cell.cell_len) for width, cell in zip(widths, row, strict=True)]
    return widths


def _event_row(recorded: RecordedEvent) -> list[Text]:
    fields = type(recorded.event).model_fields
    said = ", ".join(f"{name}: {_brief(getattr(recorded.event, name))}" for name in fields)
    return [
        _cell(str(recorded.version)),
        _cell(_brief(recorded.timestamp)),
        _cell(recorded.type, "cyan"),
        _cell(said),
        _cell(recorded.metadata.caused_by_user or "", "dim"),
    ]


def _cell(text: str, style: str = "") -> Text:
    return Text(printable(text, keep=""), style=style)


def _brief(value: object) -> str:
    """A value in few characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if isinstance(value, list | tuple):
        return f"{len(value)}, last: {_brief(value[-1])}" if value else "none"
    return "-" if value is None else compact(value)


def _program() -> str:
    """How this program is called from the working directory."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{_callable(Path(sys.executable))} -m eventkit"
    return _callable(program)


def _callable(program: Path) -> str:
    found = shutil.which(program.name)
    if found is not None and Path(found).absolute() == program.absolute():
        return program.name
    here = Path.cwd()
    absolute = program.absolute()
    path = absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
    return shlex.quote(str(path))
