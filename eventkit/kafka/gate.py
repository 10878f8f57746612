"""The gate: what makes a topic unsafe for history, each with the command that mends it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from shlex import quote
from typing import NamedTuple

from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings

FORMAT = 1
"""Of the records in topics of events."""
USUAL_PARTITIONS, USUAL_COPIES = 12, 3


class TopicState(NamedTuple):
    """A topic as it is.

    Parameters:
        topic_id: Kafka's own; a topic that is deleted and made again has another.
        partitions: how many.
        replicas: copies of a partition; the fewest where they differ.
        settings: those in force, be they the topic's own or the brokers'.
    """

    topic_id: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]


class TopicRecord(NamedTuple):
    """What was true of a topic of events when it was made.

    Parameters:
        partitions: how many; aggregates are spread over that many for ever.
        topic_id: Kafka's own id of the topic.
        format: of the records in it; a higher one than ours was made by a newer eventkit.
    """

    partitions: int
    topic_id: str
    format: int = FORMAT


class Severity(StrEnum):
    """What a finding means for the start of a store."""

    REFUSE = "refuse"
    WARN = "warn"


class Finding(NamedTuple):
    """Something about a topic that is not as it should be.

    Parameters:
        severity: whether the store refuses to start, or only warns.
        topic: its name.
        problem: what is wrong, and what may come of it.
        fix: the command that mends it, or what to do where no command can.
    """

    severity: Severity
    topic: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.problem}. To mend it: {self.fix}"


class Gate:
    """Judges the topics of a log.

    Parameters:
        settings: how to connect to the cluster, for the commands.
        brokers: how many there are, for the commands.
        names: of the topics.
        found: the topics that are there.
    """

    def __init__(
        self, settings: KafkaSettings, brokers: int, names: Names, found: Mapping[str, TopicState]
    ) -> None:
        self._settings = settings
        self._brokers = brokers
        self._names = names
        self._found = found

    def registry(self, categories: Sequence[str]) -> list[Finding]:
        """What is wrong with the topic of the schemas."""
        topic = self._names.registry
        state = self._found.get(topic)
        if state is None:
            category = next(iter(categories), "CATEGORY")
            return [_refuse(topic, "it is missing", self.how_to_create(category, None))]
        findings = list(self._copies(topic, state))
        policy = state.settings.get("cleanup.policy", "")
        if policy != "compact":
            problem = f"cleanup.policy is {policy!r}: schemas are deleted, and no one can read on"
            findings.append(_refuse(topic, problem, self._set(topic, "cleanup.policy", "compact")))
        if state.partitions != 1:
            problem = f"it has {state.partitions} partitions, and only the first is read"
            findings.append(_refuse(topic, problem, "restore it with one partition"))
        return findings

    def category(self, category: str, record: TopicRecord | None) -> list[Finding]:
        """What is wrong with the topics of a category, of which `record` was recorded."""
        events, snapshots = self._names.events(category), self._names.snapshots(category)
        create = self.how_to_create(category, record)
        missing = [name for name in (events, snapshots) if name not in self._found]
        findings = [_refuse(name, "it is missing", create) for name in missing]
        if events in self._found:
            state = self._found[events]
            findings += self._history(events, state)
            findings += self._copies(events, state)
            findings += as_recorded(events, state, record, create)
        if snapshots in self._found:
            findings += self._snapshots(snapshots, self._found.get(events), create)
        return findings

    def _history(self, topic: str, state: TopicState) -> Iterator[Finding]:
        """Nothing is ever deleted."""
        policy = state.settings.get("cleanup.policy", "")
        if "compact" in policy:
            problem = f"cleanup.policy is {policy!r}: only the last event of an aggregate is kept"
            yield _refuse(topic, problem, self._set(topic, "cleanup.policy", "delete"))
        for name in ("retention.ms", "retention.bytes"):
            limit = state.settings.get(name, "-1")
            if limit != "-1":
                problem = f"{name} is {limit}: events beyond that are deleted"
                yield _refuse(topic, problem, self._set(topic, name, "-1"))

    def _copies(self, topic: str, state: TopicState) -> Iterator[Finding]:
        """What was acknowledged survives the loss of a broker."""
        unclean, needed = "unclean.leader.election.enable", "min.insync.replicas"
        if state.settings.get(unclean) == "true":
            problem = f"{unclean} is true: a broker that lags behind may take over, and cut the log"
            yield _refuse(topic, problem, self._set(topic, unclean, "false"))
        in_sync, copies = int(state.settings.get(needed, "1")), state.replicas
        if in_sync > copies:
            problem = f"{needed} is {in_sync}, of {copies} replicas: nothing can be written"
            yield _refuse(topic, problem, self._set(topic, needed, str(max(1, copies - 1))))
        elif in_sync < 2 <= copies:  # noqa: PLR2004 - more than one
            problem = f"{needed} is 1, of {copies} replicas: what only one has is acknowledged"
            fix = self._set(topic, needed, "2")
            yield Finding(Severity.WARN, topic, f"{problem}, and lost with it", fix)

    def _snapshots(self, topic: str, events: TopicState | None, create: str) -> Iterator[Finding]:
        """Losing snapshots costs time only."""
        state = self._found[topic]
        policy = state.settings.get("cleanup.policy", "")
        if policy != "compact":
            problem = f"cleanup.policy is {policy!r}: it grows for ever, or loses snapshots"
            fix = self._set(topic, "cleanup.policy", "compact")
            yield Finding(Severity.WARN, topic, problem, fix)
        if events is not None and state.partitions != events.partitions:
            problem = f"it has {state.partitions} partitions, the events have {events.partitions}"
            fix = f"{self._tool('topics')} --delete --topic {topic}, and then {create}"
            yield Finding(Severity.WARN, topic, f"{problem}: snapshots are not found", fix)

    def _set(self, topic: str, name: str, value: str) -> str:
        what = f"--entity-type topics --entity-name {topic} --add-config {name}={value}"
        return f"{self._tool('configs')} --alter {what}"

    def _tool(self, name: str) -> str:
        return f"kafka-{name}.sh --bootstrap-server {self._settings.bootstrap}"

    def how_to_create(self, category: str, record: TopicRecord | None) -> str:
        """The command that makes what is missing, like what is there."""
        events = self._found.get(self._names.events(category))
        like = events or self._found.get(self._names.snapshots(category))
        partitions = like.partitions if like else USUAL_PARTITIONS
        if record is not None and events is None:
            partitions = record.partitions
        copies = like.replicas if like else min(USUAL_COPIES, self._brokers)
        return (
            f"eventkit --store {quote(self._settings.url(self._names.prefix))} topics create "
            f"{category} --partitions {partitions} --replication {copies}"
        )


def as_recorded(
    topic: str, state: TopicState, record: TopicRecord | None, create: str
) -> Iterator[Finding]:
    """What of a topic of events is not as it was recorded.

    Parameters:
        topic: its name.
        state: as it is.
        record: what was recorded.
        create: the command that records it.
    """
    if record is None:
        problem = "how many partitions it has for ever is not recorded"
        yield _refuse(topic, problem, create)
    elif record.topic_id != state.topic_id:
        problem = "it was deleted and made again: the history it was recorded with is gone"
        yield _refuse(topic, problem, f"restore it; or, if that was meant, {create}")
    elif record.partitions != state.partitions:
        problem = (
            f"it has {state.partitions} partitions, and was made with {record.partitions}: "
            "aggregates would go on in other partitions, out of order"
        )
        fix = (
            f"Kafka cannot take partitions away. All history is in the first {record.partitions}: "
            "copy them into a topic of that many, and let it take the place of this one"
        )
        yield _refuse(topic, problem, fix)


def _refuse(topic: str, problem: str, fix: str) -> Finding:
    return Finding(Severity.REFUSE, topic, problem, fix)
