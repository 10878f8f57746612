"""What is measured of appending on Kafka: beside a bare producer and `eventsourcing`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from time import perf_counter
from typing import Any

from eventkit import aio, connect
from tests.benchmarks.appending import EVENTKIT, Callers, Wanted, Way, appended
from tests.benchmarks.callers import Pace, tasks, threads
from tests.benchmarks.children import child
from tests.benchmarks.kafka_log import Log, fresh_log
from tests.benchmarks.kit import Kit
from tests.benchmarks.limits import KAFKA, kafka_groups
from tests.benchmarks.memory import FLAT, FLAT_MEGABYTES, resident
from tests.benchmarks.results import Aim, Result, alone, latency
from tests.benchmarks.spending import Watch
from tests.benchmarks.steps import Section, Step
from tests.benchmarks.subjects import EventsourcingOnPostgres, ItemOpened

PEER = "eventsourcing, PostgreSQL"
_EVENT = ItemOpened(title="a story of some length, as they are", owner="ann", rank=1)
_WRITERS = 3
_WARMING = 5
_CALLS = {1: 500, 16: 8_000, 200: 40_000, 1_000: 40_000}
_PEER_CALLS = {1: 500, 16: 3_000, 200: 6_000, 1_000: 6_000}
_MANY = Wanted(Aim(16_000), {PEER: Aim(15, of_ratio=True)})
_WANTED = {1: Wanted(p50={KAFKA: Aim(0.5, of_ratio=True)}), 200: _MANY}

APPENDING = Section(
    "kafka-append",
    "Append, Kafka",
    "Each caller appends one event to new aggregates, one after the other; an append returns when "
    "its event is committed, read back and in the index. The limit is one confluent-kafka producer "
    "with fastavro that writes one transaction for as many events as there are callers, knows them "
    "at once, and neither checks, reads back nor wakes anybody.",
    "The limit does less work: an append is read twice (by the tail that sees proposals and by the "
    "follower that fills the index), and wakes its caller. All of that shares one interpreter.",
    "callers", "appends/s",
)  # fmt: skip
FAULTS = Section(
    "kafka-contention",
    "Contention and dead writers",
    f"{_WRITERS} processes with eight callers each append to the same eight aggregates. And one "
    "append to an aggregate whose partition a writer holds back that was killed inside a "
    "transaction.",
    "Under contention most of an append is waiting: proposals of others are parked until they are "
    "decided. Behind a killed writer it is the time that a store waits before it helps.",
)
MEMORY = Section(
    "kafka-memory",
    "Memory",
    "How much the memory of a process grows by many appends of 200 threads, after as many that "
    "filled its caches; the largest is the page cache of the index, 64 MB. "
    f"Flat means at most {FLAT_MEGABYTES} MB: what bounded caches and the allocator take.",
)


def steps(kit: Kit) -> Iterator[Step]:
    """All of it."""
    for callers in _CALLS:
        yield _step(f"Kafka append, {callers:,} callers", _threads, kit, callers)
    for callers in (200, 1_000):
        yield _step(f"Kafka append, {callers:,} tasks", _tasks, kit, callers)
    yield Step(FAULTS, "contention", lambda: _contended(kit))
    yield Step(FAULTS, "dead writer", lambda: _helped(kit))
    yield Step(MEMORY, "memory over appends", lambda: _remembered(kit))


def _step(
    name: str, measure: Callable[[Kit, int], Iterator[Result]], kit: Kit, callers: int
) -> Step:
    return Step(APPENDING, name, lambda: measure(kit, callers))


def _ids() -> Callable[[], str]:
    numbers = count()
    return lambda: f"item-{next(numbers):08x}"


def _threads(kit: Kit, callers: int) -> Iterator[Result]:
    fresh_id, log, index = _ids(), fresh_log(kit.kafka), kit.index()

    def run(callers: int, calls: int, watch: Watch | None = None) -> Pace:
        # Opened for each round: the threads of an open store would be in the way of the others.
        with connect(log.url, index=index) as store:

            def append(_: int, __: int) -> Any:
                return store.append(fresh_id(), [_EVENT], 0)

            threads(callers, callers * _WARMING, append)
            return threads(callers, calls, append, watch)

    run(callers, kit.sizes.calls(10_000 if callers > 1 else 200, 1))  # the JVM compiles
    with ExitStack() as stack:
        ways = {EVENTKIT: Way(run, _CALLS[callers])}
        ways |= _peer(kit, stack, _PEER_CALLS[callers])
        ways[KAFKA] = Way(kafka_groups(fresh_log(kit.kafka)), _CALLS[callers])
        yield from appended(kit, Callers("Kafka", callers), ways, _WANTED.get(callers, Wanted()))


def _tasks(kit: Kit, callers: int) -> Iterator[Result]:
    fresh_id, log = _ids(), fresh_log(kit.kafka)

    async def run(callers: int, calls: int, watch: Watch) -> Pace:
        async with aio.connect(log.url, index=kit.index()) as store:

            async def append(_: int, __: int) -> Any:
                return await store.append(fresh_id(), [_EVENT], 0)

            await tasks(callers, callers * _WARMING, append)
            return await tasks(callers, calls, append, watch)

    with ExitStack() as stack:
        ways = {EVENTKIT: Way(lambda *how: asyncio.run(run(*how)), _CALLS[callers])}
        if callers in _WANTED:
            ways |= _peer(kit, stack, _PEER_CALLS[callers])
        yield from appended(
            kit, Callers("Kafka", callers, "tasks"), ways, _WANTED.get(callers, Wanted())
        )


def _peer(kit: Kit, stack: ExitStack, calls: int) -> dict[str, Way]:
    if kit.known_postgres is None:
        return {}
    peer, numbers = EventsourcingOnPostgres(stack.enter_context(kit.database())), count()
    stack.callback(peer.close)

    def run(callers: int, calls: int, watch: Watch) -> Pace:
        return threads(callers, calls, lambda _, __: peer.save_new(next(numbers)), watch)

    return {PEER: Way(run, calls)}


def _contended(kit: Kit) -> Iterator[Result]:
    rates, longest, waits, spent = [], [], [], []
    for _ in range(kit.sizes.long_rounds):
        log = fresh_log(kit.kafka)
        with kit.watch() as watch:
            told = _contend(kit, log)
        rates.append(sum(len(it["waits"]) for it in told) / kit.sizes.contending)
        waits += [wait for it in told for wait in it["waits"]]
        longest.append(max(max(it["waits"]) for it in told))
        cpu = sum(it["cpu"] for it in told)
        calls = sum(len(it["waits"]) for it in told)
        spent.append(watch.spent("contention", EVENTKIT, calls, children=cpu))
    what = f"contention, {_WRITERS} x 8 callers, 8 aggregates"
    yield alone(what, "appends/s", rates, Aim(500))
    # Not the median: nobody may wait so long, in no round.
    yield alone("contention, longest wait of anybody", "s", [max(longest)], Aim(5, most=True))
    yield latency(what, EVENTKIT, waits)
    yield spent[0]


def _contend(kit: Kit, log: Log) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                child("contending", log.url, kit.index(), number, kit.sizes.contending)
            )
            for number in range(_WRITERS)
        ]
        return [json.loads(writer.line()) for writer in writers]


def _helped(kit: Kit) -> Iterator[Result]:
    log = fresh_log(kit.kafka)
    rounds = [_behind_dead_writer(log, kit.index()) for _ in range(kit.sizes.rounds)]
    yield alone("wait behind a killed writer", "s", rounds, Aim(3, most=True))


def _behind_dead_writer(log: Log, index: str) -> float:
    """Seconds that an append takes after a writer was killed inside a transaction there."""
    with connect(log.url, index=index) as store:
        aggregate_id = f"item-{index.rpartition('/')[0][-8:]}"
        store.append(aggregate_id, [_EVENT])
        with child("dying", log.address, log.prefix, aggregate_id) as writer:
            writer.wait()
        began = perf_counter()
        store.append(aggregate_id, [_EVENT], 1)
        return perf_counter() - began


def _remembered(kit: Kit) -> Iterator[Result]:
    fresh_id, log, many = _ids(), fresh_log(kit.kafka), kit.sizes.memory
    with connect(log.url, index=kit.index()) as store:
        sizes = []
        for _ in range(2):
            threads(200, many, lambda _, __: store.append(fresh_id(), [_EVENT], 0))
            sizes.append(resident())
    grown = (sizes[1] - sizes[0]) / 1e6
    yield alone(
        f"Kafka append: memory grown in the last {many:,} of {2 * many:,} appends",
        "MB",
        [grown],
        FLAT,
    )
