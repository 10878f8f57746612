"""The embedded event store: one SQLite file, any number of threads and processes."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self
from uuid import UUID

from eventkit.codec import AvroCodec, AvroSchema
from eventkit.errors import EventkitError, InvalidInput, StoreClosed
from eventkit.events import ALL_EVENT_TYPES, Event, EventTypes, Metadata, RecordedEvent, utc
from eventkit.ids import category_of, new_event_id
from eventkit.sqlite.connections import Connections
from eventkit.sqlite.failures import translated
from eventkit.sqlite.groupcommit import GroupCommit
from eventkit.sqlite.reader import Row, Scan, aggregate_rows, last_position
from eventkit.sqlite.rows import new_rows, plain, recorded
from eventkit.sqlite.schema import connect_file, prepare
from eventkit.sqlite.snapshots import SqliteSnapshots
from eventkit.sqlite.writer import Writer
from eventkit.sqlite.writes import Batch, Write
from eventkit.store import Append, Appended, EventFilter, Page, PlainEvent, event_filter

_PAGE = 1_000


class SqliteStore:
    """An `EventStore` in a SQLite file.

    An append that returned is on the disk: it survives kill -9 and, as far as the disk keeps its
    word on fsync, the loss of power. Use one store from any number of threads, and one file from
    any number of processes; after `fork()` each process opens its own.

    Parameters:
        path: the file; made where there is none. Its folder must exist.
        timeout: seconds to wait for the write lock of another process.
        types: the event classes to read; all of this process unless given.

    Raises:
        NotAnEventStore, StoreCorrupted, StoreBusy, StoreUnavailable: see `eventkit.errors`.
    """

    def __init__(
        self, path: str | Path, *, timeout: float = 10.0, types: EventTypes | None = None
    ) -> None:
        self._path = Path(path)
        self._where = str(path)
        self._timeout = timeout
        self._types = EventTypes(ALL_EVENT_TYPES) if types is None else types
        self._codec = AvroCodec(self._types, self._load_schema)
        self._schemas: dict[type[Event], AvroSchema] = {}
        self._process = os.getpid()
        self._closed = False
        self._closing = threading.Lock()
        with translated(self._where):
            self._connection = connect_file(self._path, timeout=timeout)
        try:
            prepare(self._connection, self._where, timeout=timeout)
        except BaseException:
            self._connection.close()
            raise
        self._readers = Connections(self._connect_reader)
        self._snapshots = SqliteSnapshots(
            self._connect_if_usable, self._reading, self._codec, self._where
        )
        writer = Writer(self._connection, self._codec, self._where, timeout)
        self._group = GroupCommit[Batch](writer.commit, timeout=timeout)

    @property
    def types(self) -> EventTypes:
        """The event classes this store reads and writes."""
        return self._types

    @property
    def codec(self) -> AvroCodec:
        """How event bodies become bytes and back."""
        return self._codec

    @property
    def snapshots(self) -> SqliteSnapshots:
        """The snapshots beside the events."""
        return self._snapshots

    def append(
        self,
        aggregate_id: str,
        events: Sequence[Event],
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        event_ids: Sequence[UUID] | None = None,
    ) -> Appended:
        """Write events of one aggregate, all or none; see `EventStore.append`."""
        asked = Append(aggregate_id, events, expected_version, metadata, event_ids)
        write = self._write(asked)
        self._commit([write])
        if isinstance(write.outcome, Appended):
            return write.outcome
        assert write.outcome is not None  # noqa: S101 - every committed write has an outcome
        raise write.outcome

    def append_each(self, appends: Sequence[Append]) -> list[Appended | EventkitError]:
        """Write many appends in one commit; see `EventStore.append_each`."""
        prepared: list[Write | EventkitError] = []
        for asked in appends:
            try:
                prepared.append(self._write(asked))
            except EventkitError as error:
                prepared.append(error)
        self._commit([item for item in prepared if isinstance(item, Write)])
        outcomes = [item.outcome if isinstance(item, Write) else item for item in prepared]
        return [outcome for outcome in outcomes if outcome is not None]

    def get_events(
        self,
        aggregate_id: str,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
    ) -> list[RecordedEvent]:
        """The events of one aggregate; see `EventStore.get_events`."""
        category_of(aggregate_id)
        if from_version < 1:
            raise InvalidInput(f"from_version is 1 or more, not {from_version}")
        moment = None if as_of is None else utc(as_of)
        with self._reading() as connection:
            rows = aggregate_rows(connection, aggregate_id, from_version, to_version, moment)
        codec = self._codec
        return [recorded(row, codec) for row in rows]

    def replay(
        self,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[RecordedEvent]:
        """All events that match, up to the newest at the start; see `EventStore.replay`."""
        wanted = event_filter(self._types, event_types, workspace_id, categories, since, until)
        return (recorded(row, self._codec) for row in self._rows(wanted))

    def plain_events(self, wanted: EventFilter) -> Iterator[PlainEvent]:
        """All events that match, their bodies read without any event class."""
        return (plain(row, self._codec) for row in self._rows(wanted))

    def page(self, wanted: EventFilter, after: int, limit: int) -> Page:
        """Up to `limit` matching events after a position, and how far the log was read for them."""
        with self._reading() as connection:
            rows, read_to = Scan(wanted).page(connection, after, last_position(connection), limit)
        return Page([recorded(row, self._codec) for row in rows], read_to)

    def _rows(self, wanted: EventFilter) -> Iterator[Row]:
        scan, after, end = Scan(wanted), 0, self.last_position()
        while after < end:
            with self._reading() as connection:
                rows, after = scan.page(connection, after, end, _PAGE)
            yield from rows

    def last_position(self) -> int:
        """The position of the newest event, 0 in an empty log."""
        with self._reading() as connection:
            return last_position(connection)

    def close(self) -> None:
        """Finish the appends that were accepted and close the file; again does nothing."""
        if self._process != os.getpid():
            return  # all there is belongs to the process that opened it
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._group.close(Batch(()))
            self._snapshots.close()
            self._readers.close()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r})"

    def _write(self, asked: Append) -> Write:
        asked.check()
        aggregate_id, events, expected, metadata, given = asked
        event_ids = tuple([new_event_id() for _ in events] if given is None else given)
        schemas = {self._schema_of(type(event)) for event in events}
        rows = new_rows(self._codec, events, event_ids, metadata)
        return Write(
            aggregate_id, expected, event_ids, rows, schemas, may_be_retry=given is not None
        )

    def _schema_of(self, cls: type[Event]) -> AvroSchema:
        schema = self._schemas.get(cls)
        if schema is None:
            self._types.bind(cls)
            schema = self._schemas[cls] = self._codec.schema_of(cls)
        return schema

    def _commit(self, writes: Sequence[Write]) -> None:
        self._check_usable()
        self._group.run(Batch(writes))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._check_usable()
        with translated(self._where), self._readers.borrow() as connection:
            yield connection

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreClosed(f"the event store {self._where}")
        if self._process != os.getpid():
            raise StoreClosed(
                f"the event store {self._where}",
                "was opened before fork() and belongs to the parent process",
            )

    def _connect(self) -> sqlite3.Connection:
        return connect_file(self._path, timeout=self._timeout)

    def _connect_if_usable(self) -> sqlite3.Connection:
        self._check_usable()
        return self._connect()

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _load_schema(self, fingerprint: bytes) -> str | None:
        with self._reading() as connection:
            row = connection.execute(
                "SELECT schema FROM schemas WHERE fingerprint = ?", (fingerprint,)
            ).fetchone()
        return None if row is None else str(row[0])
