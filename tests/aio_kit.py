"""An awaitable store and repository with the faces of those for threads: one suite fits both.

What is asked of them is awaited in an event loop that runs in a thread of its own.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel

from eventkit import Aggregate, Append, Appended, Event, Metadata, Position, RecordedEvent, aio
from eventkit.errors import EventkitError
from eventkit.events import EventTypes
from eventkit.store import Snapshot

_T = TypeVar("_T")
_A = TypeVar("_A", bound=Aggregate)
SECONDS = 60.0


class LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="loop")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Return what a coroutine returns in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(SECONDS)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(SECONDS)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


@contextmanager
def loop_thread() -> Iterator[LoopThread]:
    """A loop in a thread, ended at the end."""
    loop = LoopThread()
    try:
        yield loop
    finally:
        loop.close()


class SnapshotFace:
    """The snapshots of an awaitable store."""

    def __init__(self, loop: LoopThread, snapshots: aio.SnapshotStore) -> None:
        self._run = loop.run
        self._snapshots = snapshots

    def load_snapshot(self, aggregate_id: str) -> Snapshot | None:
        return self._run(self._snapshots.load_snapshot(aggregate_id))

    def save_snapshot(self, snapshot: Snapshot) -> None:
        self._run(self._snapshots.save_snapshot(snapshot))

    def encode_state(self, model: type[BaseModel], values: dict[str, object]) -> bytes:
        return self._run(self._snapshots.encode_state(model, values))

    def decode_state(self, model: type[BaseModel], data: bytes) -> dict[str, object] | None:
        return self._run(self._snapshots.decode_state(model, data))


class SubscriptionFace:
    """An awaitable subscription as an iterator."""

    def __init__(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any], it: aio.Subscription
    ) -> None:
        self._run = run
        self._it = it

    @property
    def positions(self) -> list[Position]:
        return self._it.positions

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent:
        try:
            recorded: RecordedEvent = self._run(self._it.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
        return recorded

    def close(self) -> None:
        self._run(self._it.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class StoreFace:
    """An awaitable store as an `EventStore`."""

    def __init__(self, loop: LoopThread, store: aio.EventStore) -> None:
        self._run = loop.run
        self._store = store
        self.snapshots = SnapshotFace(loop, store.snapshots)

    @property
    def types(self) -> EventTypes:
        return self._store.types

    def append(
        self,
        aggregate_id: str,
        events: Sequence[Event],
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        event_ids: Sequence[UUID] | None = None,
    ) -> Appended:
        return self._run(
            self._store.append(aggregate_id, events, expected_version, metadata, event_ids)
        )

    def wait(self, position: Position, timeout: float | None = None) -> None:
        self._run(self._store.wait(position, timeout))

    def append_each(self, appends: Sequence[Append]) -> list[Appended | EventkitError]:
        return self._run(self._store.append_each(appends))

    def append_all(self, appends: Sequence[Append]) -> list[Appended]:
        return self._run(self._store.append_all(appends))

    def get_events(
        self,
        aggregate_id: str,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
    ) -> list[RecordedEvent]:
        return self._run(self._store.get_events(aggregate_id, from_version, to_version, as_of))

    def replay(
        self,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[RecordedEvent]:
        events = self._store.replay(event_types, workspace_id, categories, since, until)
        while some := self._run(first(events, 4)):
            yield from some

    def subscribe(
        self,
        from_position: Position | Sequence[Position] | None = None,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
    ) -> Any:
        wanted = (from_position, event_types, workspace_id, categories)
        return SubscriptionFace(self._run, self._store.subscribe(*wanted))

    def close(self) -> None:
        self._run(self._store.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class RepositoryFace(Generic[_A]):
    """An awaitable repository as a `Repository`."""

    def __init__(self, loop: LoopThread, repository: aio.Repository[_A]) -> None:
        self._run = loop.run
        self._repository = repository

    def get(
        self, aggregate_id: str, version: int | None = None, as_of: datetime | None = None
    ) -> _A:
        return self._run(self._repository.get(aggregate_id, version, as_of))

    def save(self, aggregate: _A, metadata: Metadata | None = None) -> Appended | None:
        return self._run(self._repository.save(aggregate, metadata))

    @contextmanager
    def edit(self, aggregate_id: str, metadata: Metadata | None = None) -> Iterator[_A]:
        editing = self._repository.edit(aggregate_id, metadata)
        aggregate = self._run(_enter(editing))
        try:
            yield aggregate
        except BaseException as error:
            self._run(_leave(editing, error))
            raise
        self._run(_leave(editing, None))

    def execute(
        self,
        aggregate_id: str,
        command: Callable[[_A], Any],
        metadata: Metadata | None = None,
        attempts: int = 10,
    ) -> Any:
        return self._run(self._repository.execute(aggregate_id, command, metadata, attempts))


async def first(items: AsyncIterator[_T], count: int) -> list[_T]:
    """Return the next items, as many as that or all there are."""
    found: list[_T] = []
    async for item in items:
        found.append(item)
        if len(found) == count:
            break
    return found


async def _enter(context: Any) -> Any:
    return await context.__aenter__()


async def _leave(context: Any, error: BaseException | None) -> None:
    try:
        await context.__aexit__(type(error) if error else None, error, None)
    except BaseException as raised:
        if raised is not error:
            raise
