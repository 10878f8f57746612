"""A temporary database for what grows with the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

_MOST = 10_000
"""Rows that wait in memory."""


class Scratch:
    """One table, which SQLite keeps in memory while it is small, and deletes in the end.

    Parameters:
        table: makes it.
        insert: adds a row.
    """

    def __init__(self, table: str, insert: str) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(table)
        self._insert = insert
        self._new: list[tuple[Any, ...]] = []

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Keep rows."""
        self._new += rows
        if len(self._new) >= _MOST:
            self._put_away()

    def ask(self, query: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """A query over all rows."""
        if self._new:
            self._put_away()
        return self._connection.execute(query, values)

    def close(self) -> None:
        """Delete it."""
        self._connection.close()

    def _put_away(self) -> None:
        new, self._new = self._new, []
        self._connection.execute("BEGIN")
        self._connection.executemany(self._insert, new)
        self._connection.execute("COMMIT")
