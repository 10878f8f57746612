"""Subscriptions: the log read page by page, and on, as it grows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol, Self, cast

from eventkit.bell import Bell
from eventkit.errors import CodecError, EventTypeError, InvalidInput, StoreClosed
from eventkit.events import Event, EventTypes, Position, RecordedEvent
from eventkit.store import EventFilter, Page, event_filter

_PAGE = 500
"""Events that are read at once, if they are small: large ones fill a page sooner."""

Partition = tuple[str, int]
"""Topic and number."""


class Followed(Protocol):
    """A log in partitions, each with an order of its own; offsets are those of positions."""

    def partitions(self, wanted: EventFilter | None = None, /) -> Sequence[Partition]:
        """Those that may hold what is wanted; all of them unless it is said."""

    def start(self, partition: Partition, /) -> int:
        """The offset before the first event."""

    def page(self, partition: Partition, wanted: EventFilter, after: int, limit: int, /) -> Page:
        """Up to `limit` matching events after an offset, and how far the log was read for them."""

    def reaches(self, partition: Partition, offset: int, /) -> bool:
        """Whether the log is so long already, wherever it is kept."""

    def state(self) -> object:
        """Something that is another one when there is more to read.

        Raises:
            StoreError: nothing more will come.
        """


class LogSubscription:
    """See `eventkit.store.Subscription`.

    A page is read from one partition after the other, so that none waits for the end of another.

    Parameters:
        log: what to read.
        wanted: which events.
        after: by partition, the offset after which it begins.
        bell: rings when there is more.
    """

    def __init__(
        self, log: Followed, wanted: EventFilter, after: Mapping[Partition, int], bell: Bell
    ) -> None:
        self._log = log
        self._wanted = wanted
        self._bell = bell
        self._process = os.getpid()
        self._closed = False
        self._after = dict(after)
        self._turns = deque(self._after)
        self._limit = _PAGE
        self._seen = bell.count
        self._partition: Partition | None = None
        self._events: Iterator[RecordedEvent] = iter(())
        self._read_to = 0
        self._last: RecordedEvent | None = None

    @property
    def positions(self) -> list[Position]:
        """Where it stands: as `from_position`, another subscription goes on from here."""
        offsets = dict(self._after)
        if self._last is not None and self._partition is not None:
            offsets[self._partition] = self._last.position.offset
        return [
            Position(*partition, offset)
            for partition, offset in offsets.items()
            if offset > self._log.start(partition)
        ]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent:
        while not self._closed:
            for event in self._events:
                self._last = event
                return event
            if not self._turn_page() and not self._closed:
                self._bell.wait(self._seen)
        raise StopIteration

    def ready(self, most: int) -> list[RecordedEvent] | None:
        """The next events, as many as are there and no more than so many; None at the end."""
        while not self._closed:
            events = list(islice(self._events, most))
            if events:
                self._last = events[-1]
                return events
            if not self._turn_page():
                break
        return None if self._closed else []

    def when_ready(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have a call made once there may be more than `ready` found, or it has ended.

        From any thread, and maybe at once. Returns what takes it back.
        """
        return self._bell.listen(-1 if self._closed else self._seen, call)

    def close(self) -> None:
        """End it, from any thread; whoever waits for an event is told that there is none."""
        if not self._closed:
            self._closed = True
            self._bell.ring()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _turn_page(self) -> bool:
        """Read the next page, which may be empty; False where nothing is new, or at the end."""
        if self._partition is not None:
            self._after[self._partition] = self._read_to
            self._partition = self._last = None
        self._seen = self._bell.count
        try:
            self._log.state()
            return any(self._read(self._next_turn()) for _ in range(len(self._turns)))
        except StoreClosed:
            if os.getpid() != self._process:
                raise
            self._closed = True
            return False

    def _next_turn(self) -> Partition:
        partition = self._turns[0]
        self._turns.rotate(-1)
        return partition

    def _read(self, partition: Partition) -> bool:
        after = self._after[partition]
        page = self._page(partition, after)
        if page.read_to <= after:
            return False
        self._partition, self._read_to = partition, page.read_to
        self._events = iter(page.events)
        return True

    def _page(self, partition: Partition, after: int) -> Page:
        try:
            page = self._log.page(partition, self._wanted, after, self._limit)
        except (CodecError, EventTypeError):
            if self._limit == 1:
                self._turns.remove(partition)  # asked again, it says so again
                self._turns.appendleft(partition)
                raise
            self._limit = 1  # those before the event that cannot be read come first, one by one
            return self._page(partition, after)
        self._limit = min(_PAGE, 2 * self._limit)
        return page


class Subscriptions:
    """The subscriptions of a store.

    Parameters:
        types: the event classes to read.
        log: what to read.
    """

    def __init__(self, types: EventTypes, log: Followed) -> None:
        self._types = types
        self._log = log
        self._bell = Bell(log.state)

    def open(
        self, from_position: Position | Iterable[Position] | None, wanted: EventFilter
    ) -> LogSubscription:
        """Begin one.

        Raises:
            InvalidInput: a position is none of this log.
            StoreClosed: it was closed before.
        """
        self._log.state()
        everywhere = self._log.partitions()
        found = _by_partition(from_position)
        for partition, position in found.items():
            if partition not in everywhere or position.offset < self._log.start(partition):
                raise InvalidInput(f"{position} is no position of this store")
            if not self._log.reaches(partition, position.offset):
                raise InvalidInput(
                    f"the log ends before {position}: the position is another log's, or the log "
                    "was replaced by an older copy"
                )
        after = {
            it: found[it].offset if it in found else self._log.start(it)
            for it in self._log.partitions(wanted)
        }
        return LogSubscription(self._log, wanted, after, self._bell)

    def close(self) -> None:
        """Wake all; they find that the store is closed."""
        self._bell.close()


class Subscribes:
    """The part of a store that is subscribed to."""

    _types: EventTypes
    _subscriptions: Subscriptions

    def subscribe(
        self,
        from_position: Position | Sequence[Position] | None = None,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
    ) -> LogSubscription:
        """All events that match, and on as they come; see `EventStore.subscribe`."""
        wanted = event_filter(self._types, event_types, workspace_id, categories)
        return self._subscriptions.open(from_position, wanted)


def _by_partition(some: Position | Iterable[Position] | None) -> dict[Partition, Position]:
    if some is None:
        return {}
    found: dict[Partition, Position] = {}
    for it in [some] if isinstance(some, Position) else some:
        if not isinstance(cast("object", it), Position):
            raise InvalidInput(f"from_position takes a Position, or several, not {it!r}")
        if (it.topic, it.partition) in found:
            raise InvalidInput(f"from_position names {it.topic}/{it.partition} twice")
        found[it.topic, it.partition] = it
    return found
