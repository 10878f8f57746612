"""The log in a SQLite file as readers see it: by aggregate, whole, and in pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from eventkit.codec import AvroCodec
from eventkit.errors import CodecError, EventTypeError, InvalidInput, StoreCorrupted
from eventkit.events import EventTypes, Position, utc
from eventkit.ids import category_of
from eventkit.replaying import Pages, Replay
from eventkit.sqlite.connections import Connections
from eventkit.sqlite.failures import translated
from eventkit.sqlite.reader import Row, Scan, aggregate_rows, last_position
from eventkit.sqlite.reads import Read, Reads, T, Versions
from eventkit.sqlite.rows import damaged_texts_kept, position_of, recorded, recorded_anyway
from eventkit.store import EventFilter, Page

_PAGE = 1_000
_SCHEMA = "SELECT schema FROM schemas WHERE fingerprint = ?"


class Stretch(NamedTuple):
    """Rows that have an order: those after one position, up to and including another."""

    after: int
    end: int


class Layout(Protocol):
    """Where in the file the log stands, and what its rows are called outside."""

    def place(self, number: int, /) -> Position:
        """The public form of a row's position."""

    def stretches(
        self, connection: sqlite3.Connection, wanted: EventFilter, /
    ) -> Sequence[Stretch]:
        """The parts of the log, up to the newest events, that may hold what is wanted."""


class OneLog:
    """The layout of the embedded store: the file is one log."""

    @staticmethod
    def place(number: int) -> Position:
        """The public form of a row's position."""
        return position_of(number)

    @staticmethod
    def stretches(connection: sqlite3.Connection, _wanted: EventFilter) -> Sequence[Stretch]:
        """All there is."""
        return (Stretch(0, last_position(connection)),)


class SqliteLog(Reads):
    """Reads events from a file that somebody else writes; used by any number of threads.

    Parameters:
        types: the event classes to read.
        connect: opens one more connection to the file.
        check_usable: raises where the file must not be read any more.
        where: what messages call the file.
        layout: where in the file the log stands.
        fetch_schema: asked for a schema that the file does not hold.
    """

    def __init__(
        self,
        types: EventTypes,
        connect: Callable[[], sqlite3.Connection],
        check_usable: Callable[[], None],
        where: str,
        *,
        layout: Layout | None = None,
        fetch_schema: Callable[[bytes], str | None] | None = None,
    ) -> None:
        self._types = types
        self._connect = connect
        self._check_usable = check_usable
        self._where = where
        self._layout: Layout = layout or OneLog()
        self._place = self._layout.place
        self._fetch_schema = fetch_schema
        self._readers = Connections(self._connect_reader)
        self.codec = AvroCodec(types, self._find_schema)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for the length of one query.

        Raises:
            StoreError: the file cannot be read.
        """
        self._check_usable()
        with translated(self._where), self._readers.borrow() as connection:
            yield connection

    def events_of(self, read: Read[T], asked: Versions) -> list[T]:
        """The events of one aggregate."""
        aggregate_id, from_version, to_version, as_of = asked
        category_of(aggregate_id)
        if from_version < 1:
            raise InvalidInput(f"from_version is 1 or more, not {from_version}")
        moment = None if as_of is None else utc(as_of)
        with self.reading() as connection:
            rows = aggregate_rows(connection, aggregate_id, from_version, to_version, moment)
        codec, place = self.codec, self._place
        return [read(row, codec, place) for row in rows]

    def events_where(self, read: Read[T], wanted: EventFilter) -> Replay[T]:
        """All events that match, up to the newest at the start."""
        return Replay(self._pages(read, wanted))

    def page(
        self, wanted: EventFilter, stretch: Stretch, limit: int, *, keep_unreadable: bool = False
    ) -> Page:
        """Up to `limit` matching events of a stretch, and how far it was read for them.

        Parameters:
            wanted: which events.
            stretch: where to look for them.
            limit: how many.
            keep_unreadable: have an `UnreadableEvent` for each that cannot be read.

        Raises:
            EventTypeError, CodecError: a body cannot be read, unless those are kept.
            StoreCorrupted: a row cannot be read, unless those are kept.
        """
        codec, place = self.codec, self._place
        scan = Scan(wanted)
        try:
            with self.reading() as connection:
                rows, read_to = scan.page(connection, stretch.after, stretch.end, limit)
            return Page([recorded(row, codec, place) for row in rows], read_to)
        except (CodecError, EventTypeError, StoreCorrupted):
            if not keep_unreadable:
                raise
        with self.reading() as connection, damaged_texts_kept(connection):
            rows, read_to = scan.page(connection, stretch.after, stretch.end, limit)
        return Page([recorded_anyway(row, codec, place) for row in rows], read_to)

    def last_position(self) -> int:
        """The position of the newest event, 0 in an empty log."""
        with self.reading() as connection:
            return last_position(connection)

    def load_schema(self, fingerprint: bytes) -> str | None:
        """The schema that the file holds under a fingerprint, as JSON."""
        with self.reading() as connection:
            row = connection.execute(_SCHEMA, (fingerprint,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close all connections; those in use when they come back."""
        self._readers.close()

    def _pages(self, read: Read[T], wanted: EventFilter) -> Pages[T]:
        scan = Scan(wanted)
        with self.reading() as connection:
            stretches = self._layout.stretches(connection, wanted)
        for after, end in stretches:
            while after < end:
                with self.reading() as connection:
                    rows, after = scan.page(connection, after, end, _PAGE)  # noqa: PLW2901 - goes on
                yield self._read_each(read, rows)

    def _read_each(self, read: Read[T], rows: list[Row]) -> Iterator[T]:
        return (read(row, self.codec, self._place) for row in rows)

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _find_schema(self, fingerprint: bytes) -> str | None:
        found = self.load_schema(fingerprint)
        if found is None and self._fetch_schema is not None:
            found = self._fetch_schema(fingerprint)
        return found


class ReadsLog(Reads):
    """The reading half of a store: what it is asked for, its log answers."""

    _log: SqliteLog

    def events_of(self, read: Read[T], asked: Versions) -> list[T]:
        """The events of one aggregate."""
        return self._log.events_of(read, asked)

    def events_where(self, read: Read[T], wanted: EventFilter) -> Replay[T]:
        """All events that match, up to the newest at the start."""
        return self._log.events_where(read, wanted)
