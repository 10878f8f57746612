"""Logs on Kafka to measure with: fresh topics, filled ones, and a loop without a library."""

from __future__ import annotations

import io
import json
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition

from eventkit.codec import AvroCodec
from eventkit.events import EventTypes
from eventkit.ids import new_event_id
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.registry import Registry
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.topics import Topics
from tests.benchmarks.subjects import ItemNoted, ItemOpened

PARTITIONS = 4
_TRANSACTION = 20_000
_MARK = 10  # bytes before the body: Avro's marker of single objects, and the fingerprint


class Log(NamedTuple):
    """Topics for the category `item`."""

    address: str
    prefix: str

    @property
    def url(self) -> str:
        """What `connect` takes."""
        return f"kafka://{self.address}?prefix={self.prefix}"

    @property
    def events(self) -> str:
        """The topic."""
        return Names(self.prefix).events("item")


def fresh_log(address: str) -> Log:
    """New topics."""
    log = Log(address, f"bench-{uuid.uuid4().hex[:8]}-")
    Topics(Cluster(KafkaSettings(address)), Names(log.prefix)).create("item", PARTITIONS, 1)
    return log


def fill(log: Log, aggregates: int, events: int) -> None:
    """Write so many aggregates with so many events each, in the order of versions.

    By a plain producer in large transactions: what is measured is reading.
    """
    codec = AvroCodec(EventTypes(), lambda _: None)
    registry = Registry(KafkaSettings(log.address), Names(log.prefix).registry, timeout=30)
    for cls in (ItemOpened, ItemNoted):
        schema = codec.schema_of(cls)
        registry.put(schema.fingerprint.hex(), schema.json)
    producer = _producer(log)
    ids = [f"item-{it:08x}" for it in range(aggregates)]
    random.Random(7).shuffle(ids)  # noqa: S311 - an order, no secret
    written = 0
    for version in range(1, events + 1):
        for aggregate_id in ids:
            _produce(producer, log, codec, aggregate_id, version)
            written += 1
            if written % _TRANSACTION == 0:
                producer.commit_transaction()
                producer.begin_transaction()
    producer.commit_transaction()


def _producer(log: Log) -> Producer:
    settings: dict[str, Any] = {
        "bootstrap.servers": log.address, "transactional.id": f"fill-{log.prefix}",
        "linger.ms": 5, "queue.buffering.max.messages": 100_000,
    }  # fmt: skip
    producer = Producer(settings)
    producer.init_transactions()
    producer.begin_transaction()
    return producer


def _produce(
    producer: Producer, log: Log, codec: AvroCodec, aggregate_id: str, version: int
) -> None:
    event = (
        ItemOpened(title="a long story", owner="ann", rank=0)
        if version == 1
        else ItemNoted(
            text=f"the note with number {version}", rank=version, author="ann", amount=1.5
        )
    )
    name = type(event).__name__
    records = new_records(
        aggregate_id, [(new_event_id(), name, codec.encode(event))], time.time_ns() // 1_000
    )
    append_id = f"{aggregate_id[5:]}{version:x}"
    (headers,) = framed(records, append_id, version, f"fill-{log.prefix}")
    (record,) = records
    part = partition_for(record.key, PARTITIONS)
    while True:
        try:
            producer.produce(log.events, record.value, record.key, part, headers=headers)  # type: ignore[arg-type]
        except BufferError:
            producer.poll(0.1)
        else:
            return


def bare_replay(log: Log, total: int) -> float:
    """Read all with confluent_kafka and fastavro, and nothing else; events a second."""
    schemas = _parsed_schemas()
    with _consumer(log) as consumer:
        began, read = time.perf_counter(), 0
        while read < total:
            for message in consumer.consume(5_000, 0.05):
                if message.error() is not None:
                    continue
                body = message.value() or b""
                headers: Any = message.headers()
                schema = schemas[dict(headers)["ce_type"]]
                fastavro.schemaless_reader(io.BytesIO(body[_MARK:]), schema, None)
                read += 1
        return total / (time.perf_counter() - began)


def _parsed_schemas() -> dict[bytes, Any]:
    codec = AvroCodec(EventTypes(), lambda _: None)
    return {
        cls.__name__.encode(): fastavro.parse_schema(json.loads(codec.schema_of(cls).json))
        for cls in (ItemOpened, ItemNoted)
    }


@contextmanager
def _consumer(log: Log) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": log.address, "group.id": "bench"})
    consumer.assign([TopicPartition(log.events, part, 0) for part in range(PARTITIONS)])
    try:
        yield consumer
    finally:
        consumer.close()
