"""An event store for the tasks of event loops."""

from __future__ import annotations

import os
import threading
from asyncio import get_running_loop, sleep
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel

from eventkit import store
from eventkit.aio.appending import Appender
from eventkit.aio.mailbox import Mailbox, Mailboxes
from eventkit.aio.pool import Pool, in_thread
from eventkit.aio.replaying import replayed
from eventkit.aio.subscribing import Subscription
from eventkit.errors import EventkitError, StoreClosed, StoreUnavailable
from eventkit.events import Event, EventTypes, Metadata, Position, RecordedEvent
from eventkit.store import Append, Appended, Snapshot, check_together

_T = TypeVar("_T")
_READERS = 4
_WRITERS = 4
_FIRST_LOOK = 0.002
"""Seconds between two looks for a position; doubled each time up to `_LONGEST_LOOK`."""
_LONGEST_LOOK = 0.05


class EventStore:
    """An `eventkit.EventStore` whose calls are awaited.

    It may be used from several loops, in several threads, and outlives them; not after `fork()`,
    see `SqliteStore` and `KafkaStore`.

    A call that is cancelled, also by a time-out, is taken back if it has not begun. A write that
    has begun may take effect, and nobody is told: give it event ids, then a retry is safe.

    Parameters:
        store: an open one, which is closed with this; `connect` opens one from a URL.
    """

    def __init__(self, store: store.EventStore) -> None:
        self._store = store
        self._process = os.getpid()
        self._refuses = False
        self._closing = threading.Lock()
        self._closed = False
        self._mailboxes = Mailboxes()
        self._appender = Appender(store)
        self._reads = Pool("reads", _READERS)
        self._writes = Pool("writes", _WRITERS)
        self._snapshots = SnapshotStore(self)

    @property
    def sync(self) -> store.EventStore:
        """The store behind it, for threads."""
        return self._store

    @property
    def types(self) -> EventTypes:
        """The event classes this store reads and writes."""
        return self._store.types

    @property
    def snapshots(self) -> SnapshotStore:
        """The snapshots beside the events."""
        return self._snapshots

    async def append(
        self,
        aggregate_id: str,
        events: Sequence[Event],
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        event_ids: Sequence[UUID] | None = None,
    ) -> Appended:
        """Write events of one aggregate, all or none; returns when they are durable.

        What many tasks append at once is written together. Parameters and errors: see
        `eventkit.EventStore.append`. Up to 50,000 appends wait for their turn, for 30 s; what is
        more or later is `StoreBusy`.
        """
        asked = Append(aggregate_id, events, expected_version, metadata, event_ids)
        asked.check()
        return await self._appender.append(_kept(asked), self._here())

    async def append_each(self, appends: Sequence[Append]) -> list[Appended | EventkitError]:
        """Write many appends, each on its own; see `eventkit.EventStore.append_each`."""
        call = partial(self._store.append_each, [_kept(asked) for asked in appends])
        return await self._writes.run(call, self._here())

    async def append_all(self, appends: Sequence[Append]) -> list[Appended]:
        """Write appends to several aggregates, all or none of them.

        See `eventkit.EventStore.append_all`.
        """
        check_together(appends)
        call = partial(self._store.append_all, [_kept(asked) for asked in appends])
        return await self._writes.run(call, self._here())

    async def get_events(
        self,
        aggregate_id: str,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
    ) -> list[RecordedEvent]:
        """The events of one aggregate; see `eventkit.EventStore.get_events`."""
        return await self.run(
            partial(self._store.get_events, aggregate_id, from_version, to_version, as_of)
        )

    def replay(
        self,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncGenerator[RecordedEvent, None]:
        """All events that match, in the order of the log, in constant memory.

        Parameters and errors, which come with the first event: see `eventkit.EventStore.replay`.
        """
        wanted = (event_types, workspace_id, categories, since, until)
        return replayed(partial(self._store.replay, *wanted), self.run)

    def subscribe(
        self,
        from_position: Position | Sequence[Position] | None = None,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
    ) -> Subscription:
        """All events that match, and on with each new one: `async for recorded in ...`.

        Parameters and errors, which come with the first event: see `eventkit.EventStore.subscribe`.
        """
        after = [from_position] if isinstance(from_position, Position) else from_position or ()
        wanted = (after, event_types, workspace_id, categories)
        return Subscription(partial(self._store.subscribe, *wanted), self.run, self._here, after)

    async def wait(
        self,
        position: Position,
        timeout: float | None = None,  # noqa: ASYNC109 - the same names as the store for threads
    ) -> None:
        """Return when the event at a position, told by another process, can be read here.

        Parameters:
            position: as `Appended.position` tells it.
            timeout: seconds; 30 unless given.

        Raises:
            InvalidInput: this log has no such topic or partition.
            StoreUnavailable: the log is not that far, which is `retryable`, or cannot be read.
        """
        loop = get_running_loop()
        seconds = 30.0 if timeout is None else timeout
        deadline = loop.time() + seconds
        pause = _FIRST_LOOK
        look = partial(_not_there, self._store, position)
        while error := await self.run(look):  # keeps no thread
            if loop.time() >= deadline:
                text = f"{position} was not read within {seconds:g} s"
                raise StoreUnavailable(text, retryable=True) from error
            await sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)

    async def run(self, read: Callable[[], _T]) -> _T:
        """Run something that reads `sync` in one of a few threads, and return its result."""
        return await self._reads.run(read, self._here())

    async def close(self) -> None:
        """Finish what was accepted and let go of everything; a second call does nothing.

        Goes on in its thread where it is cancelled.
        """
        if self._process == os.getpid():
            self._refuses = True
            try:
                closing = in_thread(self._close, "close")
            except RuntimeError:  # no thread can be had: better that the loop waits than a leak
                self._close()
            else:
                await closing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"aio.{type(self).__name__}({self._store!r})"

    def _close(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._appender.close()
            self._writes.close()
            self._reads.close()
            self._store.close()
            self._closed = True

    def _here(self) -> Mailbox:
        if self._refuses:
            raise StoreClosed("the event store")
        if self._process != os.getpid():
            raise StoreClosed.by_fork("the event store")
        return self._mailboxes.here()


class SnapshotStore:
    """Where a store keeps the newest snapshot of each aggregate; see `eventkit.store`."""

    def __init__(self, store: EventStore) -> None:
        self._run = store.run
        self._snapshots = store.sync.snapshots

    async def load_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """The newest snapshot, or None."""
        return await self._run(partial(self._snapshots.load_snapshot, aggregate_id))

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, unless a newer one with the same fold is there."""
        await self._run(partial(self._snapshots.save_snapshot, snapshot))

    async def encode_state(self, model: type[BaseModel], values: dict[str, Any]) -> bytes:
        """The typed fields as Avro; their schema is kept in the store."""
        return await self._run(partial(self._snapshots.encode_state, model, values))

    async def decode_state(self, model: type[BaseModel], data: bytes) -> dict[str, object] | None:
        """The typed fields, or None where they were written with another schema."""
        return await self._run(partial(self._snapshots.decode_state, model, data))


def _kept(asked: Append) -> Append:
    """The append as it is now: the caller's lists may change while it waits."""
    ids = asked.event_ids
    return asked._replace(events=_own(asked.events), event_ids=None if ids is None else _own(ids))


def _own(values: Sequence[_T]) -> Sequence[_T]:
    """Values that nobody else can change; what is no collection is left for the store to refuse."""
    return tuple(values) if isinstance(cast("object", values), Collection) else values


def _not_there(store: store.EventStore, position: Position) -> StoreUnavailable | None:
    """Why the event at a position cannot be read now, if it cannot."""
    try:
        store.wait(position, 0)
    except StoreUnavailable as error:
        return error
    return None
