"""Many callers at once: threads or tasks that each append one event after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import NamedTuple


class Pace(NamedTuple):
    """How fast it went: calls a second, and how long one took, sorted, in seconds."""

    per_second: float
    waits: list[float]

    @property
    def p50(self) -> float:
        """Half of the calls took less, in seconds."""
        return self.waits[len(self.waits) // 2]


def threads(callers: int, calls: int, call: Callable[[int, int], object]) -> Pace:
    """Run `call(caller, number)` so often in all, from so many threads.

    Raises:
        Exception: the first failure of a call.
    """
    waits: list[float] = []
    failures: list[Exception] = []

    def work(caller: int) -> None:
        try:
            for number in range(calls // callers):
                began = perf_counter()
                call(caller, number)
                waits.append(perf_counter() - began)
        except Exception as error:  # noqa: BLE001 - told below, as a benchmark may not hide it
            failures.append(error)

    some = [threading.Thread(target=work, args=(it,)) for it in range(callers)]
    began = perf_counter()
    for thread in some:
        thread.start()
    for thread in some:
        thread.join()
    seconds = perf_counter() - began
    if failures:
        raise failures[0]
    return Pace(len(waits) / seconds, sorted(waits))


async def tasks(callers: int, calls: int, call: Callable[[int, int], Awaitable[object]]) -> Pace:
    """The same from so many tasks of one event loop."""
    waits: list[float] = []

    async def work(caller: int) -> None:
        for number in range(calls // callers):
            began = perf_counter()
            await call(caller, number)
            waits.append(perf_counter() - began)

    began = perf_counter()
    await asyncio.gather(*(work(it) for it in range(callers)))
    return Pace(len(waits) / (perf_counter() - began), sorted(waits))
