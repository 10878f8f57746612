"""A replay for tasks: read off the loop, a little at a time."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic, thread_time
from typing import Protocol, TypeVar

from eventkit.errors import StoreClosed
from eventkit.events import RecordedEvent
from eventkit.replaying import Replay

_T = TypeVar("_T")
_CPU_TIME = 0.00025
"""Seconds. What is decoded in so short a time is no large thing in memory, however large the
events are; and no reader waits long for its first one."""
_LOOK = 8
"""Events between two looks at the clock, which cost as much as a tenth of an event; the first ones
are looked at sooner."""
_SEARCH = 0.005
"""Seconds for which one looks for the next event before others have a turn in the thread, and a
time-out is noticed; so much longer than going there and back that this costs next to nothing."""


class Read(Protocol):
    """Runs a call in a thread."""

    async def __call__(self, call: Callable[[], _T], /) -> _T:
        """Its result."""


class _Reading:
    """The events of a replay a few at a time; for one thread at a time."""

    def __init__(self, replay: Callable[[], Iterator[RecordedEvent]]) -> None:
        self._replay = replay
        self._events: Iterator[RecordedEvent] | None = None
        self._pages: Iterator[Iterable[RecordedEvent]] = iter(())
        self._page: Iterator[RecordedEvent] = iter(())
        self._lock = threading.Lock()

    def some(self) -> tuple[list[RecordedEvent], bool]:
        """The next events, maybe none yet, and whether there may be more."""
        with self._lock:
            if self._events is None:
                self._begin()
            found: list[RecordedEvent] = []
            until, search_until = thread_time() + _CPU_TIME, monotonic() + _SEARCH
            while self._fill(found, until):
                page = next(self._pages, None)
                if page is None:
                    return found, False
                self._page = iter(page)
                if (found and thread_time() >= until) or monotonic() >= search_until:
                    break
            return found, True

    def _begin(self) -> None:
        events = self._events = self._replay()
        self._pages = events.pages if isinstance(events, Replay) else iter((events,))

    def _fill(self, found: list[RecordedEvent], until: float) -> bool:
        """Take what the page has left; False where the time is up before that."""
        for recorded in self._page:
            found.append(recorded)
            count = len(found)
            if (count < _LOOK or not count % _LOOK) and thread_time() >= until:
                return False
        return True

    def close(self) -> None:
        """Let go of what the replay holds; who reads is waited for."""
        with self._lock:
            close = getattr(self._events, "close", None)
            if close is not None:
                close()


async def replayed(
    replay: Callable[[], Iterator[RecordedEvent]], read: Read
) -> AsyncGenerator[RecordedEvent, None]:
    """The events of a replay.

    Between two looks into the log nothing runs, so a replay that is left takes nothing with it;
    what it holds in the store is let go of when it is closed, or collected.

    Parameters:
        replay: begins it.
        read: runs a call in a thread.
    """
    reading, more = _Reading(replay), True
    try:
        while more:
            events, more = await read(reading.some)
            for recorded in events:
                yield recorded
    finally:
        with suppress(StoreClosed):
            await read(reading.close)
