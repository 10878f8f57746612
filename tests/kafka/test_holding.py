"""An append whose records stand apart, others' between them: nobody goes past one it is not in."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import sleep, time_ns

from confluent_kafka import Producer

from eventkit import Event, RecordedEvent
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import moves
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import PARTITIONS

SPLIT, BETWEEN, OTHER = [
    it
    for it in (f"parcel-{number}" for number in range(100))
    if partition_for(it.encode(), PARTITIONS) == 0
][:3]


EXPECTED = [(SPLIT, 1), (BETWEEN, 1), (OTHER, 1), (SPLIT, 2), (BETWEEN, 2)]
HALF_DECIDED = 0.5
"""Seconds; a subscription that goes too far does so at once. Writers are helped after some more."""


def place_of(recorded: RecordedEvent) -> tuple[str, int]:
    return recorded.aggregate_id, recorded.version


class Writer:
    """Writes records one by one, each on the broker before the next, in one transaction."""

    def __init__(self, address: str, names: Names, store: KafkaStore) -> None:
        self._id = f"test-{uuid.uuid4()}"
        settings = {"bootstrap.servers": address, "transactional.id": self._id}
        self.producer = Producer(settings)
        self.producer.init_transactions(SECONDS)
        self.producer.begin_transaction()
        self._topic = names.events("parcel")
        self._store = store

    def write(self, aggregate_id: str, events: list[Event]) -> Iterator[None]:
        """Write the next record of an append with each step."""
        named = [(uuid.uuid4(), "ParcelMoved", self._store.codec.encode(it)) for it in events]
        records = new_records(aggregate_id, named, time_ns() // 1_000)
        headers = framed(records, "1", 1, self._id)
        for record, some in zip(records, headers, strict=True):
            self.producer.produce(self._topic, record.value, record.key, 0, headers=list(some))
            assert self.producer.flush(SECONDS) == 0
            yield


@contextmanager
def apart(address: str, names: Names, store: KafkaStore) -> Iterator[Producer]:
    """The log of two appends of which the first is half decided, until the writer given commits."""
    store.append("van-1", moves("a"))  # the schema
    split, between, other = (Writer(address, names, store) for _ in range(3))
    parts = split.write(SPLIT, moves("a", "b"))
    next(parts)
    list(between.write(BETWEEN, moves("a")))
    between.producer.commit_transaction(SECONDS)
    list(other.write(OTHER, moves("a")))
    next(parts)
    split.producer.commit_transaction(SECONDS)
    yield other.producer


def test_a_subscription_goes_past_no_event_that_is_yet_to_come(
    open_kafka: Callable[[], KafkaStore], kafka_address: str, names: Names
) -> None:
    with (
        open_kafka() as store,
        ThreadPoolExecutor() as pool,
        apart(kafka_address, names, store) as other,
        store.subscribe(categories=["parcel"]) as subscription,
    ):
        shown = pool.submit(lambda: [place_of(next(subscription)) for _ in EXPECTED])
        sleep(HALF_DECIDED)
        other.commit_transaction(SECONDS)
        store.append(BETWEEN, moves("b"))
        assert shown.result(SECONDS) == EXPECTED
