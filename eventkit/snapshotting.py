"""When a snapshot is taken, and which one may be used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, TypeVar

from eventkit.aggregate import (
    Aggregate,
    restore,
    state_model,
    state_of,
    undeclared_state,
)
from eventkit.errors import AggregateError, CodecError, StoreClosed, StoreError
from eventkit.events import RecordedEvent
from eventkit.fold_fingerprint import fold_fingerprint
from eventkit.state_comparison import loss
from eventkit.store import Snapshot, SnapshotStore

_A = TypeVar("_A", bound=Aggregate)

log = logging.getLogger("eventkit.snapshots")


class Snapshotter(Generic[_A]):
    """Snapshots of one aggregate class: state(snapshot + tail) == state(all events), always.

    A snapshot is kept only if exactly the same state comes back from it. It is used only if it was
    made with today's fields by today's code, and lies in the past that is asked for. Whatever goes
    wrong with one costs a full fold, never an error.

    Parameters:
        snapshots: where they are kept.
        aggregate_class: whose they are.
        every: how many events past the last snapshot make the next one due.
    """

    def __init__(self, snapshots: SnapshotStore, aggregate_class: type[_A], every: int) -> None:
        self._snapshots = snapshots
        self._class = aggregate_class
        self._every = every
        self._fold = fold_fingerprint(aggregate_class)
        self._model = state_model(aggregate_class)
        self._complained = False

    def restore(
        self, aggregate: _A, version: int | None, as_of: datetime | None
    ) -> Snapshot | None:
        """Put a new aggregate at its snapshot, if one may be used, and return that."""
        try:
            snapshot = self._snapshots.load_snapshot(aggregate.aggregate_id)
            if snapshot is None or snapshot.fold != self._fold:
                return None
            if version is not None and snapshot.version > version:
                return None
            if as_of is not None and snapshot.timestamp > as_of:
                return None
            values = self._snapshots.decode_state(self._model, snapshot.state)
        except StoreClosed:
            raise
        except (CodecError, StoreError) as error:
            log.warning("the snapshot of %s cannot be read: %s", aggregate.aggregate_id, error)
            return None
        if values is None:
            return None
        restore(aggregate, snapshot.version, values)
        return snapshot

    def keep(self, aggregate: _A, events: Sequence[RecordedEvent], last: Snapshot | None) -> None:
        """Keep a snapshot if many events were folded on top of the last one."""
        if len(events) < self._every:
            return
        try:
            latest = max(recorded.timestamp for recorded in events)
            if last is not None:
                latest = max(latest, last.timestamp)
            state = self._state(aggregate)
            self._snapshots.save_snapshot(
                Snapshot(aggregate.aggregate_id, aggregate.version, state, latest, self._fold)
            )
        except (AggregateError, CodecError, StoreError) as error:
            level = logging.DEBUG if self._complained else logging.WARNING
            log.log(level, "no snapshot of %s: %s", aggregate.aggregate_id, error)
            self._complained = True

    def _state(self, aggregate: _A) -> bytes:
        """The state as bytes from which the very same comes back.

        Raises:
            AggregateError: another would come back; says what to do.
        """
        values = self._values(aggregate)
        state = self._snapshots.encode_state(self._model, values)
        back = self._snapshots.decode_state(self._model, state)
        lost = "it could not be read back" if back is None else loss(values, back)
        if lost is not None:
            raise AggregateError(f"its state would not come back as it is: {lost}")
        return state

    def _values(self, aggregate: _A) -> dict[str, object]:
        undeclared = undeclared_state(aggregate)
        if undeclared:
            raise AggregateError(
                f"{self._class.__name__} keeps {min(undeclared)!r} outside its typed fields, where "
                f"a snapshot would lose it; declare it: {min(undeclared).lstrip('_')}: <type>"
            )
        return state_of(aggregate)
