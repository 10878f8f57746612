"""The database of the read models: opened for readers, and for the one that writes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from eventkit.errors import InvalidUrl, ReadModelUnavailable
from eventkit.projection.failures import translated
from eventkit.sqlite.schema import APPLICATION_ID

_PAUSE = 0.01
"""Seconds between two attempts to switch a new file to WAL."""


class ReadModels:
    """A database that holds read models, and beside them how far each projection has come.

    It may hold other tables as well, but no event store. Readers and one writer go on side by
    side; a second writer waits.

    Parameters:
        url: as SQLAlchemy writes it: `sqlite:///board.db` (a file here) or
            `sqlite:////var/lib/app/board.db` (a path). The file is made when a projection first
            runs; its folder must exist.
        timeout: seconds to wait for the write lock of another process.

    Raises:
        InvalidUrl: the URL leads to no database that can hold read models.
    """

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self._url = _checked(url)
        self._path = Path(self._url.database or "")
        self._timeout = timeout
        self._writer = self._engine("BEGIN IMMEDIATE")
        self._reader = self._engine("BEGIN")
        event.listen(self._reader, "connect", _only_read)

    @property
    def where(self) -> str:
        """The file, as messages name it."""
        return str(self._path)

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name for the kind of database."""
        return self._writer.dialect.name

    def exists(self) -> bool:
        """Whether any projection has run into this database."""
        return self._path.exists()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection that reads: within it, all read models stay as they are at the first read.

        Raises:
            ReadModelUnavailable: no projection has run yet, or the database cannot be read.
        """
        if not self.exists():
            raise ReadModelUnavailable(
                f"there are no read models in {self.where} yet; run a projection first."
            )
        with translated(self.where), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes, committed at the end of the block, undone by an error.

        Raises:
            ReadModelBusy: another process holds the write lock.
            ReadModelUnavailable: the database cannot be written.
        """
        with translated(self.where), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of the database; it opens again when it is used again."""
        self._writer.dispose()
        self._reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._url)!r})"

    def _engine(self, begin: str) -> Engine:
        engine = create_engine(self._url, connect_args={"timeout": self._timeout})
        event.listen(engine, "connect", self._prepare)
        # The driver would begin a transaction late, at the first write, and never for a DDL
        # statement; so it is told to begin none, and each is begun here.
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin) and None)
        return engine

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
                busy = (error.sqlite_errorcode & 0xFF) == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE)


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidUrl(url, "write sqlite:///read-models.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise InvalidUrl(url, "read models live in SQLite: write sqlite:///read-models.db")
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise InvalidUrl(url, "it names no file; mind the three slashes: sqlite:///read-models.db")
    return parsed.set(drivername="sqlite")


def _only_read(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA query_only = ON")
