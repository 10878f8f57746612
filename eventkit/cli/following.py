"""Projections that follow the log, side by side, until they are told to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from types import FrameType

from eventkit.cli.failures import Exit
from eventkit.cli.interrupts import handling
from eventkit.cli.progress import events_progress, reporting
from eventkit.projection import Runner

_LOOK = 0.2
"""Seconds of one wait. After SIGCONT the system may give a SIGTERM to another thread; Python then
notes it, and calls the handler in this thread as soon as it comes out of a wait."""


def follow(
    runners: Mapping[str, Runner], is_over: Callable[[], bool] = lambda: False
) -> dict[str, int]:
    """Run each in a thread of its own until Ctrl-C, SIGTERM or the first failure.

    The batches at work are finished first. Returns how many events each handled.

    Parameters:
        runners: by name.
        is_over: asked now and then; ends it as a signal does.

    Raises: what the first of them that failed raised.
    """
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():  # asked twice: no more waiting for a handler that may never end
            os._exit(Exit.INTERRUPTED)
        stop.set()

    # This thread waits for the futures and never for `stop`: a signal may come while it holds the
    # lock inside an event that it waits for, and setting that event would then wait for ever.
    with handling(ask_to_stop), events_progress() as progress:
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
