"""A signal handler that ends the process while a schema is written: it does end."""

import gc
import signal
import sys
from collections.abc import Iterator
from types import FrameType

import pytest

from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.offmain import off_main
from eventkit.kafka.topics import Topics

ROUNDS = 80
LONGEST = 0.04
"""Seconds; somewhat longer than it takes to write a schema."""


@pytest.fixture
def alarms() -> Iterator[list[int]]:
    """A number for each time that the handler of SIGALRM has called `sys.exit` with it."""
    called: list[int] = []

    def handler(_number: int, _frame: FrameType | None) -> None:
        called.append(len(called))
        sys.exit(called[-1])

    gc.collect()  # else clients of other tests may be let go of here, in the main thread
    before = signal.signal(signal.SIGALRM, handler)
    yield called
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_handler_ends_the_process_also_while_a_schema_is_written(
    cluster: Cluster, names: Names, alarms: list[int]
) -> None:
    registry = Topics(cluster, names).registry
    exits: list[object] = []
    for number in range(ROUNDS):
        try:
            signal.setitimer(signal.ITIMER_REAL, LONGEST * (number + 1) / ROUNDS)
            registry.put(f"{number:016x}", "{}")
            signal.setitimer(signal.ITIMER_REAL, 0)
        except SystemExit as stop:
            exits.append(stop.code)
    assert alarms
    assert exits == alarms


def test_a_call_returns_or_raises_what_it_would_elsewhere() -> None:
    assert off_main(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        off_main(lambda: 1 // 0)
