"""A replay for tasks: read off the loop, a little at a time."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from time import thread_time
from typing import Protocol, TypeVar

from eventkit.errors import StoreClosed
from eventkit.events import RecordedEvent

_T = TypeVar("_T")
_CPU_TIME = 0.00025
"""Seconds. What is decoded in so short a time is no large thing in memory, however large the
events are; and no reader waits long for its first one."""
_LOOK = 8
"""Events between two looks at the clock, which cost as much as a tenth of an event; the first ones
are looked at sooner."""


class Read(Protocol):
    """Runs a call in a thread."""

    async def __call__(self, call: Callable[[], _T], /) -> _T:
        """Its result."""


class _Pages:
    """The events of a replay in short stretches; for one thread at a time."""

    def __init__(self, replay: Callable[[], Iterator[RecordedEvent]]) -> None:
        self._replay = replay
        self._events: Iterator[RecordedEvent] | None = None
        self._lock = threading.Lock()

    def page(self) -> list[RecordedEvent]:
        """The next events; none at the end."""
        with self._lock:
            if self._events is None:
                self._events = self._replay()
            page: list[RecordedEvent] = []
            until = thread_time() + _CPU_TIME
            for recorded in self._events:
                page.append(recorded)
                count = len(page)
                if (count < _LOOK or not count % _LOOK) and thread_time() >= until:
                    break
            return page

    def close(self) -> None:
        """Let go of what the replay holds; a page that is being read is finished first."""
        with self._lock:
            close = getattr(self._events, "close", None)
            if close is not None:
                close()


async def replayed(
    replay: Callable[[], Iterator[RecordedEvent]], read: Read
) -> AsyncGenerator[RecordedEvent, None]:
    """The events of a replay.

    Between two pages nothing runs, so a replay that is left takes nothing with it; what it holds
    in the store is let go of when it is closed, or collected.

    Parameters:
        replay: begins it.
        read: runs a call in a thread.
    """
    pages = _Pages(replay)
    try:
        while page := await read(pages.page):
            for recorded in page:
                yield recorded
    finally:
        with suppress(StoreClosed):
            await read(pages.close)
