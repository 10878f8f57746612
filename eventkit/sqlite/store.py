"""The embedded event store: one SQLite file, any number of threads and processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Self
from uuid import UUID

from eventkit.codec import AvroCodec, AvroSchema
from eventkit.errors import EventkitError, InvalidInput, StoreClosed, StoreUnavailable
from eventkit.events import ALL_EVENT_TYPES, Event, EventTypes, Metadata, Position
from eventkit.ids import new_event_id
from eventkit.reentry import Calls
from eventkit.sqlite.groupcommit import GroupCommit
from eventkit.sqlite.log import ReadsLog, SqliteLog, Stretch
from eventkit.sqlite.openedfile import OpenedFile
from eventkit.sqlite.pages import Pages
from eventkit.sqlite.rows import TOPIC, new_rows
from eventkit.sqlite.schema import prepare
from eventkit.sqlite.snapshots import SqliteSnapshots
from eventkit.sqlite.writer import Writer
from eventkit.sqlite.writes import Batch, Write, in_order
from eventkit.store import Append, Appended, EventFilter, Page, check_together
from eventkit.subscribing import Subscribes, Subscriptions

_LEAST_PATIENCE = 5.0
"""Seconds for which callers wait for each other, whatever they wait for other processes."""
_LOOK = 0.005
"""Seconds between two looks for a position; one costs some 10 microseconds."""


class SqliteStore(ReadsLog, Subscribes):
    """An `EventStore` in a SQLite file.

    An append that returned is on the disk: it survives kill -9 and, as far as the disk keeps its
    word on fsync, the loss of power. Use one store from any number of threads, and one file from
    any number of processes. One made by `fork()` cannot open a file that its parent has open.

    Parameters:
        path: the file; made where there is none. Its folder must exist.
        timeout: seconds to wait for the write lock of another process.
        types: the event classes to read; all of this process unless given.

    Raises:
        InvalidInput: no file is named.
        NotAnEventStore, StoreCorrupted, StoreBusy, StoreUnavailable: see `eventkit.errors`.
    """

    def __init__(
        self, path: str | Path, *, timeout: float = 10.0, types: EventTypes | None = None
    ) -> None:
        if "\0" in str(path):
            raise InvalidInput(f"{str(path)!r} is no file name: it holds a null character")
        if str(path) in ("", ":memory:"):
            raise InvalidInput(
                "an event store is a file: what is in memory is gone with the process. "
                "In tests, use a file in a temporary folder."
            )
        self._path = _absolute(Path(path))
        # A file name is bytes; those that are no text must not break the message that names it.
        self._where = str(path).encode("utf-8", "backslashreplace").decode()
        self._timeout = timeout
        self._types = EventTypes(ALL_EVENT_TYPES) if types is None else types
        self._schemas: dict[type[Event], AvroSchema] = {}
        self._process = os.getpid()
        self._closed = self._released = False
        self._closing = threading.Lock()
        self._calls = Calls(f"the event store {self._where}")
        self._file = OpenedFile(self._path, self._where, timeout)
        self._connection = self._file.create()
        try:
            prepare(self._connection, self._path, self._where, timeout=timeout)
            self._file.settle()
        except BaseException:
            self._connection.close()
            raise
        self._log = SqliteLog(self._types, self._file.connect, self._check_usable, self._where)
        self._codec = self._log.codec
        self._subscriptions = Subscriptions(self._types, Pages(self._log))
        self._snapshots = SqliteSnapshots(
            self._file.connect, self._log.reading, self._check_usable, self._codec, self._where,
            self._calls,
        )  # fmt: skip
        writer = Writer(self._connection, self._codec, self._file, self._where, timeout)
        self._group = GroupCommit[Batch](writer.commit, timeout=max(timeout, _LEAST_PATIENCE))

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
        self._commit(Batch([write]))
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
        self._commit(Batch([item for item in prepared if isinstance(item, Write)]))
        outcomes = [item.outcome if isinstance(item, Write) else item for item in prepared]
        return [outcome for outcome in outcomes if outcome is not None]

    def append_all(self, appends: Sequence[Append]) -> list[Appended]:
        """Write appends to several aggregates, all or none; see `EventStore.append_all`."""
        check_together(appends)
        batch = Batch([self._write(asked) for asked in appends], together=True)
        self._commit(batch)
        if batch.refused is not None:
            raise batch.refused
        return in_order(batch.writes)

    def page(
        self, wanted: EventFilter, after: int, limit: int, *, keep_unreadable: bool = False
    ) -> Page:
        """Up to `limit` matching events after a position, and how far the log was read for them.

        Those whose bodies cannot be read raise, or are kept, as `SqliteLog.page` says.
        """
        stretch = Stretch(after, self.last_position())
        return self._log.page(wanted, stretch, limit, keep_unreadable=keep_unreadable)

    def last_position(self) -> int:
        """The position of the newest event, 0 in an empty log."""
        return self._log.last_position()

    def wait(self, position: Position, timeout: float | None = None) -> None:
        """Return when the event at a position can be read here; see `EventStore.wait`."""
        self._check_usable()
        topic, partition, offset = position
        if (topic, partition) != (TOPIC, 0):
            raise InvalidInput(f"{position} is no position of {self._where}")
        seconds = self._timeout if timeout is None else timeout
        deadline = monotonic() + seconds
        while (newest := self.last_position()) < offset:
            if monotonic() >= deadline:
                raise StoreUnavailable(
                    f"{position} was not written to {self._where} within {seconds:g} s: its log "
                    f"ends at {newest}. Wait longer, or see that the position is of this store.",
                    retryable=True,
                )
            sleep(_LOOK)

    def close(self) -> None:
        """Finish the appends that were accepted and close the file; again does nothing.

        In a signal handler that interrupts an append, it is closed when that ends. One that an
        interrupt ended before it was done is finished by the next.
        """
        if self._process == os.getpid():  # else all there is belongs to the one that opened it
            self._calls.run_or_leave(self._close)

    def _close(self) -> None:
        with self._closing:
            if self._released:
                return
            self._closed = True
            self._subscriptions.close()
            self._group.close(Batch(()))
            self._snapshots.close()
            self._log.close()
            self._connection.close()
            self._released = True

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
            self._types.bind_to_write(cls)
            schema = self._schemas[cls] = self._codec.schema_of(cls)
        return schema

    def _commit(self, batch: Batch) -> None:
        self._check_usable()
        self._calls.run(lambda: self._group.run(batch))

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreClosed(f"the event store {self._where}")
        if self._process != os.getpid():
            raise StoreClosed.by_fork(f"the event store {self._where}")
        self._file.check()


def _absolute(path: Path) -> Path:
    """The file that a path names now.

    Connections are opened later too, and a program may change its working directory in between:
    then the name would lead to another log.
    """
    try:
        return path.absolute()
    except FileNotFoundError:  # the working directory is deleted: opening the file tells
        return path
