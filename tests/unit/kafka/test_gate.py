from collections.abc import Mapping
from pathlib import Path

import pytest

from eventkit.kafka.gate import Finding, Gate, Severity, TopicRecord, TopicState
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.urls import parse_url

CONFIGS = "kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name"
CREATE = "eventkit --store kafka://b:9092 topics create task --partitions"
EVENTS = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
COMPACT = {"cleanup.policy": "compact"}
RECORD = TopicRecord(12, "id-1")


def topic(
    settings: Mapping[str, str], partitions: int = 12, replicas: int = 3, **changes: str
) -> TopicState:
    safe = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
    changed = {name.replace("_", "."): value for name, value in changes.items()}
    return TopicState("id-1", partitions, replicas, {**safe, **settings, **changed})


GOOD = {
    "eventkit.schemas": topic(COMPACT, 1),
    "task.events": topic(EVENTS),
    "task.snapshots": topic(COMPACT),
}


def findings(record: TopicRecord | None = RECORD, **changes: TopicState | None) -> list[Finding]:
    """What the gate says of good topics of which some are changed, or None: taken away."""
    changed = {name.replace("_", "."): state for name, state in changes.items()}
    found = {name: state for name, state in {**GOOD, **changed}.items() if state is not None}
    gate = Gate(KafkaSettings("b:9092"), 5, Names(), found)
    return [*gate.registry(["task"]), *gate.category("task", record)]


def the_one(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_good_topics_are_let_through() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("setting", "value", "fix"),
    [
        ("cleanup.policy", "compact", "cleanup.policy=delete"),
        ("cleanup.policy", "compact,delete", "cleanup.policy=delete"),
        ("retention.ms", "604800000", "retention.ms=-1"),
        ("retention.bytes", "1000000", "retention.bytes=-1"),
        ("unclean.leader.election.enable", "true", "unclean.leader.election.enable=false"),
        ("min.insync.replicas", "4", "min.insync.replicas=2"),
    ],
)
def test_a_topic_that_can_lose_events_is_refused(setting: str, value: str, fix: str) -> None:
    finding = the_one(findings(task_events=topic({**EVENTS, setting: value})))
    assert finding.severity == Severity.REFUSE
    assert finding.topic == "task.events"
    assert setting in finding.problem
    assert finding.fix == f"{CONFIGS} task.events --add-config {fix}"


def test_a_topic_that_acknowledges_what_one_broker_has_is_a_risk() -> None:
    risky = topic({**EVENTS, "min.insync.replicas": "1"})
    finding = the_one(findings(task_events=risky))
    assert finding.severity == Severity.WARN
    assert finding.fix == f"{CONFIGS} task.events --add-config min.insync.replicas=2"


def test_a_single_copy_needs_no_more_than_one_in_sync() -> None:
    alone = topic({**EVENTS, "min.insync.replicas": "1"}, replicas=1)
    assert findings(task_events=alone) == []


def test_more_partitions_than_recorded_are_refused() -> None:
    grown = topic(EVENTS, partitions=13)
    finding, snapshots = findings(task_events=grown)
    assert finding.severity == Severity.REFUSE
    assert "13 partitions, and was made with 12" in finding.problem
    assert snapshots.topic == "task.snapshots"


def test_a_topic_of_which_nothing_is_recorded_is_refused() -> None:
    finding = the_one(findings(record=None))
    assert finding.severity == Severity.REFUSE
    assert finding.fix == f"{CREATE} 12 --replication 3"


def test_a_topic_that_was_made_again_is_refused() -> None:
    finding = the_one(findings(record=TopicRecord(12, "id-0")))
    assert finding.severity == Severity.REFUSE
    assert finding.fix == f"restore it; or, if that was meant, {CREATE} 12 --replication 3"


def test_missing_topics_are_refused_with_the_command_that_makes_them() -> None:
    found = findings(record=None, eventkit_schemas=None, task_events=None, task_snapshots=None)
    assert [finding.topic for finding in found] == list(GOOD)
    assert {finding.fix for finding in found} == {f"{CREATE} 12 --replication 3"}
    assert {finding.severity for finding in found} == {Severity.REFUSE}


def test_a_missing_topic_is_made_like_the_recorded_one() -> None:
    found = findings(record=TopicRecord(5, "id-1"), task_events=None, task_snapshots=None)
    assert {finding.fix for finding in found} == {f"{CREATE} 5 --replication 3"}


def test_a_missing_topic_is_made_like_the_other_one() -> None:
    like = topic(EVENTS, partitions=7, replicas=2)
    found = findings(record=TopicRecord(7, "id-1"), task_events=like, task_snapshots=None)
    assert the_one(found).fix == f"{CREATE} 7 --replication 2"


@pytest.mark.parametrize(
    "changed", [topic({"cleanup.policy": "delete"}), topic(COMPACT, partitions=6)]
)
def test_snapshots_that_may_get_lost_are_a_risk(changed: TopicState) -> None:
    assert the_one(findings(task_snapshots=changed)).severity == Severity.WARN


@pytest.mark.parametrize(
    "changed",
    [
        topic({"cleanup.policy": "delete"}, 1),
        topic(COMPACT, 2),
        topic({**COMPACT, "unclean.leader.election.enable": "true"}, 1),
    ],
)
def test_schemas_that_may_get_lost_are_refused(changed: TopicState) -> None:
    finding = the_one(findings(eventkit_schemas=changed))
    assert (finding.topic, finding.severity) == ("eventkit.schemas", Severity.REFUSE)


def test_a_log_with_a_prefix_has_its_own_topics_and_commands() -> None:
    found = {f"old.{name}": state for name, state in GOOD.items()}
    gate = Gate(KafkaSettings("b:9092"), 5, Names("old."), found)
    assert [*gate.registry(["task"]), *gate.category("task", RECORD)] == []
    (finding,) = gate.category("task", None)
    assert finding.fix.startswith("eventkit --store 'kafka://b:9092?prefix=old.' topics create")


def test_a_finding_reads_as_one_line() -> None:
    finding = Finding(Severity.WARN, "task.events", "it is odd", "mend it")
    assert str(finding) == "task.events: it is odd. To mend it: mend it"


@pytest.mark.parametrize(
    ("topic_name", "category"),
    [
        ("old.task.events", "task"),
        ("old.a.b.events", "a.b"),
        ("task.events", None),
        ("old..events", None),
        ("old.events", None),
        ("old.task.snapshots", None),
    ],
)
def test_a_topic_of_events_tells_its_category(topic_name: str, category: str | None) -> None:
    assert Names("old.").category_of(topic_name) == category


def test_commands_connect_as_the_store_does(tmp_path: Path) -> None:
    config = tmp_path / "kafka.conf"
    config.write_text("sasl.password=hunter2\n")
    settings, _ = parse_url(f"kafka://b:9092?config={config}&client.id=a b&index=i.db")
    (finding,) = Gate(settings, 1, Names("old."), {}).registry(["task"])
    url = f"kafka://b:9092?prefix=old.&config={config}&client.id=a+b"
    assert finding.fix.startswith(f"eventkit --store '{url}' topics create task")
