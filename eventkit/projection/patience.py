"""Trying again what failed because the database of the read models was away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from eventkit.errors import ReadModelError

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


class Patience:
    """Calls an operation again while it fails for a reason that may pass.

    Parameters:
        seconds: how long after the first failure.
        stop: where set, no attempt is made any more.
    """

    def __init__(self, seconds: float, stop: threading.Event | None = None) -> None:
        self._seconds = seconds
        self._stop = stop or threading.Event()

    def pause(self, seconds: float) -> bool:
        """Wait; returns whether to stop."""
        return self._stop.wait(seconds)

    def __call__(self, operation: Callable[[], T]) -> T:
        """Call it until it succeeds; returns what it does.

        Raises:
            ReadModelError: it will not pass, or it did not in time.
        """
        deadline, pause = None, _FIRST_PAUSE
        while True:
            try:
                return operation()
            except ReadModelError as error:
                now = time.monotonic()
                deadline = deadline or now + self._seconds
                if not error.retryable or now >= deadline:
                    raise
                _LOG.warning("%s Trying again for %.0f s.", error, deadline - now)
                if self._stop.wait(pause):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)
