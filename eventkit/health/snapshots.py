"""Whether snapshots say what a replay says."""

from __future__ import annotations

import random
from collections.abc import Iterable

from eventkit.aggregate import Aggregate, fold, state_model, state_of
from eventkit.codec import AvroCodec
from eventkit.events import EventTypes, RecordedEvent
from eventkit.fold_fingerprint import fold_fingerprint
from eventkit.store import Snapshot

_CODEC = AvroCodec(EventTypes(), lambda _: None)  # of states; it reads no events


class Refold:
    """The replay of one aggregate up to the version of its snapshot.

    Parameters:
        snapshot: which.
        cls: the class of the aggregate.
    """

    def __init__(self, snapshot: Snapshot, cls: type[Aggregate]) -> None:
        self.snapshot = snapshot
        self._aggregate = cls(snapshot.aggregate_id)
        self._failure: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has come to the version of the snapshot, or cannot."""
        return self._failure is not None or self._aggregate.version >= self.snapshot.version

    def add(self, events: Iterable[RecordedEvent]) -> None:
        """Fold more events."""
        try:
            fold(self._aggregate, events)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._failure = f"its events cannot be folded: {type(error).__name__}: {error}"

    def problem(self) -> str | None:
        """What is wrong with the snapshot, once it is done."""
        snapshot, aggregate = self.snapshot, self._aggregate
        if self._failure is not None:
            return self._failure
        if aggregate.version != snapshot.version:
            return (
                f"the snapshot is of version {snapshot.version}, the log has "
                f"{aggregate.version} event(s)"
            )
        model = state_model(type(aggregate))
        kept = _CODEC.decode_state(model, snapshot.state)
        if kept is None:
            return f"the snapshot of version {snapshot.version} is damaged"
        folded = _CODEC.encode_state(model, state_of(aggregate))
        if folded == snapshot.state:
            return None
        replayed = _CODEC.decode_state(model, folded) or {}
        names = sorted({*kept, *replayed})
        differing = [it for it in names if kept.get(it) != replayed.get(it)]
        if not differing:
            return None
        return (
            f"the snapshot of version {snapshot.version} differs from a replay in "
            f"{', '.join(differing)}"
        )


def is_used(snapshot: Snapshot, cls: type[Aggregate]) -> bool:
    """Whether today's code would use a snapshot; one that it would not does no harm."""
    return (
        snapshot.fold == fold_fingerprint(cls)
        and snapshot.state[:10] == _CODEC.state_schema_of(state_model(cls)).header
    )


class Sample:
    """So many of the items that are offered, chosen by chance; all where `most` is None."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._chosen: list[str] = []
        self._random = random.Random()  # noqa: S311 - no secret
        self._offered = 0

    def offer(self, item: str) -> str | None:
        """Take an item, or not; returns the one that has no place now, if any."""
        self._offered += 1
        if self._most is None or len(self._chosen) < self._most:
            self._chosen.append(item)
            return None
        place = self._random.randrange(self._offered)
        if place >= len(self._chosen):
            return item
        self._chosen[place], gone = item, self._chosen[place]
        return gone
