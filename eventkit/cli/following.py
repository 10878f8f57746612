"""Projections that follow the log, side by side, until they are told to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType

from eventkit.cli.failures import Exit
from eventkit.cli.interrupts import handling
from eventkit.cli.progress import events_progress, reporting
from eventkit.projection import Runner

_LOOK = 0.2
"""Seconds of one wait. After SIGCONT the system may give a SIGTERM to another thread; Python then
notes it, and calls the handler in this thread as soon as it comes out of a wait."""


class Stopping:
    """Ends those that follow on Ctrl-C or SIGTERM, for one round of them after the other.

    Before the first round nothing is begun, and a signal raises KeyboardInterrupt. Between two
    rounds a store is closed and another opened: a signal that comes there ends the next round
    before it begins, so that it ends no process in the middle of that.
    """

    def __init__(self) -> None:
        self._stop: threading.Event | None = None
        self._asked = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Handle the signals here for the length of a block."""
        with handling(self._note):
            yield

    def next_round(self) -> threading.Event:
        """What ends the next round; already set if a signal came."""
        self._stop = threading.Event()
        if self._asked:
            self._stop.set()
        return self._stop

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:  # twice: no more waiting for a handler that may never end
            os._exit(Exit.INTERRUPTED)
        if self._stop is None:
            raise KeyboardInterrupt
        self._asked = True
        self._stop.set()


def follow(
    runners: Mapping[str, Runner],
    stop: threading.Event,
    is_over: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Run each in a thread of its own until the event is set, or the first failure, which sets it.

    The batches at work are finished first. Returns how many events each handled.

    Parameters:
        runners: by name.
        stop: of this round; see `Stopping`.
        is_over: asked now and then; ends it as a signal does.

    Raises: what the first of them that failed raised.
    """
    # This thread waits for the futures and never for `stop`: a signal may come while it holds the
    # lock inside an event that it waits for, and setting that event would then wait for ever.
    with events_progress() as progress:
        with ThreadPoolExecutor(max(1, len(runners))) as threads:
            following = {
                name: threads.submit(runner.follow, stop, reporting(progress, name))
                for name, runner in runners.items()
            }
            running = set(following.values())
            while running:
                ended, running = wait(running, _LOOK, return_when=FIRST_EXCEPTION)
                if is_over() or any(it.exception() is not None for it in ended):
                    stop.set()
        return {name: future.result() for name, future in following.items()}
