import json
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin import ResourceType as Kind
from typer.testing import CliRunner

from eventkit.cli.main import app
from tests.kafka.clients import SECONDS, at

Topics = Callable[..., tuple[int, str]]


def run(store: str, *arguments: str) -> tuple[int, str]:
    """Exit code and all output of `eventkit topics`."""
    result = CliRunner().invoke(app, ["--store", store, "topics", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def prefix() -> str:
    return f"{uuid.uuid4().hex}."


@pytest.fixture
def topics(kafka_address: str, prefix: str) -> Topics:
    return lambda *arguments: run(f"kafka://{kafka_address}?prefix={prefix}", *arguments)


def expire(address: str, topic: str) -> None:
    """Let the events of a topic be deleted after a week."""
    change = ConfigEntry("retention.ms", "604800000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(Kind.TOPIC, topic, incremental_configs=[change])
    admin = AdminClient(dict(at(address)))
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(SECONDS)


def test_topics_are_made_and_then_are_safe(topics: Topics, prefix: str) -> None:
    names = [f"{prefix}{name}" for name in ("eventkit.schemas", "task.events", "task.snapshots")]
    create = ("create", "task", "--partitions", "2", "--replication", "1")
    assert topics(*create) == (0, f"made {', '.join(names)}\n")
    assert topics(*create) == (0, "all topics are there already\n")
    assert topics("check") == (0, "safe: task\n")
    assert topics("check", "task") == (0, "safe: task\n")


def test_a_missing_topic_is_shown_with_the_command_that_makes_it(
    topics: Topics, kafka_address: str, prefix: str
) -> None:
    store = f"'kafka://{kafka_address}?prefix={prefix}'"
    code, output = topics("check", "task")
    assert code == 3
    assert output.splitlines()[-2:] == [
        f"refuse: {prefix}task.snapshots: it is missing",
        f"    eventkit --store {store} topics create task --partitions 12 --replication 1",
    ]


def test_a_topic_that_loses_history_is_shown_to_machines(
    topics: Topics, kafka_address: str, prefix: str
) -> None:
    topics("create", "task", "--partitions", "2", "--replication", "1")
    expire(kafka_address, f"{prefix}task.events")
    code, output = topics("check", "--json")
    assert code == 3
    assert json.loads(output) == {
        "severity": "refuse",
        "topic": f"{prefix}task.events",
        "problem": "retention.ms is 604800000: events beyond that are deleted",
        "fix": f"kafka-configs.sh --bootstrap-server {kafka_address} --alter --entity-type topics "
        f"--entity-name {prefix}task.events --add-config retention.ms=-1",
    }


def test_too_many_copies_are_wrong_usage(topics: Topics) -> None:
    code, output = topics("create", "task", "--partitions", "2")
    assert code == 2
    assert "replication factor of 3" in output


@pytest.mark.parametrize(
    ("store", "code", "message"),
    [
        ("sqlite:///events.db", 2, "topics are Kafka's; say --store kafka://host:port"),
        ("kafka://127.0.0.1:1", 3, "Connection refused"),
        ("kafka://ann:hunter2@localhost", 2, "a URL is no place for passwords"),
        ("kafka://localhost?acks=1", 2, "unknown option 'acks'"),
        ("kafka://localhost?enable.idempotence=no", 2, "must stay true"),
        ("kafka://localhost?enable.idempotenze=no", 2, "No such configuration property"),
    ],
)
def test_a_store_that_leads_nowhere_is_told(
    store: str, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.cli.kafka._TIMEOUT", 1.0)
    exit_code, output = run(store, "check")
    assert exit_code == code
    assert message in output
    assert "hunter2" not in output
