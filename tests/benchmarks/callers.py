"""Many callers at once: threads or tasks that each append one event after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import perf_counter, thread_time
from typing import NamedTuple

from tests.benchmarks.spending import Watch


class Pace(NamedTuple):
    """How fast it went.

    Parameters:
        calls: how many.
        seconds: that all of them took.
        waits: how long each call took, sorted, in seconds; a group of calls waits together.
        cpu: processor time of threads that were made for the calls, in seconds.
    """

    calls: int
    seconds: float
    waits: list[float]
    cpu: float = 0.0

    @property
    def per_second(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    @property
    def p50(self) -> float:
        """Half of the calls took less, in seconds."""
        return self.waits[len(self.waits) // 2]


class _Crowd:
    """Threads that begin together, and stop early when one fails or nobody waits any more."""

    def __init__(self, callers: int, calls: int, call: Callable[[int, int], object]) -> None:
        self._each = max(1, calls // callers)
        self._call = call
        self._begin = threading.Event()
        self._stopped = False
        self._threads = [threading.Thread(target=self._work, args=(it,)) for it in range(callers)]
        self.waits: list[float] = []
        self.cpu: list[float] = []
        self.failures: list[Exception] = []

    def run(self) -> float:
        """Return the seconds that it took."""
        for thread in self._threads:
            thread.start()
        began = perf_counter()
        self._begin.set()
        try:
            for thread in self._threads:
                thread.join()
        finally:
            self._stopped = True
        return perf_counter() - began

    def _work(self, caller: int) -> None:
        self._begin.wait()
        try:
            for number in range(self._each):
                if self._stopped:
                    break
                began = perf_counter()
                self._call(caller, number)
                self.waits.append(perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - told by `threads`
            self.failures.append(error)
            self._stopped = True
        self.cpu.append(thread_time())


def threads(
    callers: int, calls: int, call: Callable[[int, int], object], watch: Watch | None = None
) -> Pace:
    """Run `call(caller, number)` so often in all, from so many threads, under a watch.

    Raises:
        Exception: the first failure of a call.
    """
    crowd = _Crowd(callers, calls, call)
    with watch or Watch():
        seconds = crowd.run()
    if crowd.failures:
        raise crowd.failures[0]
    return Pace(len(crowd.waits), seconds, sorted(crowd.waits), sum(crowd.cpu))


async def tasks(
    callers: int,
    calls: int,
    call: Callable[[int, int], Awaitable[object]],
    watch: Watch | None = None,
) -> Pace:
    """The same from so many tasks of one event loop."""
    waits: list[float] = []

    async def work(caller: int) -> None:
        for number in range(max(1, calls // callers)):
            began = perf_counter()
            await call(caller, number)
            waits.append(perf_counter() - began)

    with watch or Watch():
        began = perf_counter()
        await asyncio.gather(*(work(it) for it in range(callers)))
        seconds = perf_counter() - began
    return Pace(len(waits), seconds, sorted(waits))
