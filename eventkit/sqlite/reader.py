"""Reading rows: of one aggregate, or of the whole log in pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from eventkit.sqlite.rows import COLUMNS, to_micros
from eventkit.store import EventFilter

Row = tuple[Any, ...]

_LAST = (1 << 63) - 1  # the largest integer SQLite knows
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM events"  # noqa: S608 - constants
_BETWEEN = f"{_SELECT} WHERE aggregate_id = ? AND version BETWEEN ? AND ?"
_BY_VERSION = f"{_BETWEEN} ORDER BY version"
# One statement, so that no event can come between looking for the cut and reading up to it.
_FIRST_LATER = "SELECT min(version) FROM events WHERE aggregate_id = ? AND timestamp > ?"
_AS_OF = f"{_BETWEEN} AND version < coalesce(({_FIRST_LATER}), {_LAST}) ORDER BY version"
_LAST_POSITION = "SELECT coalesce(max(position), 0) FROM events"
_METADATA, _DATA = COLUMNS.index("metadata"), COLUMNS.index("data")
_STRETCH = 10_000
"""Positions one query looks at, at most: a rare filter must not hold a read open for long."""
_ROOM = 4_000_000
"""Bytes of bodies and metadata after which a page ends, however few rows it has."""


def aggregate_rows(
    connection: sqlite3.Connection,
    aggregate_id: str,
    from_version: int,
    to_version: int | None,
    as_of: datetime | None,
) -> list[Row]:
    """The rows of one aggregate; `as_of` cuts before the first event that is later."""
    first = min(from_version, _LAST)
    last = _LAST if to_version is None else max(0, min(to_version, _LAST))
    if as_of is None:
        return connection.execute(_BY_VERSION, (aggregate_id, first, last)).fetchall()
    bounds = (aggregate_id, first, last, aggregate_id, to_micros(as_of))
    return connection.execute(_AS_OF, bounds).fetchall()


def last_position(connection: sqlite3.Connection) -> int:
    """The position of the newest event, 0 in an empty log."""
    (position,) = connection.execute(_LAST_POSITION).fetchone()
    return int(position)


class Scan:
    """A filter as SQL: reads the log page by page and never touches the bodies it drops."""

    def __init__(self, wanted: EventFilter) -> None:
        clauses = ["position > ? AND position <= ?"]
        self._parameters: list[object] = []
        for clause, values in _clauses(wanted):
            clauses.append(clause)
            self._parameters += values
        self._sql = f"{_SELECT} WHERE {' AND '.join(clauses)} ORDER BY position LIMIT ?"

    def page(
        self, connection: sqlite3.Connection, after: int, end: int, limit: int
    ) -> tuple[list[Row], int]:
        """Rows after one position, up to another, and the position to which the log was read."""
        stop = max(after, min(end, after + max(_STRETCH, limit)))
        rows: list[Row] = []
        room = _ROOM
        with closing(
            connection.execute(self._sql, (after, stop, *self._parameters, limit))
        ) as found:
            for row in found:
                rows.append(row)
                room -= len(row[_METADATA]) + len(row[_DATA])
                if room < 0:
                    break
        return rows, (rows[-1][0] if len(rows) == limit or room < 0 else stop)


def _clauses(wanted: EventFilter) -> Iterator[tuple[str, Sequence[object]]]:
    if wanted.types is not None:
        yield f"event_type IN ({_marks(wanted.types)})", wanted.types
    if wanted.workspace_id is not None:
        yield "workspace_id = ?", (wanted.workspace_id,)
    if wanted.categories is not None:
        # '.' is the character after '-', so the range holds all ids of the category.
        ranges = ["(aggregate_id >= ? AND aggregate_id < ?)"] * len(wanted.categories)
        bounds = [f"{category}{end}" for category in wanted.categories for end in "-."]
        yield f"({' OR '.join(ranges) or '0'})", bounds
    if wanted.since is not None:
        yield "timestamp >= ?", (to_micros(wanted.since),)
    if wanted.until is not None:
        yield "timestamp < ?", (to_micros(wanted.until),)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
