"""Repositories: aggregates out of the store and back into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import sleep
from typing import Any, Generic, TypeVar, cast

from eventkit.aggregate import Aggregate, applied_events, fold
from eventkit.errors import AggregateNotFound, InvalidInput
from eventkit.events import Metadata, utc
from eventkit.snapshotting import Snapshotter
from eventkit.steps import Decide, Load, Step, Steps, executing, saving
from eventkit.store import Append, Appended, EventStore

_A = TypeVar("_A", bound=Aggregate)
_R = TypeVar("_R")


class Repository(Generic[_A]):
    """Loads and saves the aggregates of one class.

    Parameters:
        store: where their events are.
        aggregate_class: what to make of them.
        snapshot_every: keep a snapshot when loading had to fold this many events since the last
            one; None keeps and uses none. Snapshots save time and are never the truth: one that
            was made by other code or with other fields is ignored and replaced.
    """

    def __init__(
        self,
        store: EventStore,
        aggregate_class: type[_A],
        snapshot_every: int | None = None,
    ) -> None:
        if snapshot_every is not None and snapshot_every < 1:
            raise InvalidInput(f"snapshot_every is 1 or more, or None, not {snapshot_every}")
        self._store = store
        self._class = aggregate_class
        self._snapshots = (
            Snapshotter(store.snapshots, aggregate_class, snapshot_every)
            if snapshot_every
            else None
        )
        store.types.bind_all(applied_events(aggregate_class))

    def get(
        self, aggregate_id: str, version: int | None = None, as_of: datetime | None = None
    ) -> _A:
        """The aggregate now, at an earlier version, or as of a moment.

        Parameters:
            aggregate_id: `category-id`.
            version: the version to go back to, 1 or more.
            as_of: the moment to go back to, with a time zone: the events up to the first that is
                later.

        Raises:
            AggregateNotFound: no events yet, not so many, or none at that moment.
        """
        if version is not None and version < 1:
            raise InvalidInput(f"version is 1 or more, not {version}")
        moment = None if as_of is None else utc(as_of)
        aggregate = self._load(aggregate_id, version, moment)
        if aggregate.version == 0:
            raise AggregateNotFound(
                aggregate_id,
                "has no events" if moment is None else f"had no events at {moment.isoformat()}",
            )
        if version is not None and moment is None and aggregate.version < version:
            raise AggregateNotFound(
                aggregate_id, f"is at version {aggregate.version}; there is no version {version}"
            )
        return aggregate

    def save(self, aggregate: _A, metadata: Metadata | None = None) -> Appended | None:
        """Append what the aggregate has recorded, if nobody else has appended since it was loaded.

        Saving again after an error is safe, also with more events: those recorded keep their ids,
        and what turns out to be in the store is not written twice.

        Parameters:
            aggregate: loaded by this repository, or new.
            metadata: who, when and why.

        Returns what was appended, or None where nothing was recorded.

        Raises:
            ConcurrencyError: somebody else was first; get it again and decide again.
        """
        return self._follow(saving(aggregate, metadata))

    @contextmanager
    def edit(self, aggregate_id: str, metadata: Metadata | None = None) -> Iterator[_A]:
        """Load an aggregate (or begin a new one), and save it when the block ends without error.

        Raises:
            ConcurrencyError: somebody else appended meanwhile; `execute` would have tried again.
        """
        aggregate = self.get_or_new(aggregate_id)
        yield aggregate
        self.save(aggregate, metadata)

    def execute(
        self,
        aggregate_id: str,
        command: Callable[[_A], _R],
        metadata: Metadata | None = None,
        attempts: int = 10,
    ) -> _R:
        """Load, run a command, save; on a conflict all three again, with growing pauses.

        Parameters:
            aggregate_id: `category-id`; where it has no events, a new aggregate is begun.
            command: gets the aggregate; may run several times, so it should only decide.
            metadata: who, when and why.
            attempts: how often to try before the conflict is raised.

        Returns what the command returned.
        """
        return cast("_R", self._follow(executing(aggregate_id, command, metadata, attempts)))

    def get_or_new(self, aggregate_id: str) -> _A:
        """The aggregate now; a new one, at version 0, where it has no events."""
        return self._load(aggregate_id, None, None)

    def _follow(self, steps: Steps[_R]) -> _R:
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step)
                except Exception as error:  # noqa: BLE001 - the steps know what it means
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return cast("_R", end.value)

    def _do(self, step: Step) -> Any:
        if isinstance(step, Append):
            return self._store.append(*step)
        if isinstance(step, Load):
            return self.get_or_new(step.aggregate_id)
        if isinstance(step, Decide):
            return step.command(step.aggregate)
        return sleep(step.seconds)

    def _load(self, aggregate_id: str, version: int | None, as_of: datetime | None) -> _A:
        aggregate = self._class(aggregate_id)
        snapshot = None
        if self._snapshots is not None:
            snapshot = self._snapshots.restore(aggregate, version, as_of)
        events = self._store.get_events(
            aggregate_id, from_version=aggregate.version + 1, to_version=version, as_of=as_of
        )
        fold(aggregate, events)
        if self._snapshots is not None and version is None and as_of is None:
            self._snapshots.keep(aggregate, events, snapshot)
        return aggregate
