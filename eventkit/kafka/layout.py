"""Which topics a store reads, as the cluster has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicCollection

from eventkit.errors import StoreUnavailable
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.index import Partition
from eventkit.kafka.indexfile import LogId
from eventkit.kafka.rule import Home

EVENTS = ".events"


class LogLayout(NamedTuple):
    """The topics of events.

    Parameters:
        log_id: tells this log from others.
        homes: all partitions.
        topics: the topic of each category.
        partitions: how many partitions each topic has.
    """

    log_id: LogId
    homes: Mapping[Partition, Home]
    topics: Mapping[str, str]
    partitions: Mapping[str, int]


def layout_of(cluster: Cluster, prefix: str) -> LogLayout:
    """The topics of events that are there.

    Parameters:
        cluster: the connection.
        prefix: what stands before the category in the names of topics.

    Raises:
        StoreUnavailable: no broker answers.
    """
    try:
        listed = cluster.admin.list_topics(timeout=cluster.timeout)
    except KafkaException as error:
        raise StoreUnavailable(
            f"no Kafka answers at {cluster.settings.bootstrap} ({error.args[0].str()}). Is the "
            "address right, and the broker up?"
        ) from error
    names = [
        name
        for name in listed.topics
        if name.startswith(prefix) and name.endswith(EVENTS) and len(name) > len(prefix + EVENTS)
    ]
    ids = _ids(cluster, names)
    topics = {name[len(prefix) : -len(EVENTS)]: name for name in sorted(names)}
    partitions = {name: len(listed.topics[name].partitions) for name in names}
    homes = {
        (name, part): Home(category, part, partitions[name])
        for category, name in topics.items()
        for part in range(partitions[name])
    }
    return LogLayout(LogId(f"{listed.cluster_id} {prefix}", ids), homes, topics, partitions)


def _ids(cluster: Cluster, names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    answers = cluster.admin.describe_topics(TopicCollection(names), request_timeout=cluster.timeout)
    try:
        return {name: str(it.result(cluster.timeout).topic_id) for name, it in answers.items()}
    except (KafkaException, TimeoutError) as error:
        raise StoreUnavailable(f"the topics cannot be described: {error}") from error
