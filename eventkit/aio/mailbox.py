"""Results on their way from threads to the tasks of an event loop: one wake for many."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Any


class Mailbox:
    """What threads have for the tasks of one loop.

    The order of events: a thread posts, then looks whether the loop is called already; the loop,
    when it comes, first notes that it has to be called again, then empties the box. So what is
    posted too late for one round finds that a call is needed. Two threads may both call: harmless.

    Parameters:
        loop: whose tasks get the results.
    """

    __slots__ = ("_called", "_posted", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._posted: deque[tuple[asyncio.Future[Any], object, BaseException | None]] = deque()
        self._called = False

    def post(
        self, future: asyncio.Future[Any], result: object, error: BaseException | None = None
    ) -> None:
        """Settle a future of the loop; from any thread, and never an error.

        Nobody hears of it where the task is gone or the loop is closed.
        """
        self._posted.append((future, result, error))
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False
        posted = self._posted
        while posted:
            future, result, error = posted.popleft()
            if future.done():  # cancelled
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # no future can hold one
                future.set_exception(RuntimeError(f"{type(error).__name__} was raised: {error}"))
            else:
                future.set_exception(error)


class Mailboxes:
    """The mailbox of each loop in which a store is used; loops may run in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boxes: list[Mailbox] = []
        self._latest: Mailbox | None = None

    def here(self) -> Mailbox:
        """That of the loop that runs now."""
        loop = asyncio.get_running_loop()
        box = self._latest
        if box is None or box.loop is not loop:
            box = self._latest = self._of(loop)
        return box

    def _of(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        with self._lock:
            for box in self._boxes:
                if box.loop is loop:
                    return box
            self._boxes = [box for box in self._boxes if not box.loop.is_closed()]
            box = Mailbox(loop)
            self._boxes.append(box)
            return box
