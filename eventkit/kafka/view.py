"""What a store has seen of the log: what is decided and applied, and what others propose."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from confluent_kafka import Message

from eventkit.errors import StoreUnavailable
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import Waiting
from eventkit.kafka.reading import headers_of, proposal_of

_MOST_WRITERS = 100
_FEW = 1_000
"""Rivals that are kept as they came; of more, only what is asked for: no bodies."""


class Rival(NamedTuple):
    """A record of another writer, as the read_uncommitted tail met it."""

    offset: int
    key: bytes
    message: Message
    seen_at: float

    @property
    def writer(self) -> str | None:
        """The `transactional.id` of its producer; None where it is no record of ours."""
        found = proposal_of(headers_of(self.message))
        return None if found is None else found[0]


class _Side:
    """What was seen of one partition."""

    __slots__ = ("by_key", "rivals", "seen", "unsorted")

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self.rivals: deque[Rival] = deque()
        self.by_key: dict[bytes, list[int]] = {}
        self.unsorted: list[Message] = []

    def add(self, message: Message, seen_at: float) -> None:
        offset, key = message.offset() or 0, _key(message)
        self.rivals.append(Rival(offset, key, message, seen_at))
        self.by_key.setdefault(key, []).append(offset)

    def drop_before(self, offset: int) -> None:
        while self.rivals and self.rivals[0].offset < offset:
            key = self.rivals.popleft().key
            offsets = self.by_key[key]
            if len(offsets) == 1:
                del self.by_key[key]
            else:
                del offsets[0]


class View:
    """Shared by the tails and the writer; every change wakes those who wait for one.

    `applied` is the read_committed side: everything below that offset is decided and in the index.
    The other side, what the read_uncommitted tail has seen, may be ahead of it or behind it.

    A record of our own is told from a rival's by its offset, which the broker reports to the
    writer; until it does, what is seen while a transaction of ours is open is kept unsorted. Only
    when that report is lost (in doubt) the headers of each record are looked at.

    Rivals are kept until they lie before `applied`, and before the base of the open transaction:
    the read back asks for those between its base and its own records, decided by then or not.

    `writers` says when each other writer was seen last.

    `behind` are the partitions of which the read_uncommitted tail has let go until the index comes
    after it (proposals.py). Nothing is to be proposed there: what we write would not be met.

    Parameters:
        applied: where the index stands, by partition.
        writer_id: the `transactional.id` of this store.
    """

    def __init__(self, applied: Mapping[Partition, int], writer_id: str) -> None:
        self.applied = dict(applied)
        self.failure: BaseException | None = None
        self._writer_id = writer_id
        self._changed = threading.Condition()
        self._sides = {partition: _Side(offset) for partition, offset in applied.items()}
        self._base: dict[Partition, int] | None = None
        self._by_header = False
        self._kept = 0
        self._awaited: Mapping[Partition, int] = {}
        self._waiters = 0
        self.behind: frozenset[Partition] = frozenset()
        self.writers: dict[str, float] = {}

    def add_applied(self, offsets: Mapping[Partition, int]) -> None:
        """The read_committed tail has come further: what lies below is decided and applied."""
        with self._changed:
            for partition, offset in offsets.items():
                if offset > self.applied[partition]:
                    self.applied[partition] = offset
                    self._prune(partition)
            self._changed.notify_all()

    def add_seen(
        self, messages: Mapping[Partition, Sequence[Message]], ends: Mapping[Partition, int]
    ) -> None:
        """The read_uncommitted tail has come further; `ends`: read to the present end."""
        with self._changed:
            for partition, some in messages.items():
                side = self._sides[partition]
                side.unsorted += some
                self._kept += len(some)
                side.seen = max(side.seen, (some[-1].offset() or 0) + 1)
                if self._base is None or self._by_header:
                    self._sort(partition)
            for partition, offset in ends.items():
                side = self._sides[partition]
                side.seen = max(side.seen, offset)
            self._changed.notify_all()

    def begin(self) -> dict[Partition, int]:
        """A transaction of ours begins; returns its base, what is applied now."""
        with self._changed:
            self._base, self._by_header = dict(self.applied), False
            return self._base

    def end(self) -> None:
        """The transaction of ours is over, and what came of its records was seen."""
        with self._changed:
            for partition in self._sides:
                self._sort(partition)
            self._base, self._by_header = None, False
            for partition in self._sides:
                self._prune(partition)

    def sort_by_header(self) -> None:
        """The offsets of our own records are not known: look into each record from now on.

        So the read back is over, and what lies before the index is kept no longer: else nothing
        would make room for the tail, while the one in doubt waits for it.
        """
        with self._changed:
            self._base, self._by_header = None, True
            for partition in self._sides:
                self._sort(partition)
                self._prune(partition)

    def has_seen(self, ends: Mapping[Partition, int]) -> bool:
        """Whether the read_uncommitted tail has passed these offsets."""
        return all(self._sides[partition].seen >= end for partition, end in ends.items())

    def has_applied(self, ends: Mapping[Partition, int]) -> bool:
        """Whether all below these offsets is decided and in the index."""
        return all(self.applied[partition] >= end for partition, end in ends.items())

    def wait_until_seen(self, ends: Mapping[Partition, int], deadline: float) -> bool:
        """Wait until the read_uncommitted tail has passed these offsets, however much it keeps."""
        self._awaited = ends
        try:
            return self.wait(lambda: self.has_seen(ends), deadline)
        finally:
            self._awaited = {}

    def crowded(self, most: int) -> set[Partition]:
        """If so many records are kept, the partitions that have more than their share of them.

        Not those in which our own records are still to be met.
        """
        if self._kept < most:
            return set()
        with self._changed:
            share, awaited = most / len(self._sides), self._awaited
            return {
                partition
                for partition, side in self._sides.items()
                if len(side.rivals) + len(side.unsorted) >= share
                and side.seen >= awaited.get(partition, 0)
            }

    def seen(self, partition: Partition) -> int:
        """The offset that the read_uncommitted tail reads next."""
        return self._sides[partition].seen

    def read_back(self, own: Mapping[Partition, Sequence[int]]) -> bool:
        """Tell our own records, at these offsets, from rivals; False if one of ours is missing."""
        with self._changed:
            found = [self._take_own(*item) for item in own.items()]
            return all(found)

    def lost(self, proposals: Iterable[Waiting]) -> list[Waiting]:
        """The appends of the open transaction that a rival came before."""
        with self._changed:
            base = self._base or {}
            return [it for it in proposals if self._came_before(it, base[it.partition])]

    def undecided(self, some: Iterable[Waiting]) -> list[Waiting]:
        """The appends to whose aggregates others have proposals that are not decided yet."""
        with self._changed:
            if not any(side.rivals for side in self._sides.values()):
                return []
            return [it for it in some if self._is_contended(it)]

    def proposed(self, some: Iterable[Waiting]) -> set[UUID]:
        """The event ids of these appends that stand in records that are not decided yet."""
        asked: dict[Partition, dict[bytes, dict[bytes, UUID]]] = {}
        for it in some:
            ids = asked.setdefault(it.partition, {}).setdefault(it.records[0].key, {})
            ids.update((id_.hex.encode(), id_) for id_ in it.event_ids)
        found: set[UUID] = set()
        with self._changed:
            for partition, keys in asked.items():
                side, applied = self._sides[partition], self.applied[partition]
                rivals = () if keys.keys().isdisjoint(side.by_key) else side.rivals
                for message in (*side.unsorted, *(it.message for it in rivals)):
                    wanted = keys.get(_key(message))
                    if wanted and (message.offset() or 0) >= applied:
                        found.update(wanted[it] for it in (_event_id(message),) if it in wanted)
        return found

    def oldest_undecided(self) -> dict[Partition, Rival]:
        """By partition, the undecided record of another writer that all readers wait behind."""
        with self._changed:
            found = {}
            for partition, side in self._sides.items():
                rival = next(self._open_rivals(partition, side), None)
                if rival is not None and rival.offset == self.applied[partition]:
                    found[partition] = rival
            return found

    def undecided_since(self, moment: float) -> list[Partition]:
        """The partitions in which others' records that were seen by then are not applied yet."""
        with self._changed:
            return [
                partition
                for partition, side in self._sides.items()
                for it in islice(self._open_rivals(partition, side), 1)
                if it.seen_at <= moment
            ]

    def rival_at(self, partition: Partition, offset: int) -> Rival | None:
        """The record of another writer at that offset, if it was seen and is not applied yet."""
        with self._changed:
            rivals = self._sides[partition].rivals
            if not rivals or rivals[-1].offset < offset:
                return None
            return next((it for it in rivals if it.offset == offset), None)

    def wait(self, reached: Callable[[], bool], deadline: float) -> bool:
        """Wait until something holds; False at the deadline (`time.monotonic`).

        Raises:
            StoreUnavailable: one of the tails has ended.
        """
        with self._changed:
            self._waiters += 1
            try:
                while not reached():
                    self.check()
                    left = deadline - monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(left)
            finally:
                self._waiters -= 1
            return True

    def watch(self, changed: Callable[[], bool], seconds: float) -> None:
        """As `wait`, for one who has time: a watcher of the index does not look more often."""
        deadline = monotonic() + seconds
        with self._changed:
            while not changed() and monotonic() < deadline:
                self.check()
                self._changed.wait(max(0.0, deadline - monotonic()))

    def check(self) -> None:
        """Raise StoreUnavailable if one of the tails has ended."""
        if self.failure is not None:
            raise StoreUnavailable(f"the log cannot be followed: {self.failure}")

    def waiters(self) -> int:
        """How many wait for a change."""
        return self._waiters

    def fail(self, error: BaseException) -> None:
        """A tail has ended; whoever waits is told."""
        with self._changed:
            self.failure = error
            self._changed.notify_all()

    def _open_rivals(self, partition: Partition, side: _Side) -> Iterator[Rival]:
        applied = self.applied[partition]
        return (it for it in side.rivals if it.offset >= applied)

    def _prune(self, partition: Partition) -> None:
        side = self._sides[partition]
        if side.rivals:
            before = len(side.rivals)
            side.drop_before(self._floor(partition))
            self._kept -= before - len(side.rivals)

    def _floor(self, partition: Partition) -> int:
        """Rivals before this offset matter no more; what is applied is never before the base."""
        return (self.applied if self._base is None else self._base)[partition]

    def _sort(self, partition: Partition) -> None:
        """All that is unsorted is a rival's, or the headers tell."""
        side = self._sides[partition]
        if not side.unsorted:
            return
        now, floor, many = monotonic(), self._floor(partition), self._kept > _FEW
        before = len(side.rivals) + len(side.unsorted)
        for message in side.unsorted:
            if (message.offset() or 0) >= floor and not self._is_own(message):
                if many:
                    message.set_value(None)
                side.add(message, now)
        side.unsorted.clear()
        self._kept += len(side.rivals) - before
        if side.rivals and side.rivals[-1].seen_at == now:
            self._note_writer(side.rivals[-1])

    def _note_writer(self, rival: Rival) -> None:
        """Who is about, so that writers can take turns; one record of a batch tells enough."""
        writer = rival.writer
        if writer is not None:
            self.writers[writer] = rival.seen_at
            if len(self.writers) > _MOST_WRITERS:
                del self.writers[min(self.writers, key=self.writers.__getitem__)]

    def _is_own(self, message: Message) -> bool:
        if not self._by_header:
            return False
        found = proposal_of(headers_of(message))
        return found is not None and found[0] == self._writer_id

    def _take_own(self, partition: Partition, own: Sequence[int]) -> bool:
        side = self._sides[partition]
        if [message.offset() for message in side.unsorted] == own:
            side.unsorted.clear()
            self._kept -= len(own)
            return True
        ours, before = set(own), len(side.unsorted)
        side.unsorted = [it for it in side.unsorted if it.offset() not in ours]
        found = before - len(side.unsorted)
        self._kept -= found
        self._sort(partition)
        return found == len(own)

    def _came_before(self, waiting: Waiting, base: int) -> bool:
        offsets = self._sides[waiting.partition].by_key.get(waiting.records[0].key)
        return offsets is not None and any(base <= it < waiting.last_offset for it in offsets)

    def _is_contended(self, waiting: Waiting) -> bool:
        offsets = self._sides[waiting.partition].by_key.get(waiting.records[0].key)
        return offsets is not None and offsets[-1] >= self.applied[waiting.partition]


def _key(message: Message) -> bytes:
    key: Any = message.key()
    return key or b""


def _event_id(message: Message) -> bytes:
    """In hexadecimal; empty if the record has none. Bodies are not always kept."""
    for name, value in headers_of(message) or ():
        if name == "ce_id" and value is not None:
            return value.replace(b"-", b"").lower()
    return b""
