"""Runners that follow the log in a thread, and conditions that come true meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from eventkit.projection import Progress, Runner

SECONDS = 60.0


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return when something has come true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {true}")
        time.sleep(0.01)


@contextmanager
def following(
    runner: Runner, report: Callable[[Progress], None] | None = None
) -> Iterator[Future[int]]:
    """Follow the log meanwhile; what the runner raises is raised at the end."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(runner.follow, stop, report)
        try:
            yield future
        finally:
            stop.set()
            future.result(SECONDS)
