"""What is measured of reading on Kafka: an index is built and read, the log is replayed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from time import perf_counter
from typing import Any

from eventkit import Repository, connect
from tests.benchmarks.appending import EVENTKIT
from tests.benchmarks.kafka_appending import PEER
from tests.benchmarks.kafka_log import bare_replay, fresh_log
from tests.benchmarks.kit import Kit
from tests.benchmarks.limits import KAFKA
from tests.benchmarks.loading import by_length
from tests.benchmarks.results import Aim, Result, alone, beside, by_turns
from tests.benchmarks.steps import Section, Step
from tests.benchmarks.subjects import Eventkit, EventsourcingOnPostgres, Item, Subject

_LOADED = 500
_WARM = Aim(1, most=True)
_LOAD = Aim(100, most=True)

CATCHING_UP = Section(
    "kafka-index",
    "Index catch-up",
    "An index is built from the whole log, opened again, and read. The limit consumes the log with "
    "confluent-kafka, decodes with fastavro and keeps nothing.",
    "The limit writes nothing: the index decides each record by the rule of the log and keeps it "
    "in SQLite under two unique keys.",
)
LOADING = Section(
    "kafka-load",
    "Load by length, from the index of Kafka",
    "One aggregate is loaded again and again from the index, from its events or from a snapshot at "
    "its last event. The limit reads the same rows with sqlite3 and fastavro.",
    "What the limit does not do is to build an event of each record and to apply it.",
    "events of the aggregate", "ms a load",
)  # fmt: skip
REPLAYING = Section(
    "kafka-replay",
    "Replay, Kafka",
    "Every event of the log is read as an object of its class: from Kafka itself, and from the "
    "index. The limit consumes with confluent-kafka and decodes with fastavro.",
    "The limit makes no objects of the events and follows no rule of the log.",
)


def steps(kit: Kit) -> Iterator[Step]:
    """All of it."""
    yield Step(LOADING, "load by length from the index", lambda: _loaded(kit))
    yield Step(CATCHING_UP, "index catch-up", lambda: _caught_up(kit))
    yield Step(CATCHING_UP, "a warm index", lambda: _warm(kit))
    yield Step(REPLAYING, "replay from Kafka", lambda: _replayed(kit))
    yield Step(REPLAYING, "replay from the index", lambda: _replayed_from_index(kit))


def _loaded(kit: Kit) -> Iterator[Result]:
    log = fresh_log(kit.kafka)
    with ExitStack() as stack:
        ours = Eventkit(log.url, kit.index())
        stack.callback(ours.close)
        peer: Subject | None = None
        if kit.known_postgres is not None:
            peer = EventsourcingOnPostgres(stack.enter_context(kit.database()))
            stack.callback(peer.close)
        yield from by_length(kit, "index", ours, (PEER, peer), {})


def _caught_up(kit: Kit) -> Iterator[Result]:
    log, events, spent = kit.filled(), kit.sizes.events, kit.spendings()

    def catch_up() -> float:
        with ExitStack() as stack:
            room = stack.enter_context(kit.passing_room())
            with spent.of("index catch-up", EVENTKIT, events) as watch:
                store = connect(log.url, index=room / "index.db")
            store.close()
            return events / watch.seconds

    def consume() -> float:
        with spent.of("index catch-up", KAFKA, events):
            return bare_replay(log, events)

    found = by_turns(kit.sizes.long_rounds, {EVENTKIT: catch_up, KAFKA: consume})
    ours, limit = found[EVENTKIT], found[KAFKA]
    yield beside("index catch-up", "events/s", ours, KAFKA, limit, Aim(60_000))
    yield from spent.sums()


def _warm(kit: Kit) -> Iterator[Result]:
    log, index = kit.filled(), kit.warm_index()

    def open_it() -> float:
        began = perf_counter()
        store = connect(log.url, index=index)
        seconds = perf_counter() - began
        store.close()
        return seconds

    opened = [open_it() for _ in range(kit.sizes.rounds)]
    yield alone(f"open on a warm index of {kit.sizes.events:,} events", "s", opened, _WARM)
    with connect(log.url, index=index) as store:
        repository = Repository(store, Item)
        loads = [_load_micros(repository) for _ in range(kit.sizes.rounds)]
    yield alone(f"index load, 10 events out of {kit.sizes.events:,}", "µs", loads, _LOAD)


def _load_micros(repository: Repository[Item]) -> float:
    """Each of them another aggregate; microseconds a load."""
    ids = [f"item-{it:08x}" for it in range(_LOADED)]
    began = perf_counter()
    for aggregate_id in ids:
        repository.get(aggregate_id)
    return (perf_counter() - began) / len(ids) * 1e6


def _replayed(kit: Kit) -> Iterator[Result]:
    log, events, spent = kit.filled(), kit.sizes.events, kit.spendings()

    def consume() -> float:
        with spent.of("replay from Kafka", KAFKA, events):
            return bare_replay(log, events)

    with connect(log.url) as store:

        def replay() -> float:
            with spent.of("replay from Kafka", EVENTKIT, events):
                return _replay(store, events)

        found = by_turns(kit.sizes.long_rounds, {EVENTKIT: replay, KAFKA: consume})
    yield beside(
        "typed replay from Kafka", "events/s", found[EVENTKIT], KAFKA, found[KAFKA],
        Aim(0.6, of_ratio=True),
    )  # fmt: skip
    yield from spent.sums()


def _replayed_from_index(kit: Kit) -> Iterator[Result]:
    log, events, spent = kit.filled(), kit.sizes.events, kit.spendings()
    rates = []
    with connect(log.url, index=kit.warm_index()) as store:
        for _ in range(kit.sizes.long_rounds):
            with spent.of("replay from the index", EVENTKIT, events):
                rates.append(_replay(store, events))
    yield alone("typed replay from the index", "events/s", rates)
    yield from spent.sums()


def _replay(store: Any, events: int) -> float:
    began = perf_counter()
    read = sum(1 for it in store.replay() if it.event is not None)
    if read != events:
        raise AssertionError(f"{read} of {events} events were replayed")
    return events / (perf_counter() - began)
