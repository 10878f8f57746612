"""Writes of single rows on their way to the database, gathered into few statements."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, Executable

Row = dict[str, Any]

ANY_ROW: Final = object()
"""The key of a write that may touch any row."""


class Sender(Protocol):
    """Sends many rows of one statement in a way of its own."""

    def send(self, connection: Connection, rows: Sequence[Row], *, exact: bool) -> None:
        """Write the rows in order; `exact` where rows are the same only if their keys are equal."""


class RowStatement(NamedTuple):
    """One statement, and the names of its parameters: those of the row, then those added."""

    statement: Executable
    parameters: tuple[str, ...]
    bulk: Sender | None = None


class _Group(NamedTuple):
    """Rows of one statement; `any_row` are those of them that may be any row."""

    write: RowStatement
    rows: list[Row]
    any_row: list[Row]


class Writes:
    """Writes that keep the order in which they came for each row, and need few statements.

    The database takes a thousand rows in one `executemany` many times faster than one by one. So
    a write joins an earlier group with the same statement, unless a later group has a write on
    the same row already: then it must come after that one. A handler's usual pattern (insert,
    update, update, delete, for many aggregates in turn) becomes three statements a batch.
    """

    def __init__(self) -> None:
        self._groups: list[_Group] = []
        self._newest: dict[Executable, int] = {}
        self._last: dict[Hashable, int] = {}
        self._floor = 0
        self._any_row = False

    def add(self, write: RowStatement, row: Row, key: Hashable) -> None:
        """Take a write.

        Parameters:
            write: the same object for the same SQL.
            row: its parameters.
            key: which row it touches; ANY_ROW where that cannot be told.
        """
        earliest = len(self._groups) - 1 if key is ANY_ROW else self._last.get(key, 0)
        number = self._newest.get(write.statement, -1)
        if number < earliest or number < self._floor:
            number = self._newest[write.statement] = len(self._groups)
            self._groups.append(_Group(write, [], []))
        group = self._groups[number]
        group.rows.append(row)
        if key is ANY_ROW:
            self._floor = number
            self._any_row = True
            group.any_row.append(row)
        else:
            self._last[key] = number

    def touch(self, key: Hashable) -> bool:
        """Whether a write that waits may be one on this row."""
        return self._any_row or key in self._last or (key is ANY_ROW and bool(self._groups))

    def flush(self, connection: Connection) -> None:
        """Send what was taken, and be empty."""
        groups = self._groups
        if not groups:
            return
        self._groups, self._floor, self._any_row = [], 0, False
        self._newest.clear()
        self._last.clear()
        for write, rows, any_row in groups:
            if write.bulk is None:
                connection.execute(write.statement, rows)
            else:
                write.bulk.send(connection, rows, exact=not any_row)
