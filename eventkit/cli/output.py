"""What commands print: tables for people, plain lines for pipes, JSON for machines."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eventkit.cloudevents import json_bytes
from eventkit.masking import masked

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line on standard output, not wrapped."""
    typer.echo(printable(text))


def complain(text: str, label: str = "error: ") -> None:
    """One line on standard error, in red on a terminal, without the passwords of URLs."""
    ERR.print(Text(printable(masked(f"{label}{text}"), keep="\n"), style="red"), soft_wrap=True)


def say_json(value: object) -> None:
    """One line of JSON on standard output."""
    write_lines([json_bytes(value)])


def write_lines(lines: Iterable[bytes]) -> None:
    """Lines of JSON on standard output, as they come.

    Raises:
        OSError: it cannot be written, or was closed before the command began.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    sys.stdout.flush()
    write, shown = sys.stdout.buffer.write, sys.stdout.isatty()
    for line in lines:
        write((_shown(line) if shown else line) + b"\n")
    sys.stdout.buffer.flush()


def _shown(line: bytes) -> bytes:
    """The same JSON, with what may steer a terminal as escapes: JSON lets much of it stand."""
    text = line.decode()
    if text.isprintable():
        return line
    return "".join(
        char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text
    ).encode()


def _escaped(char: str) -> str:
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal; elsewhere a header and rows, their cells parted by tabs."""
    if not OUT.is_terminal:
        for row in (columns, *rows):
            say("\t".join(_cell(value) for value in row))
        return
    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    OUT.print(table)


def printable(text: str, keep: str = "\t") -> str:
    """The text with control characters as escapes: data must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode()
        for char in text
    )


def compact(value: Any) -> str:
    """A value as JSON for a cell of a table; a text stands for itself."""
    plain = json.loads(json_bytes(value))
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def instant(moment: datetime) -> str:
    """A moment in UTC, to the millisecond, or to the microsecond where it has them."""
    timespec = "microseconds" if moment.microsecond % 1_000 else "milliseconds"
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def _cell(value: object) -> str:
    return "" if value is None else printable(str(value), keep="")
