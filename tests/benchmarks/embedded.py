"""What is measured of the embedded store: both libraries in turn, round by round."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from time import perf_counter

from tests.benchmarks.callers import threads
from tests.benchmarks.results import Figure, by_turns
from tests.benchmarks.subjects import Eventkit, Eventsourcing, Subject

Measure = Callable[[Subject], float]


def compare(what: str, unit: str, wanted: str, rounds: int, measure: Measure) -> Figure:
    """Measure both libraries by turns on fresh files."""
    ours, theirs, ratio = by_turns(
        rounds,
        lambda: _measured(Eventkit, measure),
        lambda: _measured(Eventsourcing, measure),
        more_is_better=unit.endswith("/s"),
    )
    return Figure(what, unit, ours, "eventsourcing, SQLite", theirs, ratio, wanted)


def _measured(make: Callable[[Path], Subject], measure: Measure) -> float:
    with tempfile.TemporaryDirectory(prefix="eventkit-bench-", dir=".") as folder:
        subject = make(Path(folder))
        try:
            return measure(subject)
        finally:
            subject.close()


def appends_per_second(callers: int, appends: int) -> Measure:
    """So many callers, each saving one new aggregate with one event after the other."""

    def measure(subject: Subject) -> float:
        numbers = count()
        return threads(callers, appends, lambda _, __: subject.save_new(next(numbers))).per_second

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


def embedded_figures(rounds: int) -> Iterator[Figure]:
    """Every comparison with `eventsourcing`, one after the other."""
    one, many = appends_per_second(1, 2_000), appends_per_second(50, 10_000)
    yield compare("append, 1 caller", "appends/s", "1 times", rounds, one)
    yield compare("append, 50 callers", "appends/s", "8 times", rounds, many)
    yield compare("load, 10 events", "µs", "2 times", rounds, load_micros(10, 1_000))
    yield compare("load, 2,000 events", "µs", "3 times", rounds, load_micros(2_000, 20))
    replay = replayed_per_second(100, 500)
    yield compare("typed replay", "events/s", "1.5 times", rounds, replay)
