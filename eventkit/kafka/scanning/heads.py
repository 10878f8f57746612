"""The versions of all aggregates of a partition, as a reader from its beginning learns them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence

from eventkit.kafka.reading import LogRecord

MOST = 500_000
"""Aggregates whose versions are kept in memory: some 90 MB."""

_TABLE = "CREATE TABLE heads (aggregate_id TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID"
_KEEP = "INSERT OR REPLACE INTO heads VALUES (?, ?)"
_FIND = (
    "SELECT aggregate_id, version FROM heads WHERE aggregate_id IN (SELECT value FROM json_each(?))"
)


class Heads:
    """Versions by aggregate id, exact however many there are, in bounded memory.

    A table in memory holds them until there are more than `most`; then they go into a temporary
    file, and are asked for a batch at a time. A hash in place of the id would be smaller, but two
    ids of one hash would be judged by each other's versions.

    Parameters:
        known: versions to begin with.
        most: aggregates that are kept in memory.
    """

    def __init__(self, known: Iterable[tuple[str, int]] = (), *, most: int = MOST) -> None:
        self._versions = dict(known)
        self._most = most
        self._file: sqlite3.Connection | None = None

    def prepare(self, records: Sequence[LogRecord]) -> None:
        """Called before records are judged: from here on `of` knows their aggregates."""
        if len(self._versions) > self._most:
            self._put_away()
        if self._file is not None:
            self._fetch(self._file, {it.aggregate_id for it in records})

    def of(self, aggregate_id: str) -> int:
        """The version of an aggregate, 0 for none."""
        return self._versions.get(aggregate_id, 0)

    def update(self, accepted: Iterable[LogRecord]) -> None:
        """These events took effect, in this order."""
        self._versions.update([(it.aggregate_id, it.version) for it in accepted])

    def close(self) -> None:
        """Delete the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _put_away(self) -> None:
        if self._file is None:
            # A nameless database: SQLite deletes it with the connection. A generator may be ended
            # by the garbage collector, in any thread.
            self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = OFF")
            self._file.execute("PRAGMA synchronous = OFF")
            self._file.execute(_TABLE)
        self._file.execute("BEGIN")
        self._file.executemany(_KEEP, sorted(self._versions.items()))
        self._file.execute("COMMIT")
        self._versions.clear()

    def _fetch(self, file: sqlite3.Connection, wanted: Collection[str]) -> None:
        unknown = [it for it in wanted if it not in self._versions]
        self._versions.update(file.execute(_FIND, (json.dumps(unknown),)).fetchall())
