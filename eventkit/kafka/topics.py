"""The topics of a log: made, recorded, and checked before anything is written to them.

A category has `<category>.events`, which nothing is ever deleted from, and `<category>.snapshots`,
which is compacted. Both have the same number of partitions, and that number is recorded in
`eventkit.schemas` (registry.py) when they are made: aggregates are spread over it by their hash, so
with another number an aggregate would go on in another partition, and its order would be lost.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from confluent_kafka.admin import NewTopic

from eventkit.errors import InvalidAggregateId, InvalidInput, TopicUnsafe
from eventkit.ids import category_of
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.gate import (
    USUAL_COPIES,
    USUAL_PARTITIONS,
    Finding,
    Gate,
    Severity,
    TopicRecord,
    TopicState,
    as_recorded,
)
from eventkit.kafka.names import Names
from eventkit.kafka.registry import Registry

_LOGGER = logging.getLogger(__name__)
_NAMES = Names()

_SAFE = {"unclean.leader.election.enable": "false"}
_FOR_EVENTS = _SAFE | {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    # The broker's clock; with the writer's, one that is an hour ahead could not write. When an
    # event happened stands in its headers.
    "message.timestamp.type": "LogAppendTime",
}
_COMPACTED = _SAFE | {"cleanup.policy": "compact"}
_USUAL_LARGEST = 1_048_588
"""Kafka's own, where a broker does not tell."""
_ENOUGH_COPIES = 3
"""With three, an append can wait for two of them while one broker is away."""


class Room(NamedTuple):
    """What the topic of events of a category takes.

    Parameters:
        partitions: how many it has.
        largest: bytes of a batch of records, at most.
    """

    partitions: int
    largest: int


class Topics:
    """Makes and checks the topics of a log.

    Parameters:
        cluster: where.
        names: what they are called.

    Raises from every method:
        KafkaUnavailable: no answer in time, or not for this user.
    """

    def __init__(self, cluster: Cluster, names: Names = _NAMES) -> None:
        self._cluster = cluster
        self._names = names
        self.registry = Registry(cluster.settings, names.registry, timeout=cluster.timeout)

    def create(self, category: str, partitions: int, replication: int) -> list[str]:
        """Make the topics of a category, and the registry; returns those that were not there.

        What is there stays as it is. Called again, it finishes what was interrupted, and records
        topics that were deleted and made again.

        Parameters:
            category: of the aggregates.
            partitions: how many; the number can never be changed.
            replication: copies of each partition, each on a broker of its own.

        Raises:
            InvalidInput: such topics cannot be made, or have another number of partitions.
            TopicUnsafe: partitions were added since the topic was recorded.
        """
        _check_category(category)
        if partitions < 1 or replication < 1:
            raise InvalidInput("partitions and replication are 1 or more")
        events, snapshots = self._names.events(category), self._names.snapshots(category)
        wanted = {
            self._names.registry: (1, _COMPACTED),
            events: (partitions, _FOR_EVENTS),
            snapshots: (partitions, _COMPACTED),
        }
        made = self._cluster.create(
            [_new_topic(name, size, replication, it) for name, (size, it) in wanted.items()]
        )
        for name in made:
            self._cluster.awaited(name, wanted[name][1])
        self.registry.refresh()
        self._record(events, self._cluster.awaited(events), partitions)
        return made

    def categories(self) -> list[str]:
        """The categories that have recorded topics of events; none where there is no registry."""
        if not self._cluster.describe([self._names.registry]):
            return []
        self.registry.refresh()
        found = map(self._names.category_of, self.registry.topics())
        return [category for category in found if category is not None]

    def check(self, categories: Sequence[str]) -> list[Finding]:
        """What is wrong with the topics of these categories, and with the registry.

        Raises:
            InvalidInput: a category that cannot be one.
            NotAnEventStore: a topic was made by a newer eventkit.
        """
        for category in categories:
            _check_category(category)
        found = self._describe(categories)
        if self._names.registry in found:
            self.registry.refresh()
        return self._judge(categories, found)

    def _describe(self, categories: Sequence[str]) -> dict[str, TopicState]:
        names = self._names
        topics = [name(it) for it in categories for name in (names.events, names.snapshots)]
        return self._cluster.describe([names.registry, *topics])

    def _judge(self, categories: Sequence[str], found: Mapping[str, TopicState]) -> list[Finding]:
        names = self._names
        gate = Gate(self._cluster.settings, self._cluster.brokers(), names, found)
        findings = gate.registry(categories)
        for category in categories:
            findings += gate.category(category, self.registry.topic(names.events(category)))
        return findings

    def require(self, categories: Sequence[str]) -> dict[str, int]:
        """The number of partitions of each category, if all topics are safe; risks are logged.

        Raises:
            TopicUnsafe: some are not; the error has all findings.
            InvalidInput, NotAnEventStore: as for `check`.
        """
        return self._required(categories, self.check(categories))

    def require_all(self) -> dict[str, Room]:
        """As `require`, for all categories that have topics; reads the registry once."""
        categories = self.categories()
        if not categories:
            return {}
        found = self._describe(categories)
        partitions = self._required(categories, self._judge(categories, found))
        largest = {it: found[self._names.events(it)].settings for it in partitions}
        return {
            it: Room(count, int(largest[it].get("max.message.bytes", _USUAL_LARGEST)))
            for it, count in partitions.items()
        }

    def _required(self, categories: Sequence[str], findings: Sequence[Finding]) -> dict[str, int]:
        refused = [finding for finding in findings if finding.severity is Severity.REFUSE]
        if refused:
            raise TopicUnsafe(refused)
        for finding in findings:
            _LOGGER.warning("%s", finding)
        records = {it: self.registry.topic(self._names.events(it)) for it in categories}
        return {category: record.partitions for category, record in records.items() if record}

    def usual_size(self) -> tuple[int, int]:
        """Partitions and copies for whoever does not say; no more copies than there are brokers."""
        return USUAL_PARTITIONS, min(USUAL_COPIES, self._cluster.brokers())

    def how_to_create(self, category: str) -> str:
        """The command that makes the topics of a category."""
        gate = Gate(self._cluster.settings, self._cluster.brokers(), self._names, {})
        return gate.how_to_create(category, None)

    def _record(self, events: str, state: TopicState, partitions: int) -> None:
        record = self.registry.topic(events)
        if record is not None and record.topic_id == state.topic_id:
            grown = list(as_recorded(events, state, record, ""))
            if grown:
                raise TopicUnsafe(grown)
        if state.partitions != partitions:
            raise InvalidInput(
                f"{events} is there already, with {state.partitions} partitions; their number can "
                f"never be changed. Ask for {state.partitions}."
            )
        if record is None or record.topic_id != state.topic_id:
            self.registry.put_topic(events, TopicRecord(state.partitions, state.topic_id))


def _check_category(category: str) -> None:
    try:
        if category_of(f"{category}-1") == category:
            return
    except InvalidAggregateId:
        pass
    raise InvalidInput(f"{category!r} is no category: letters, digits, '.' and '_' make one")


def _new_topic(
    name: str, partitions: int, replication: int, settings: Mapping[str, str]
) -> NewTopic:
    wait_for = "2" if replication >= _ENOUGH_COPIES else "1"
    return NewTopic(
        name, partitions, replication, config={**settings, "min.insync.replicas": wait_for}
    )
