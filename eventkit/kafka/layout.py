"""Which partitions a store reads: those of all categories that were recorded and are safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eventkit.ids import category_of
from eventkit.kafka.index import Partition
from eventkit.kafka.indexfile import LogId
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.names import Names
from eventkit.kafka.rule import Home
from eventkit.kafka.settings import Settings
from eventkit.kafka.topics import Topics

_BATCH = 1_000_000
"""What librdkafka has for `batch.size` and `message.max.bytes` unless told otherwise."""
_NONE: Mapping[str, int] = {}


class LogLayout(NamedTuple):
    """The topics of events.

    Parameters:
        log_id: tells this log from others.
        homes: all partitions.
        partitions: how many partitions the topic of each category has.
        names: of the topics.
        largest: bytes of a batch of records that each topic takes.
    """

    log_id: LogId
    homes: Mapping[Partition, Home]
    partitions: Mapping[str, int]
    names: Names = Names()
    largest: Mapping[str, int] = _NONE

    def fitted(self, producer: Settings) -> Settings:
        """The settings of a producer, whose batches all topics take.

        A batch that is too large is refused whole, with the records of all who are in it. One
        record may be larger than `batch.size`; `record_limits` says how large.
        """
        usual = int(producer.get("batch.size", _BATCH))
        return {**producer, "batch.size": min([usual, *self.largest.values()])}

    def record_limits(self, producer: Settings) -> dict[str, int]:
        """Bytes of a record that can be written to each topic, compressed or not."""
        ours = int(producer.get("message.max.bytes", _BATCH))
        return {topic: min(ours, it) for topic, it in self.largest.items()}

    def partition_of(self, aggregate_id: str) -> Partition:
        """Where the events of an aggregate are; not among `homes` where there is no such topic.

        Raises:
            InvalidAggregateId: it is no id.
        """
        category = category_of(aggregate_id)
        part = partition_for(aggregate_id.encode(), self.partitions.get(category, 1))
        topic = self.names.events(category)
        return (topic, part) if category in self.partitions else (topic, -1)

    def snapshots_of(self, aggregate_id: str) -> Partition:
        """The partition that the snapshots of an aggregate go to."""
        category = category_of(aggregate_id)
        part = partition_for(aggregate_id.encode(), self.partitions.get(category, 1))
        return self.names.snapshots(category), part

    def snapshot_partitions(self) -> list[Partition]:
        """All partitions of topics of snapshots."""
        return [
            (self.names.snapshots(category), part)
            for category, count in self.partitions.items()
            for part in range(count)
        ]


def layout_of(topics: Topics, names: Names) -> LogLayout:
    """The topics of events that are there.

    Raises:
        TopicUnsafe: one can lose or reorder history; nothing is read or written then.
        KafkaUnavailable: no broker answers, or not for this user.
    """
    rooms = topics.require_all()
    partitions = {category: it.partitions for category, it in rooms.items()}
    largest = {names.events(category): it.largest for category, it in rooms.items()}
    records = {names.events(it): topics.registry.topic(names.events(it)) for it in partitions}
    ids = {topic: record.topic_id for topic, record in records.items() if record is not None}
    homes = {
        (names.events(category), part): Home(category, part, count)
        for category, count in partitions.items()
        for part in range(count)
    }
    return LogLayout(LogId(names.registry, ids), homes, partitions, names, largest)
