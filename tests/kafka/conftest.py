"""Logs on the shared broker: each test gets topics of its own."""

import json
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from eventkit.kafka.cluster import Cluster
from eventkit.kafka.gate import TopicRecord
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings, Setting
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import CATEGORIES
from tests.kafka.clients import SECONDS

MOST_BYTES = 10_000_000
PARTITIONS = 2

# The broker tells the end of the log after this time: how long a store takes to open.
QUICK: dict[str, Setting] = {"fetch.wait.max.ms": 10, "message.max.bytes": MOST_BYTES}


@pytest.fixture(scope="session")
def cluster(kafka_address: str) -> Cluster:
    return Cluster(KafkaSettings(kafka_address))


@pytest.fixture(scope="session")
def producer(kafka_address: str) -> Producer:
    return Producer({"bootstrap.servers": kafka_address, "linger.ms": 0})


@pytest.fixture
def names(cluster: Cluster, producer: Producer) -> Iterator[Names]:
    """A log of its own for a test: what `eventkit topics create` makes, but all at once."""
    names = Names(f"{uuid.uuid4().hex}.")
    events = {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": str(MOST_BYTES)}
    compacted = {"cleanup.policy": "compact"}
    topics = [NewTopic(names.registry, 1, 1, config=compacted)]
    for category in CATEGORIES:
        topics.append(NewTopic(names.events(category), PARTITIONS, 1, config=events))
        topics.append(NewTopic(names.snapshots(category), PARTITIONS, 1, config=compacted))
    for made in cluster.admin.create_topics(topics).values():
        made.result(SECONDS)
    failures: list[KafkaError | None] = []
    for name, topic_id in topic_ids(cluster.admin, list(map(names.events, CATEGORIES))):
        record = json.dumps(TopicRecord(PARTITIONS, topic_id)._asdict())
        producer.produce(
            names.registry, record, f"topic:{name}", 0, lambda error, _: failures.append(error)
        )
    producer.flush()
    assert failures == [None] * len(CATEGORIES)
    yield names
    cluster.admin.delete_topics([topic.topic for topic in topics])


def topic_ids(admin: AdminClient, topics: list[str]) -> Iterator[tuple[str, str]]:
    """Yield topics with their ids, once the broker knows them: that may be a little later."""
    while topics:
        unknown = []
        for name, answer in admin.describe_topics(TopicCollection(topics)).items():
            try:
                yield name, str(answer.result(SECONDS).topic_id)
            except KafkaException:
                unknown.append(name)
        topics = unknown


@pytest.fixture
def open_kafka(kafka_address: str, names: Names, tmp_path: Path) -> Callable[[], KafkaStore]:
    """Opens the store of this test; each call opens the same one again, with the same index."""
    settings = KafkaSettings(kafka_address, QUICK)
    return partial(KafkaStore, settings, index=tmp_path / "index.db", prefix=names.prefix)
