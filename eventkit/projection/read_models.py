"""The database of the read models: opened for readers, and for those who write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from eventkit.errors import InvalidUrl, ReadModelError, ReadModelUnavailable
from eventkit.events import Position
from eventkit.masking import masked_url
from eventkit.projection.database import Database
from eventkit.projection.projection import Projection
from eventkit.projection.sqlite_database import SqliteDatabase
from eventkit.projection.waiting import Waiting

_HOW = "write sqlite:///read-models.db or postgresql://user:password@host:5432/database"


class ReadModels:
    """A database that holds read models, and beside them how far each projection has come.

    It may hold other tables as well, but no event store. Readers and writers go on side by side;
    in SQLite a second writer waits.

    Parameters:
        url: as SQLAlchemy writes it: `sqlite:///board.db` (a file here) or
            `sqlite:////var/lib/app/board.db` (a path), which is made when a projection first runs
            in a folder that exists; or `postgresql://user:password@host:5432/database`, which is
            there already. After a `?`, PostgreSQL takes what libpq knows, as `sslmode=require`;
            SQLite takes nothing.
        timeout: seconds to wait for what others have locked, and for a connection.
        patience: seconds for which a projection tries a batch again while PostgreSQL is away, or
            what it needs stays locked.

    Raises:
        InvalidUrl: the URL leads to no database that can hold read models.
        ReadModelUnavailable: psycopg is not installed.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, patience: float = 60.0) -> None:
        self._database = _database(url, timeout, patience)

    @property
    def where(self) -> str:
        """The file, or user, host and database, as messages name them."""
        return self._database.where

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name for the kind of database."""
        return self._writer.dialect.name

    @property
    def patience(self) -> float:
        """Seconds for which a batch is tried again after a failure that may pass."""
        return self._database.patience

    @property
    def _writer(self) -> Engine:
        return self._database.writer

    def exists(self) -> bool:
        """Whether any projection has run into this database.

        Raises:
            ReadModelUnavailable: the database cannot be reached.
        """
        with self._translated():
            return self._database.exists()

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
        with self._translated(), self._database.reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes, committed at the end of the block, undone by an error.

        Raises:
            ReadModelBusy: others hold a lock that it needs.
            ReadModelUnavailable: the database cannot be written.
        """
        with self._translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def building(self) -> Iterator[Connection]:
        """As `writing`, for one at a time: it makes or drops tables, or begins checkpoints."""
        with self.writing() as connection:
            self._database.lock_builds(connection)
            yield connection

    def wait(
        self, projection: str | type[Projection], position: Position, timeout: float = 10.0
    ) -> None:
        """Return when what readers read holds the event at a position: read your own write.

        An event that the projection does not handle, or that was parked as a dead letter, counts
        as held when the projection has passed it.

        Parameters:
            projection: its name or class.
            position: as `Appended.position` tells it.
            timeout: seconds.

        Raises:
            ProjectionBehind: it did not come so far in time.
            ReadModelUnavailable: the database cannot be read.
        """
        name = projection if isinstance(projection, str) else projection.name
        Waiting(self.exists, self.connect, name, None).until(position, timeout)

    def translate(self, error: BaseException) -> ReadModelError | None:
        """Our error where the database is the cause, None where a statement is."""
        return self._database.translate(error)

    def close(self) -> None:
        """Let go of the database; it opens again when it is used again."""
        self._database.writer.dispose()
        self._database.reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({masked_url(self._database.url)!r})"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            failure = self.translate(error)
            if failure is None:
                raise
            raise failure from error


def _database(url: str, timeout: float, patience: float) -> Database:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidUrl(url, _HOW) from error
    _, at, host = (parsed.host or "").rpartition("@")
    if at:  # SQLAlchemy ends a password at the first one, and what follows would be shown
        shown = parsed.set(host=host).render_as_string()
        raise InvalidUrl(shown, "it has several @; in a user name or a password, @ is written %40")
    match parsed.get_backend_name():
        case "sqlite":
            return SqliteDatabase(parsed, timeout, patience)
        case "postgresql":
            return _postgres(parsed, timeout, patience)
        case other:
            raise InvalidUrl(
                parsed.render_as_string(),
                f"read models live in SQLite or PostgreSQL, {other} is neither: {_HOW}",
            )


def _postgres(url: URL, timeout: float, patience: float) -> Database:
    try:
        # Only here: SQLite's users need no PostgreSQL client.
        from eventkit.projection.postgres_database import PostgresDatabase  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise ReadModelUnavailable(
            "read models in PostgreSQL need the package psycopg: "
            "pip install 'eventkit-kafka[postgres]'"
        ) from error
    return PostgresDatabase(url, timeout, patience)
