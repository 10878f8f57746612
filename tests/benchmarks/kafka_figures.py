"""What is measured of the store on Kafka."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from confluent_kafka import Producer

from eventkit import Repository, aio, connect
from tests.benchmarks.callers import Pace, tasks, threads
from tests.benchmarks.kafka_log import PARTITIONS, Log, bare_replay, fill, fresh_log
from tests.benchmarks.results import Figure, by_turns
from tests.benchmarks.subjects import EventsourcingOnPostgres, Item, ItemOpened

_numbers = count()
_EVENT = ItemOpened(title="a story of some length, as they are", owner="ann", rank=1)


def _fresh_id() -> str:
    return f"item-{next(_numbers):08x}"


class Bench:
    """The measurements, on one broker and one PostgreSQL.

    Parameters:
        address: of the broker.
        postgres: URL of an empty database; None leaves the comparison out.
        rounds: how often each figure is measured; medians are told.
        folder: for index files.
        events: how many the log has that is read.
        memory: how many appends are made to see that memory stays flat.
    """

    def __init__(
        self,
        address: str,
        postgres: str | None,
        *,
        rounds: int,
        folder: Path,
        events: int = 1_000_000,
        memory: int = 200_000,
    ) -> None:
        self._address = address
        self._postgres = postgres
        self._rounds = rounds
        self._folder = folder
        self._events = events
        self._memory = memory

    def figures(self) -> Iterator[Figure]:
        """All of them, one after the other."""
        yield from self.appending()
        yield from self.waiting()
        yield from self.contending()
        yield from self.reading()
        yield from self.remembering()

    def appending(self) -> Iterator[Figure]:
        """Many callers of one process."""
        log = fresh_log(self._address)
        with connect(log.url, index=self._index()) as store:
            self._threads(store.append, 200, 10_000)  # the broker's JVM compiles meanwhile
            ours = self._best(lambda: self._threads(store.append, 200, 40_000).per_second)
        in_tasks = self._best(lambda: asyncio.run(self._tasks(log, 200, 40_000)).per_second)
        thousand = self._best(lambda: asyncio.run(self._tasks(log, 1_000, 60_000)).per_second)
        if self._postgres is None:
            yield Figure("append, 200 threads", "appends/s", ours, wanted="16,000/s, 15 times")
        else:
            peer = EventsourcingOnPostgres(self._postgres)
            try:
                theirs = self._best(lambda: self._peer_threads(peer, 200, 6_000).per_second)
            finally:
                peer.close()
            name = "eventsourcing, PostgreSQL"
            yield Figure(
                "append, 200 threads", "appends/s", ours, name, theirs, ours / theirs,
                "16,000/s, 15 times",
            )  # fmt: skip
            yield Figure(
                "append, 200 tasks", "appends/s", in_tasks, name, theirs, in_tasks / theirs,
                "16,000/s, 15 times",
            )  # fmt: skip
        yield Figure("append, 1,000 tasks", "appends/s", thousand)

    def waiting(self) -> Iterator[Figure]:
        """One caller, beside a transaction with one record."""
        log = fresh_log(self._address)
        with connect(log.url, index=self._index()) as store:
            raw = _raw_transactions(fresh_log(self._address))
            ours, theirs, ratio = by_turns(
                self._rounds,
                lambda: self._threads(store.append, 1, 500).p50 * 1e3,
                lambda: threads(1, 500, raw).p50 * 1e3,
                more_is_better=False,
            )
        yield Figure("append, 1 caller, p50", "ms", ours, "a raw transaction", theirs, ratio, "0.5")
        delay = self._best(lambda: _delay_by_dead_writer(log, self._index()), least=True)
        yield Figure("wait behind a killed writer", "s", delay, wanted="3 s at most")

    def contending(self) -> Iterator[Figure]:
        """Three processes with eight callers each on eight aggregates."""
        paces = [self._contend(fresh_log(self._address)) for _ in range(self._rounds)]
        paces.sort()
        rate, _ = paces[len(paces) // 2]
        longest = max(longest for _, longest in paces)
        yield Figure("contention, 3 x 8 callers, 8 aggregates", "appends/s", rate, wanted="500/s")
        yield Figure("contention, longest wait of anybody", "s", longest, wanted="5 s at most")

    def reading(self) -> Iterator[Figure]:
        """The index is built, opened again, read; the log is replayed."""
        log, index = fresh_log(self._address), self._index()
        fill(log, self._events // 10, 10)
        rate = self._best(lambda: self._catch_up(log, self._index()))
        self._catch_up(log, index)
        yield Figure("index catch-up", "events/s", rate, wanted="60,000/s")
        warm = self._best(
            lambda: _seconds(lambda: connect(log.url, index=index).close()), least=True
        )
        yield Figure(f"open on a warm index of {self._events:,}", "s", warm, wanted="1 s at most")
        with connect(log.url, index=index) as store:
            repository = Repository(store, Item)
            load = self._best(lambda: _load_micros(repository), least=True)
            yield Figure("load of 10 events from the index", "µs", load, wanted="100 at most")
            rate = self._best(lambda: self._events / _seconds(lambda: _replay(store, self._events)))
            yield Figure("typed replay from the index", "events/s", rate)
        with connect(log.url) as store:
            ours, theirs, ratio = by_turns(
                self._rounds,
                lambda: self._events / _seconds(lambda: _replay(store, self._events)),
                lambda: bare_replay(log, self._events),
                more_is_better=True,
            )
        yield Figure(
            "typed replay from Kafka",
            "events/s",
            ours,
            "consume and fastavro",
            theirs,
            ratio,
            "0.6",
        )

    def remembering(self) -> Iterator[Figure]:
        """Whether memory grows with the appends: from a tenth of them to the last."""
        log = fresh_log(self._address)
        with connect(log.url, index=self._index()) as store:
            self._threads(store.append, 200, self._memory // 10)
            before = _resident()
            self._threads(store.append, 200, self._memory * 9 // 10)
            grown = _resident() - before
        yield Figure(
            f"memory grown over {self._memory:,} appends", "MB", grown / 1e6, wanted="flat"
        )

    def _threads(self, append: Callable[..., Any], callers: int, calls: int) -> Pace:
        return threads(callers, calls, lambda _, __: append(_fresh_id(), [_EVENT], 0))

    async def _tasks(self, log: Log, callers: int, calls: int) -> Pace:
        async with aio.connect(log.url, index=self._index()) as store:
            await tasks(callers, callers * 5, lambda _, __: store.append(_fresh_id(), [_EVENT], 0))
            return await tasks(callers, calls, lambda _, __: store.append(_fresh_id(), [_EVENT], 0))

    def _peer_threads(self, peer: EventsourcingOnPostgres, callers: int, calls: int) -> Pace:
        return threads(callers, calls, lambda _, __: peer.save_new(next(_numbers)))

    def _contend(self, log: Log) -> tuple[float, float]:
        command = [sys.executable, "-m", "tests.benchmarks.contending", log.url, self._index()]
        some = [
            subprocess.Popen([*command, str(it)], stdout=subprocess.PIPE, text=True)
            for it in range(3)
        ]
        said = [process.communicate(timeout=120)[0].split() for process in some]
        return sum(float(it[0]) for it in said), max(float(it[1]) for it in said)

    def _catch_up(self, log: Log, index: str) -> float:
        return self._events / _seconds(lambda: connect(log.url, index=index).close())

    def _best(self, measure: Callable[[], float], *, least: bool = False) -> float:
        """The median of the rounds."""
        found = sorted(measure() for _ in range(self._rounds))
        return found[len(found) // 2]

    def _index(self) -> str:
        return tempfile.mkdtemp(dir=self._folder) + "/index.db"


def _seconds(do: Callable[[], object]) -> float:
    began = perf_counter()
    do()
    return perf_counter() - began


def _replay(store: Any, events: int) -> None:
    read = sum(1 for it in store.replay() if it.event is not None)
    if read != events:
        raise AssertionError(f"{read} of {events} events were replayed")


def _load_micros(repository: Repository[Item]) -> float:
    ids = [f"item-{it:08x}" for it in range(500)]
    began = process_time()
    for aggregate_id in ids:
        repository.get(aggregate_id)
    return (process_time() - began) / len(ids) * 1e6


def _resident() -> float:
    """Bytes of memory of this process now; where that cannot be told, at most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _raw_transactions(log: Log) -> Callable[[int, int], None]:
    settings: dict[str, Any] = {
        "bootstrap.servers": log.address, "transactional.id": f"raw-{log.prefix}",
        "linger.ms": 0, "retry.backoff.ms": 2,
    }  # fmt: skip
    producer = Producer(settings)
    producer.init_transactions()

    def one(_: int, number: int) -> None:
        producer.begin_transaction()
        producer.produce(log.events, b"x" * 150, f"raw-{number}".encode(), number % PARTITIONS)
        producer.commit_transaction()

    return one


def _delay_by_dead_writer(log: Log, index: str) -> float:
    """Seconds that an append takes after a writer was killed inside a transaction there."""
    with connect(log.url, index=index) as store:
        aggregate_id = _fresh_id()
        store.append(aggregate_id, [_EVENT])
        command = [sys.executable, "-m", "tests.benchmarks.dying", log.address, log.prefix]
        subprocess.run([*command, aggregate_id], check=False, timeout=60)
        return _seconds(lambda: store.append(aggregate_id, [_EVENT], 1))
