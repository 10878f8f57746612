"""How far a run has come: done, in all, how fast, how long still."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

_WINDOW = 5.0
"""Seconds over which the rate is taken: long enough to be steady, short enough to be current."""


class Progress(NamedTuple):
    """The progress of one call of `run`, `rebuild` or `follow`.

    `done` and `total` count events of the log, also those that the projection does not handle,
    from where the call began: after an interruption, what was done before counts as done in
    neither. `rate` is in events per second, `eta` in seconds, None where it cannot be told.
    """

    done: int
    total: int
    rate: float
    eta: float | None


Report = Callable[[Progress], object]


class Meter:
    """Turns counts into progress.

    Parameters:
        report: gets the progress; None where nobody asks.
        clock: seconds, from any start.
    """

    def __init__(self, report: Report | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._seen = deque([(clock(), 0)])

    def show(self, done: int, total: int) -> None:
        """Report `done` of `total`."""
        if self._report is None:
            return
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW:  # noqa: PLR2004 - a span
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        eta = (total - done) / rate if rate > 0 else None
        self._report(Progress(done, total, rate, eta))
