"""Read models in a SQLite file."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from eventkit.errors import InvalidUrl, ReadModelBusy, ReadModelError, ReadModelUnavailable
from eventkit.projection.forked import leave_to_parent
from eventkit.sqlite.forked import ADVICE, is_inherited
from eventkit.sqlite.schema import APPLICATION_ID

_PAUSE = 0.01
"""Seconds between two attempts to switch a new file to WAL."""

_CACHE = 32_768
"""KiB of pages that the writer keeps in memory, at most."""

_LOG_PAGES = 8_000
"""Of the write-ahead log, some 32 MB, until it is copied into the file: a page that many batches
change is copied once."""

_PRIMARY = 0xFF
"""Extended result codes keep the primary one in their low byte: sqlite.org/rescode.html."""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_READ_ONLY = (
    "is read-only for this user. Make the file and its folder writable; programs that only read "
    "do so through ReadModels.connect()."
)
_DAMAGED = (
    "is damaged, or its disk fails. Read models can always be built again: remove the file and "
    "run the projections."
)
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "cannot grow: the disk, or a limit set for the file, is full. Nothing of "
    "this batch was written; make room and run again.",
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: does its folder exist, and may this user read and "
    "write it?",
    sqlite3.SQLITE_NOTADB: "is no SQLite file; nothing was changed.",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_IOERR: _DAMAGED,
}


class SqliteDatabase:
    """See `Database`.

    Parameters:
        url: `sqlite:///` and a file, no options.
        timeout: seconds to wait for the write lock.
        patience: seconds for which a batch is tried again while others hold that lock: it stays
            with a process that is frozen in the middle of a write until that one goes on.
    """

    def __init__(self, url: URL, timeout: float, patience: float) -> None:
        if not url.database or url.database.startswith((":memory:", "file:")):
            raise InvalidUrl(
                str(url), "it names no file; mind the three slashes: sqlite:///read-models.db"
            )
        _check_plain(url)
        self._shown = url.set(drivername="sqlite")
        # Also when the program changes its working directory, it is the file that is named now.
        self._path = Path(url.database).absolute()
        self._url = self._shown.set(database=str(self._path))
        self._timeout = timeout
        self.patience = patience
        self.writer = self._engine("BEGIN IMMEDIATE")
        self.reader = self._engine("BEGIN")
        event.listen(self.reader, "connect", _only_read)
        event.listen(self.writer, "connect", _write_much)

    @property
    def where(self) -> str:
        """The file, as it was given."""
        return str(self._shown.database)

    @property
    def url(self) -> str:
        """See `Database`."""
        return str(self._shown)

    def exists(self) -> bool:
        """See `Database`."""
        return self._path.exists()

    def translate(self, error: BaseException) -> ReadModelError | None:
        """See `Database`."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = (getattr(cause, "sqlite_errorcode", 0) or 0) & _PRIMARY
        if code in _BUSY:
            return ReadModelBusy(
                f"{self.where} stayed locked by another process for longer than the time-out; "
                "nothing of this batch was written. Run again, or find the process that holds it."
            )
        if code in _UNAVAILABLE:
            return ReadModelUnavailable(f"{self.where} {_UNAVAILABLE[code]} ({cause})")
        return None

    def lock_builds(self, _connection: Connection) -> None:
        """Nothing to do: there is one writer at a time."""

    def _engine(self, begin: str) -> Engine:
        engine = create_engine(self._url, connect_args={"timeout": self._timeout})
        leave_to_parent(engine)
        event.listen(engine, "do_connect", self._check_inherited)
        event.listen(engine, "connect", self._prepare)
        # The driver would begin a transaction late, at the first write, and never for a DDL
        # statement; so it is told to begin none, and each is begun here.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin) and None)
        return engine

    def _check_inherited(self, *_: object) -> None:
        if is_inherited(self._path):
            raise ReadModelUnavailable(f"{self.where} {ADVICE}")

    def _prepare(self, connection: sqlite3.Connection, _record: Any) -> None:
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()  # the pool has not taken it over yet
            raise

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.isolation_level = None
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application == APPLICATION_ID:
            raise ReadModelUnavailable(
                f"{self.where} is an event store; read models live in a database of their own. "
                "Nothing was changed; choose another file."
            )
        self._switch_to_wal(connection)
        # A commit may be lost with the power, but never torn: rows and checkpoint go back
        # together, and the events are read again.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """Let readers and a writer go on side by side; the file remembers it.

        Two processes that open a new file both want to switch. SQLite tells the later one that
        the file is locked without waiting for the time-out.
        """
        deadline = time.monotonic() + self._timeout
        while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                busy = (error.sqlite_errorcode & _PRIMARY) == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)


def _check_plain(url: URL) -> None:
    """See that the URL says nothing but a file: what else it says would not be heeded."""
    if url.drivername.lower() not in {"sqlite", "sqlite+pysqlite"}:
        raise InvalidUrl(str(url), "Python's own driver is used: write sqlite:/// and no driver")
    if url.host:
        raise InvalidUrl(str(url), "a file has no host; mind the three slashes: sqlite:///FILE")
    for option in sorted(url.query):
        raise InvalidUrl(
            str(url),
            f"unknown option {option!r}; read models in a SQLite file take none. "
            "ReadModels(..., timeout=SECONDS) is how long to wait for others.",
        )


def _write_much(connection: sqlite3.Connection, _record: Any) -> None:
    """Give a rebuild room for the pages that it touches again and again, in no order.

    An index on ids is such a one. With the 2 MB that SQLite takes by itself, a row an event took a
    third more processor time at 500,000 rows, all of it in calls of the system.
    """
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")


def _only_read(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA query_only = ON")
