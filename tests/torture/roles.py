"""Which broker has which role now, asked past the proxies."""

import random
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tools.broker.cluster import Cluster

_SECONDS = 2.0
_BACK = 60
"""Offsets before the end of a partition among which there is some record, besides markers."""
_DESCRIBE_QUORUM = 55
_METADATA = b"__cluster_metadata"


class Roles:
    """Asks the brokers who is who; None where they do not answer in time.

    Args:
        cluster: of the run.
        topic: of the events.
        partitions: how many it has.
        groups: tells the consumer groups of the workers, as they are called now.
        seed: chooses partitions and groups.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        partitions: int,
        groups: Callable[[], Sequence[str]],
        seed: str,
    ) -> None:
        self._addresses = [it.listeners.internal.bind for it in cluster.nodes.values()]
        self._settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": ",".join(self._addresses),
            "socket.timeout.ms": 3000,
            "log_level": 0,
        }
        self._admin = AdminClient(self._settings)
        self._topic = topic
        self._partitions = partitions
        self._groups = groups
        self._choose = random.Random(seed)  # noqa: S311

    def leader(self) -> int | None:
        """Of a partition of the events."""
        return self._leader_of(self._topic, self._choose.randrange(self._partitions))

    def transaction_coordinator(self) -> int | None:
        """Of the writer that was the last to append to some partition."""
        with suppress(KafkaException):
            writer = self._last_writer(self._choose.randrange(self._partitions))
            return None if writer is None else self._coordinator("__transaction_state", writer)
        return None

    def group_coordinator(self) -> int | None:
        """Of the workers of some database."""
        return self._coordinator("__consumer_offsets", self._choose.choice(self._groups()))

    def controller(self) -> int | None:
        """The leader of the brokers' own log; clients' metadata name any broker instead."""
        for address in self._choose.sample(self._addresses, len(self._addresses)):
            with suppress(OSError, struct.error, IndexError):
                return quorum_leader(address)
        return None

    def _coordinator(self, topic: str, name: str) -> int | None:
        with suppress(KafkaException):
            known = self._admin.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
            if known:
                return self._leader_of(topic, (java_hash(name) & 0x7FFFFFFF) % len(known))
        return None

    def _leader_of(self, topic: str, partition: int) -> int | None:
        with suppress(KafkaException, KeyError):
            known = self._admin.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
            leader: int = known[partition].leader
            return leader if leader > 0 else None
        return None

    def _last_writer(self, partition: int) -> str | None:
        consumer = Consumer(
            {**self._settings, "group.id": "roles", "isolation.level": "read_uncommitted"}
        )
        try:
            place = TopicPartition(self._topic, partition)
            start, end = consumer.get_watermark_offsets(place, _SECONDS)
            consumer.assign([TopicPartition(self._topic, partition, max(start, end - _BACK))])
            messages = consumer.consume(_BACK, 0.5)
            writers = [dict(it.headers() or ()).get("ce_writer") for it in messages]
            found = [it.decode() for it in writers if isinstance(it, bytes)]
            return found[-1] if found else None
        finally:
            consumer.close()


def java_hash(text: str) -> int:
    """What Java's `String.hashCode` gives, by which Kafka chooses the coordinator's partition."""
    value = 0
    for unit in text:
        value = (31 * value + ord(unit)) & 0xFFFFFFFF
    return value


def quorum_leader(address: str) -> int | None:
    """Ask a broker who leads the brokers' own log (DescribeQuorum, which no client of Python has).

    Raises:
        OSError: it does not answer.
    """
    host, port = address.rsplit(":", 1)
    head = struct.pack(">hhih", _DESCRIBE_QUORUM, 0, 1, 0) + b"\0"
    topics = bytes([2, len(_METADATA) + 1]) + _METADATA + b"\2" + struct.pack(">i", 0) + b"\0\0"
    frame = head + topics + b"\0"
    with socket.create_connection((host, int(port)), _SECONDS) as line:
        line.sendall(struct.pack(">i", len(frame)) + frame)
        with line.makefile("rb") as answers:
            (length,) = struct.unpack(">i", answers.read(4))
            answer = answers.read(length)
    # Correlation id, tags; error; one topic with its name; one partition: index, error, leader.
    at = 4 + 1 + 2 + 1 + 1 + len(_METADATA) + 1
    _, error, leader = struct.unpack_from(">ihi", answer, at)
    return None if error or leader < 0 else int(leader)
