"""Subscriptions for tasks: those who wait take no thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

from eventkit import store
from eventkit.aio.mailbox import Mailbox
from eventkit.aio.replaying import Read
from eventkit.errors import StoreClosed
from eventkit.events import Position, RecordedEvent

_MOST = 100
"""Events that are taken at once."""


class _Events:
    """What a subscription has ready; filled by one thread at a time, emptied by the loop.

    A task that is cancelled, as by a time-out, leaves the thread to its work: what it finds is
    kept for the next call, or the next event would be lost.

    Such a thread is the reason why `positions` never asks `inner`, whose place moves before the
    events are here. The order of events: the thread, when all that was ready is given, notes where
    `inner` stands, and has it go on; it comes back with events, and until they are given one by one
    the place is the one that was noted. Only where it comes back with none is it noted anew.
    """

    def __init__(
        self, subscribe: Callable[[], store.Subscription], positions: Sequence[Position]
    ) -> None:
        self._subscribe = subscribe
        self._filling = threading.Lock()
        self._before = list(positions)
        self._last: RecordedEvent | None = None
        self._closed = False
        self.inner: store.Subscription | None = None
        self.ready: deque[RecordedEvent] = deque()
        self.ended = False

    def fill(self) -> None:
        """Have some ready, if there are any."""
        with self._filling:
            if self.ready or self.ended:
                return
            if self.inner is None:
                self.inner = self._subscribe()
                if self._closed:
                    self.inner.close()
            self._before, self._last = self.inner.positions, None
            found = self.inner.ready(_MOST)
            if found:
                self.ready.extend(found)
                return
            self._before = self.inner.positions  # maybe behind events that are not wanted
            if found is None:
                self.ended = True

    def pop(self) -> RecordedEvent:
        """The next one that is ready."""
        self._last = self.ready.popleft()
        return self._last

    @property
    def positions(self) -> list[Position]:
        """Where it stands for who took these events: they are of one partition."""
        last = self._last
        if last is None:
            return [*self._before]
        at = last.position
        return [it for it in self._before if it[:2] != at[:2]] + [at]

    def close(self) -> None:
        """End it; what a thread finds after that is not given any more."""
        self._closed = self.ended = True
        if self.inner is not None:
            self.inner.close()


class Subscription:
    """Recorded events one by one, awaited; see `eventkit.store.Subscription`.

    For one task at a time. While it waits for an event it takes no thread, and nothing has to be
    closed where it is left. A wait that is cancelled, also by a time-out, loses nothing: asked
    again, it goes on.

    Parameters:
        subscribe: begins the one for threads.
        read: runs a call in a thread.
        here: the mailbox of the loop that runs now.
        positions: where it will begin.
    """

    def __init__(
        self,
        subscribe: Callable[[], store.Subscription],
        read: Read,
        here: Callable[[], Mailbox],
        positions: Sequence[Position],
    ) -> None:
        self._events = _Events(subscribe, positions)
        self._read = read
        self._here = here

    @property
    def positions(self) -> list[Position]:
        """Where it stands: as `from_position`, another subscription goes on from here."""
        return self._events.positions

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        events = self._events
        while not events.ended:
            if events.ready:
                return events.pop()
            await self._more()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it; a task that waits for an event is told that there is none."""
        self._events.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def _more(self) -> None:
        """Return when there are events, when there may be some, or when it has ended."""
        events = self._events
        try:
            await self._read(events.fill)
            if events.ready or events.ended or events.inner is None:
                return
            await self._rung(events.inner)
        except StoreClosed:
            if events.inner is None:
                raise
            events.ended = True

    async def _rung(self, inner: store.Subscription) -> None:
        mailbox = self._here()
        future: Any = mailbox.loop.create_future()
        forget = inner.when_ready(partial(mailbox.post, future, None))
        try:
            await future
        finally:
            forget()
