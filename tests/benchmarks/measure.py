"""How it is measured: both libraries in turn, round by round, and the ratio of each round."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from tests.benchmarks.subjects import Eventkit, Eventsourcing, Subject


class Result(NamedTuple):
    """One figure: what each library did per second (or how long it took), and the ratio."""

    what: str
    unit: str
    ours: float
    peer: float
    ratio: float
    wanted: float


Measure = Callable[[Subject], float]


def compare(what: str, unit: str, wanted: float, rounds: int, measure: Measure) -> Result:
    """Measure both libraries by turns on fresh files; medians, as the machine is never quiet."""
    faster_is_more = unit.endswith("/s")
    ours, peers, ratios = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="eventkit-bench-", dir=".") as folder:
            own = _measured(Eventkit, Path(folder), measure)
            peer = _measured(Eventsourcing, Path(folder), measure)
        ours.append(own)
        peers.append(peer)
        ratios.append(own / peer if faster_is_more else peer / own)
    return Result(what, unit, median(ours), median(peers), median(ratios), wanted)


def _measured(make: Callable[[Path], Subject], folder: Path, measure: Measure) -> float:
    subject = make(folder)
    try:
        return measure(subject)
    finally:
        subject.close()


def appends_per_second(callers: int, appends: int) -> Measure:
    """So many callers, each saving one new aggregate with one event after the other."""

    def measure(subject: Subject) -> float:
        numbers = count()
        failures: list[Exception] = []

        def call() -> None:
            try:
                for _ in range(appends // callers):
                    subject.save_new(next(numbers))
            except Exception as error:  # noqa: BLE001 - told below, as a benchmark may not hide it
                failures.append(error)

        threads = [threading.Thread(target=call) for _ in range(callers)]
        started = perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = perf_counter() - started
        if failures:
            raise failures[0]
        return appends / seconds

    return measure


def load_micros(events: int, loads: int) -> Measure:
    """Load one aggregate again and again; the time of one load in microseconds."""

    def measure(subject: Subject) -> float:
        aggregate_id = subject.save_history(events)
        subject.load(aggregate_id)
        started = perf_counter()
        for _ in range(loads):
            subject.load(aggregate_id)
        return (perf_counter() - started) / loads * 1e6

    return measure


def replayed_per_second(aggregates: int, events: int) -> Measure:
    """Read a whole store of aggregates with so many events each."""

    def measure(subject: Subject) -> float:
        for _ in range(aggregates):
            subject.save_history(events)
        started = perf_counter()
        read = sum(1 for _ in subject.replay())
        seconds = perf_counter() - started
        if read != aggregates * events:
            raise AssertionError(f"{subject.name} replayed {read} events")
        return read / seconds

    return measure


def all_results(rounds: int) -> Iterator[Result]:
    """Every comparison with `eventsourcing`, one after the other."""
    yield compare("append, 1 caller", "appends/s", 1, rounds, appends_per_second(1, 2_000))
    yield compare("append, 50 callers", "appends/s", 8, rounds, appends_per_second(50, 10_000))
    yield compare("load, 10 events", "µs", 2, rounds, load_micros(10, 1_000))
    yield compare("load, 2,000 events", "µs", 3, rounds, load_micros(2_000, 20))
    yield compare("typed replay", "events/s", 1.5, rounds, replayed_per_second(100, 500))
