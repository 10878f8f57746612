"""Writes of single rows on their way to the database, gathered into few statements."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

from sqlalchemy import Connection, Executable

Row = dict[str, Any]

ANY_ROW: Final = object()
"""The key of a write that may touch any row."""


class Writes:
    """Writes that keep the order in which they came for each row, and need few statements.

    The database takes a thousand rows in one `executemany` many times faster than one by one. So
    a write joins an earlier group with the same statement, unless a later group has a write on
    the same row already: then it must come after that one. A handler's usual pattern (insert,
    update, update, delete, for many aggregates in turn) becomes three statements a batch.
    """

    def __init__(self) -> None:
        self._groups: list[tuple[Executable, list[Row]]] = []
        self._newest: dict[Executable, int] = {}
        self._last: dict[Hashable, int] = {}
        self._floor = 0
        self._any_row = False

    def add(self, statement: Executable, row: Row, key: Hashable) -> None:
        """Take a write.

        Parameters:
            statement: the same object for the same SQL.
            row: its parameters.
            key: which row it touches; ANY_ROW where that cannot be told.
        """
        earliest = len(self._groups) - 1 if key is ANY_ROW else self._last.get(key, 0)
        group = self._newest.get(statement, -1)
        if group < earliest or group < self._floor:
            group = self._newest[statement] = len(self._groups)
            self._groups.append((statement, []))
        self._groups[group][1].append(row)
        if key is ANY_ROW:
            self._floor = group
            self._any_row = True
        else:
            self._last[key] = group

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
        for statement, rows in groups:
            connection.execute(statement, rows)
