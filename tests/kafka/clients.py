"""Plain confluent_kafka, as short as the tests of the brokers need it."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SECONDS = 30

Settings = Mapping[str, str]


def at(address: str) -> Settings:
    """Return the settings to connect to the plaintext listener at `address`."""
    return {"bootstrap.servers": address}


def new_topic(settings: Settings, replicas: int = 1) -> str:
    """Create a topic of one partition with a name of its own; return the name."""
    name = f"test-{uuid.uuid4()}"
    admin = AdminClient(dict(settings))
    admin.create_topics([NewTopic(name, 1, replicas)])[name].result(SECONDS)
    return name


def open_transaction(settings: Settings, topic: str, values: Sequence[str]) -> Producer:
    """Return a producer whose transaction has written `values`, not committed yet."""
    producer = Producer(dict(settings) | {"transactional.id": f"test-{uuid.uuid4()}"})
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(SECONDS)
    return producer


def write(settings: Settings, topic: str, values: Sequence[str]) -> None:
    """Write `values` in one committed transaction."""
    open_transaction(settings, topic, values).commit_transaction(SECONDS)


def read(settings: Settings, topic: str) -> list[str]:
    """Return the committed values of `topic`, up to its present end.

    A commit is answered before it is seen: its marker comes a little later, after a crash of the
    broker a few seconds. So this waits until all that is in the topic now is decided.
    """
    partition = TopicPartition(topic, 0, 0)
    end = _consumer(settings, "read_uncommitted").get_watermark_offsets(partition, SECONDS)[1]
    consumer = _consumer(settings, "read_committed")
    consumer.assign([partition])
    values: list[str] = []
    while True:
        message = consumer.poll(SECONDS)
        if message is None:
            raise TimeoutError(f"{topic} was not decided up to {end} within {SECONDS} s")
        error = message.error()
        if error is None:
            values.append((message.value() or b"").decode())
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        elif (message.offset() or 0) >= end:
            return values


def _consumer(settings: Settings, isolation: str) -> Consumer:
    return Consumer(
        dict(settings)
        | {
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # how long the end of the topic takes to be told
        }
    )


def refused_with(settings: Settings, code: int) -> bool:
    """Say if a client with these settings is told `code`, in time.

    Another error may come before it: a connection that the broker closed while it was slow.
    """
    told: list[int] = []
    quiet: Any = {"log_level": 0, "error_cb": lambda error: told.append(error.code())}
    admin = AdminClient(dict(settings) | quiet)
    deadline = time.monotonic() + SECONDS
    while code not in told and time.monotonic() < deadline:
        admin.poll(1)
    return code in told
