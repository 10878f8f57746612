"""Who waits for something new is woken: one thread looks for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count as counted

PAUSE = 0.01
"""Seconds between two looks, while anybody waits."""
_LONGEST = 1.0
"""Seconds after which who waits looks for himself, whatever became of the thread."""


class Bell:
    """Rings when what it looks at has changed.

    The order of events that loses nothing: a reader notes `count`, looks, finds nothing, and waits
    for another count. What comes after he looked is seen by a look of the thread after that one,
    which rings; what came before, he saw.

    The thread begins when somebody waits for the first time, does nothing while nobody waits, and
    ends with `close`. Where it cannot be started, who asked to wait is told (RuntimeError), and the
    next one tries again.

    A signal handler may ring or close it in the middle of any of its methods, in their own thread:
    the lock lets that thread in again. What rings between the look of a waiter at the count and
    his going to sleep, he misses; he looks again after a second.

    Parameters:
        look: what is there now; any change of it rings, and so does an error.
        pause: seconds between two looks.
    """

    def __init__(self, look: Callable[[], object], *, pause: float = PAUSE) -> None:
        self._look = look
        self._pause = pause
        self.count = 0
        self._lock = threading.RLock()
        self._rung = threading.Condition(self._lock)
        self._asked = threading.Condition(self._lock)
        self._waiting = 0
        self._calls: dict[int, Callable[[], None]] = {}
        self._numbers = counted()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, seen: int) -> None:
        """Return when the count is another one, when the bell is closed, or after a second."""
        with self._lock:
            if self.count != seen or self._closing.is_set():
                return
            self._waiting += 1
            try:
                self._ask()
                self._rung.wait(_LONGEST)
            finally:
                self._waiting -= 1

    def listen(self, seen: int, call: Callable[[], None]) -> Callable[[], None]:
        """Have a call made, once, when the count is another one or the bell is closed.

        Made from any thread, maybe before this returns. Returns what takes it back.
        """
        with self._lock:
            if self.count == seen and not self._closing.is_set():
                self._ask()
                number = next(self._numbers)
                self._calls[number] = call
                # First noted, then looked at again: an interrupt may have rung in between.
                if self.count == seen:
                    return lambda: self._forget(number)
                if self._calls.pop(number, None) is None:
                    return _nothing
        call()
        return _nothing

    def ring(self) -> None:
        """Wake all who wait."""
        with self._lock:
            self.count += 1
            self._rung.notify_all()
            calls, self._calls = self._calls, {}
        for call in calls.values():
            call()

    def close(self) -> None:
        """Ring for the last time, and end the thread.

        In a signal handler it may be the handler's own thread that has the lock, and that the
        thread waits for; then that ends later, by itself.
        """
        with self._lock:
            self._closing.set()
            self._asked.notify_all()
            thread = self._thread
        self.ring()
        if thread is not None:
            thread.join(_LONGEST)

    def _forget(self, number: int) -> None:
        with self._lock:
            self._calls.pop(number, None)

    def _ask(self) -> None:
        """Have the thread look; the lock is held."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="eventkit bell", daemon=True)
            thread.start()
            self._thread = thread  # there is one only if it could be started
        self._asked.notify()

    def _run(self) -> None:
        seen: object = None
        while not self._closing.wait(self._pause):
            with self._lock:
                while not (self._waiting or self._calls or self._closing.is_set()):
                    self._asked.wait(_LONGEST)
            try:
                found = self._look()
            except Exception as error:  # noqa: BLE001 - those who wait meet it when they look
                found = repr(error)
            if found != seen:
                seen = found
                self.ring()


def _nothing() -> None:
    """There is nothing to take back."""
