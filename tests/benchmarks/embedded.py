"""What is measured of the embedded store: beside sqlite3 alone and beside `eventsourcing`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter

from eventkit import aio
from tests.benchmarks.appending import EVENTKIT, Callers, Wanted, Way, appended
from tests.benchmarks.callers import Pace, tasks, threads
from tests.benchmarks.kit import Kit
from tests.benchmarks.limits import SQLITE, sqlite_groups
from tests.benchmarks.loading import by_length
from tests.benchmarks.results import Aim, Result, beside, by_turns
from tests.benchmarks.spending import Watch
from tests.benchmarks.steps import Section, Step
from tests.benchmarks.subjects import Eventkit, Eventsourcing, Item, Subject

PEER = "eventsourcing, SQLite"
_CALLERS = (1, 16, 50, 200, 1_000)
_IN_TASKS = (200, 1_000)
_CALLS, _PEER_CALLS, _BARE_CALLS = 10_000, 4_000, 20_000
_WANTED = {
    1: Wanted(beside={PEER: Aim(1, of_ratio=True)}),
    50: Wanted(beside={PEER: Aim(8, of_ratio=True)}),
}
_LOADS = {10: Aim(2, of_ratio=True), 2_000: Aim(3, of_ratio=True)}
_REPLAYS = Aim(1.5, of_ratio=True)

APPENDING = Section(
    "embedded-append",
    "Append, embedded",
    "Each caller saves new aggregates with one event, one after the other, into a file with "
    "synchronous=FULL. The limit is one thread that writes the same rows with sqlite3 and "
    "fastavro, in one synced transaction for as many rows as there are callers.",
    "The limit checks nothing, wakes nobody and knows its whole group at once. With many callers "
    "most of the distance is the change of threads in CPython: each append wakes its caller.",
    "callers", "appends/s",
)  # fmt: skip
LOADING = Section(
    "embedded-load",
    "Load by length, embedded",
    "One aggregate is loaded again and again, from its events or from a snapshot at its last "
    "event. The limit reads the same rows with sqlite3 and fastavro and makes no objects of them.",
    "What the limit does not do is to build an event of each record and to apply it.",
    "events of the aggregate", "ms a load",
)  # fmt: skip
REPLAYING = Section(
    "embedded-replay",
    "Replay, embedded",
    "Every event of the store is read as an object of its class.",
    "Decoding and building the objects are all of it; reading the rows is a small part.",
)


def steps(kit: Kit) -> Iterator[Step]:
    """All of it."""
    for callers in _CALLERS:
        yield _step(f"embedded append, {callers:,} callers", _threads, kit, callers)
    for callers in _IN_TASKS:
        yield _step(f"embedded append, {callers:,} tasks", _tasks, kit, callers)
    yield Step(LOADING, "embedded load by length", lambda: _loaded(kit))
    yield Step(REPLAYING, "embedded replay", lambda: _replayed(kit))


def _step(
    name: str, measure: Callable[[Kit, int], Iterator[Result]], kit: Kit, callers: int
) -> Step:
    return Step(APPENDING, name, lambda: measure(kit, callers))


def _threads(kit: Kit, callers: int) -> Iterator[Result]:
    calls = 2_000 if callers == 1 else _CALLS
    ways = {
        EVENTKIT: Way(lambda *how: _saved(kit, _eventkit, *how), calls),
        PEER: Way(lambda *how: _saved(kit, Eventsourcing, *how), min(calls, _PEER_CALLS)),
        SQLITE: Way(lambda *how: _bare(kit, *how), max(calls, _BARE_CALLS if callers > 1 else 0)),
    }
    return appended(kit, Callers("embedded", callers), ways, _WANTED.get(callers, Wanted()))


def _tasks(kit: Kit, callers: int) -> Iterator[Result]:
    ways = {EVENTKIT: Way(lambda *how: asyncio.run(_saved_in_tasks(kit, *how)), _CALLS)}
    return appended(kit, Callers("embedded", callers, "tasks"), ways, Wanted())


def _eventkit(folder: Path) -> Subject:
    return Eventkit(f"sqlite:///{folder / 'eventkit.db'}")


def _saved(
    kit: Kit, make: Callable[[Path], Subject], callers: int, calls: int, watch: Watch
) -> Pace:
    with kit.passing_room() as folder:
        subject, numbers = make(folder), count()
        try:
            return threads(callers, calls, lambda _, __: subject.save_new(next(numbers)), watch)
        finally:
            subject.close()


async def _saved_in_tasks(kit: Kit, callers: int, calls: int, watch: Watch) -> Pace:
    with kit.passing_room() as folder:
        async with aio.connect(f"sqlite:///{folder / 'eventkit.db'}") as store:
            repository, numbers = aio.Repository(store, Item), count()

            async def save(_: int, __: int) -> None:
                number = next(numbers)
                item = Item(f"item-{number}")
                item.open(f"item {number}", "ann", number)
                await repository.save(item)

            return await tasks(callers, calls, save, watch)


def _bare(kit: Kit, callers: int, calls: int, watch: Watch) -> Pace:
    with kit.passing_room() as folder:
        return sqlite_groups(folder, callers, calls, watch)


def _loaded(kit: Kit) -> Iterator[Result]:
    with kit.passing_room() as folder:
        ours, peer = _eventkit(folder), Eventsourcing(folder)
        try:
            yield from by_length(kit, "embedded", ours, (PEER, peer), _LOADS)
        finally:
            ours.close()
            peer.close()


def _replayed(kit: Kit) -> Iterator[Result]:
    aggregates, events = kit.sizes.calls(100, 1), 500
    spent = kit.spendings()

    def measure(name: str, make: Callable[[Path], Subject]) -> float:
        with kit.passing_room() as folder:
            subject = make(folder)
            try:
                for _ in range(aggregates):
                    subject.save_history(events)
                with spent.of("embedded replay", name, aggregates * events):
                    return _replay(subject, aggregates * events)
            finally:
                subject.close()

    ways: dict[str, Callable[[Path], Subject]] = {EVENTKIT: _eventkit, PEER: Eventsourcing}
    measures = {name: partial(measure, name, make) for name, make in ways.items()}
    found = by_turns(kit.sizes.rounds, measures)
    yield beside("embedded typed replay", "events/s", found[EVENTKIT], PEER, found[PEER], _REPLAYS)
    yield from spent.sums()


def _replay(subject: Subject, expected: int) -> float:
    began = perf_counter()
    read = sum(1 for _ in subject.replay())
    seconds = perf_counter() - began
    if read != expected:
        raise AssertionError(f"{subject.name} replayed {read} events of {expected}")
    return read / seconds
