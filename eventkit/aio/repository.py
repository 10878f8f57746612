"""Repositories for tasks."""

from __future__ import annotations

import inspect
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar, cast, overload

from eventkit import repository
from eventkit.aggregate import Aggregate
from eventkit.aio.store import EventStore
from eventkit.events import Metadata
from eventkit.steps import Decide, Load, Step, Steps, executing, saving
from eventkit.store import Append, Appended

_A = TypeVar("_A", bound=Aggregate)
_R = TypeVar("_R")


class Repository(Generic[_A]):
    """Loads and saves the aggregates of one class; see `eventkit.Repository`.

    Aggregates are loaded in a thread, `@apply` methods and all; commands run in the loop.

    Parameters:
        store: where their events are.
        aggregate_class: what to make of them.
        snapshot_every: how many events make a snapshot due; None keeps and uses none.
    """

    def __init__(
        self, store: EventStore, aggregate_class: type[_A], snapshot_every: int | None = None
    ) -> None:
        self._store = store
        self._sync = repository.Repository(store.sync, aggregate_class, snapshot_every)

    async def get(
        self, aggregate_id: str, version: int | None = None, as_of: datetime | None = None
    ) -> _A:
        """The aggregate now, at an earlier version, or as of a moment.

        See `eventkit.Repository.get`.
        """
        return await self._store.run(partial(self._sync.get, aggregate_id, version, as_of))

    async def get_or_new(self, aggregate_id: str) -> _A:
        """The aggregate now; a new one, at version 0, where it has no events."""
        return await self._store.run(partial(self._sync.get_or_new, aggregate_id))

    async def save(self, aggregate: _A, metadata: Metadata | None = None) -> Appended | None:
        """Append what the aggregate has recorded, if nobody else has appended since it was loaded.

        Saving again after an error, or after it was cancelled, is safe, also with more events:
        those recorded keep their ids, and what turns out to be stored is not written twice.
        See `eventkit.Repository.save`.
        """
        return await self._follow(saving(aggregate, metadata))

    @asynccontextmanager
    async def edit(self, aggregate_id: str, metadata: Metadata | None = None) -> AsyncIterator[_A]:
        """Load an aggregate (or begin a new one), and save it when the block ends without error.

        See `eventkit.Repository.edit`.
        """
        aggregate = await self.get_or_new(aggregate_id)
        yield aggregate
        await self.save(aggregate, metadata)

    @overload
    async def execute(
        self,
        aggregate_id: str,
        command: Callable[[_A], Awaitable[_R]],
        metadata: Metadata | None = None,
        attempts: int = 10,
    ) -> _R: ...

    @overload
    async def execute(
        self,
        aggregate_id: str,
        command: Callable[[_A], _R],
        metadata: Metadata | None = None,
        attempts: int = 10,
    ) -> _R: ...

    async def execute(
        self,
        aggregate_id: str,
        command: Callable[[_A], Any],
        metadata: Metadata | None = None,
        attempts: int = 10,
    ) -> Any:
        """Load, run a command, save; on a conflict all three again, with growing pauses.

        The command may be a coroutine function. See `eventkit.Repository.execute`.
        """
        return await self._follow(executing(aggregate_id, command, metadata, attempts))

    async def _follow(self, steps: Steps[_R]) -> _R:
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._do(step)
                except Exception as error:  # noqa: BLE001 - the steps know what it means
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return cast("_R", end.value)

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Append):
            return await self._store.append(*step)
        if isinstance(step, Load):
            return await self.get_or_new(step.aggregate_id)
        if isinstance(step, Decide):
            result = step.command(step.aggregate)
            return await result if inspect.isawaitable(result) else result
        return await sleep(step.seconds)
