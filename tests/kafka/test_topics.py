import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from eventkit.errors import (
    InvalidInput,
    KafkaNotAllowed,
    KafkaUnavailable,
    NotAnEventStore,
    StoreUnavailable,
    TopicUnsafe,
)
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.gate import Finding, Severity, TopicRecord
from eventkit.kafka.names import Names
from eventkit.kafka.registry import Registry
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from tests.contract.domain import ParcelMoved
from tests.kafka.clients import SECONDS
from tests.kafka.plugin import Brokers
from tools.broker.cluster import Cluster as Broker
from tools.broker.cluster import Wanted

CATEGORY = "task"


class Log:
    """A log of its own in a cluster, and what an operator may do to it."""

    def __init__(self, address: str, timeout: float = SECONDS) -> None:
        self.settings = KafkaSettings(address, {"fetch.wait.max.ms": 10})
        self.names = Names(f"{uuid.uuid4().hex}.")
        self.cluster = Cluster(self.settings, timeout=timeout)
        self.topics = Topics(self.cluster, self.names)
        self.events = self.names.events(CATEGORY)

    @property
    def admin(self) -> AdminClient:
        return self.cluster.admin

    def make(self, *names: str, partitions: int = 3) -> None:
        new = [NewTopic(name, partitions, 1) for name in names]
        for done in self.admin.create_topics(new).values():
            done.result(SECONDS)
        self.until(lambda: len(self.cluster.describe(names)) == len(names))

    def grow(self, topic: str, partitions: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(SECONDS)
        self.until(lambda: self.cluster.describe([topic])[topic].partitions == partitions)

    def until(self, shown: Callable[[], bool]) -> None:
        """A broker shows what the controller did a moment later."""
        ends = time.monotonic() + SECONDS
        while True:
            try:
                if shown():
                    return
            except StoreUnavailable:
                pass  # it knows the topic, and not yet its settings
            assert time.monotonic() < ends, "the broker does not show it"

    def delete(self, *names: str) -> None:
        for done in self.admin.delete_topics(list(names)).values():
            done.result(SECONDS)
        while self.cluster.describe(names):
            pass

    def configure(self, topic: str, name: str, value: str) -> None:
        change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
        for done in self.admin.incremental_alter_configs([resource]).values():
            done.result(SECONDS)
        self.until(lambda: self.cluster.describe([topic])[topic].settings[name] == value)

    def refused(self) -> list[Finding]:
        """What another process refuses."""
        found = Topics(self.cluster, self.names).check([CATEGORY])
        return [finding for finding in found if finding.severity is Severity.REFUSE]

    def problems(self) -> list[str]:
        return [
            f"{it.topic.removeprefix(self.names.prefix)}: {it.problem}" for it in self.refused()
        ]


@pytest.fixture
def log(kafka_address: str) -> Log:
    return Log(kafka_address)


def test_the_topics_of_a_category_are_made_with_settings_that_keep_history(log: Log) -> None:
    names = [log.names.registry, log.events, log.names.snapshots(CATEGORY)]
    assert log.topics.create(CATEGORY, 3, 1) == names
    found = log.cluster.describe(names)
    shown = ("cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type")
    assert [found[log.events].settings[name] for name in shown] == [
        "delete", "-1", "-1", "LogAppendTime",
    ]  # fmt: skip
    assert [found[name].settings["cleanup.policy"] for name in names] == [
        "compact", "delete", "compact",
    ]  # fmt: skip
    assert [found[name].partitions for name in names] == [1, 3, 3]


def test_topics_that_were_made_are_let_through(log: Log) -> None:
    log.topics.create(CATEGORY, 3, 1)
    topics = Topics(log.cluster, log.names)
    assert topics.check([CATEGORY]) == []
    assert topics.require([CATEGORY]) == {CATEGORY: 3}
    assert topics.categories() == [CATEGORY]


def test_a_store_writes_to_topics_that_were_made_and_reads_them(log: Log, tmp_path: Path) -> None:
    log.topics.create(CATEGORY, 3, 1)
    for version in (1, 2):
        index = tmp_path / f"{version}.db"
        with KafkaStore(log.settings.bootstrap, index=index, prefix=log.names.prefix) as store:
            assert store.append("task-1", [ParcelMoved(place="x")]).version == version


def test_a_log_without_topics_has_no_categories(log: Log) -> None:
    assert log.topics.categories() == []


def test_missing_topics_are_refused_all_at_once(log: Log) -> None:
    with pytest.raises(TopicUnsafe) as caught:
        log.topics.require([CATEGORY, "loan"])
    told = [str(finding).removeprefix(log.names.prefix) for finding in caught.value.findings]
    assert [finding.partition(": ")[0] for finding in told] == [
        "eventkit.schemas", "task.events", "task.snapshots", "loan.events", "loan.snapshots",
    ]  # fmt: skip


def test_no_topic_is_made_unasked_where_brokers_would_make_any(
    brokers: Brokers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    eager = Wanted(settings={"auto.create.topics.enable": "true"})
    log = Log(brokers.cluster("eager", eager, tmp_path_factory).bootstrap, timeout=1)
    log.topics.check([CATEGORY])
    log.topics.categories()
    with pytest.raises(StoreUnavailable, match="Unknown topic"):
        log.topics.registry.refresh()
    with pytest.raises(StoreUnavailable, match="Unknown topic"):
        log.topics.registry.put("a", "b")
    names = log.admin.list_topics(timeout=SECONDS).topics
    assert {name for name in names if name.startswith(log.names.prefix)} == set()


def test_making_topics_again_changes_nothing(log: Log) -> None:
    log.topics.create(CATEGORY, 3, 1)
    assert log.topics.create(CATEGORY, 3, 1) == []
    assert log.problems() == []


def test_what_was_interrupted_is_finished_by_a_second_call(log: Log) -> None:
    log.make(log.events)
    log.configure(log.events, "retention.ms", "-1")
    assert log.problems()
    assert log.topics.create(CATEGORY, 3, 1) == [
        log.names.registry,
        log.names.snapshots(CATEGORY),
    ]
    assert log.problems() == []


def test_another_number_of_partitions_is_refused(log: Log) -> None:
    log.topics.create(CATEGORY, 3, 1)
    with pytest.raises(InvalidInput, match="Ask for 3"):
        log.topics.create(CATEGORY, 4, 1)


def test_of_two_who_make_topics_at_once_with_different_numbers_one_is_told(log: Log) -> None:
    def make(partitions: int) -> str:
        try:
            Topics(log.cluster, log.names).create(CATEGORY, partitions, 1)
        except InvalidInput:
            return "told"
        return "made"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(make, (2, 3))) == ["made", "told"]
    assert log.topics.check([CATEGORY]) == []


def test_partitions_that_were_added_are_refused_and_never_recorded(log: Log) -> None:
    log.topics.create(CATEGORY, 3, 1)
    log.grow(log.events, 4)
    with pytest.raises(TopicUnsafe, match="has 4 partitions, and was made with 3"):
        log.topics.create(CATEGORY, 4, 1)
    with pytest.raises(TopicUnsafe, match="has 4 partitions, and was made with 3"):
        log.topics.require([CATEGORY])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "1000"),
        ("retention.bytes", "1000"),
        ("cleanup.policy", "compact"),
        ("unclean.leader.election.enable", "true"),
    ],
)
def test_a_topic_that_can_lose_history_is_refused_until_it_is_mended(
    log: Log, name: str, value: str
) -> None:
    log.topics.create(CATEGORY, 3, 1)
    log.configure(log.events, name, value)
    (finding,) = log.refused()
    assert finding.fix.startswith(f"kafka-configs.sh --bootstrap-server {log.settings.bootstrap}")
    log.configure(log.events, *finding.fix.rpartition("--add-config ")[2].split("="))
    assert log.refused() == []


def test_a_topic_that_was_made_again_by_hand_is_refused_until_it_is_recorded(log: Log) -> None:
    log.topics.create(CATEGORY, 3, 1)
    log.delete(log.events)
    log.make(log.events, partitions=2)
    log.configure(log.events, "retention.ms", "-1")
    problem = "task.events: it was deleted and made again: the history it was recorded with is gone"
    assert log.problems() == [problem]
    log.delete(log.names.snapshots(CATEGORY))
    log.topics.create(CATEGORY, 2, 1)
    assert log.topics.check([CATEGORY]) == []


def test_a_topic_that_was_made_by_hand_is_refused_until_it_is_recorded(log: Log) -> None:
    log.topics.create("loan", 3, 1)
    log.make(log.events)
    assert f"{CATEGORY}.events: how many partitions it has for ever is not recorded" in (
        log.problems()
    )


def test_more_copies_than_brokers_are_refused(log: Log) -> None:
    with pytest.raises(InvalidInput, match="replication factor of 9"):
        log.topics.create(CATEGORY, 3, 9)


@pytest.mark.parametrize(
    ("category", "partitions", "replication"),
    [("a-b", 1, 1), ("", 1, 1), ("a" * 201, 1, 1), ("a/b", 1, 1), ("a", 0, 1), ("a", 1, 0)],
)
def test_what_cannot_be_a_category_or_a_number_is_refused(
    log: Log, category: str, partitions: int, replication: int
) -> None:
    with pytest.raises(InvalidInput):
        log.topics.create(category, partitions, replication)


def test_with_three_copies_an_append_waits_for_two(three_brokers: Broker) -> None:
    log = Log(three_brokers.bootstrap)
    log.topics.create(CATEGORY, 3, 3)
    (state,) = log.cluster.describe([log.events]).values()
    assert (state.replicas, state.settings["min.insync.replicas"]) == (3, "2")
    assert log.topics.check([CATEGORY]) == []


def test_two_copies_of_which_one_is_enough_are_a_risk(
    three_brokers: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(three_brokers.bootstrap)
    log.topics.create(CATEGORY, 3, 2)
    log.topics.require([CATEGORY])
    assert "min.insync.replicas is 1, of 2 replicas" in caplog.text


# What all readers know


@pytest.fixture
def registry(log: Log) -> Registry:
    log.topics.create(CATEGORY, 3, 1)
    return log.topics.registry


def again(log: Log) -> Registry:
    """The registry as another process reads it."""
    registry = Registry(log.settings, log.names.registry, timeout=SECONDS)
    registry.refresh()
    return registry


KEY = "00" * 8


def test_what_one_process_writes_another_reads(log: Log, registry: Registry) -> None:
    other = again(log)
    registry.put(KEY, "first")
    registry.put(KEY, "second")
    assert (registry.texts[KEY], KEY in other.texts) == ("second", False)
    other.refresh()
    assert other.texts[KEY] == "second"
    assert other.topic(log.events) == registry.topic(log.events)


def test_a_topic_of_a_newer_eventkit_is_refused(log: Log, registry: Registry) -> None:
    registry.put_topic(log.events, TopicRecord(3, "id", format=2))
    with pytest.raises(NotAnEventStore, match="newer eventkit"):
        log.topics.check([CATEGORY])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"partitions": "x"}', "\x00"])
def test_a_damaged_record_is_told(log: Log, registry: Registry, text: str) -> None:
    registry.put(f"topic:{log.events}", text)
    with pytest.raises(NotAnEventStore, match="cannot be read"):
        again(log).topic(log.events)


# Kafka that cannot be used


def describe(settings: KafkaSettings) -> None:
    Cluster(settings, timeout=2).describe(["task.events"])


def test_an_address_where_nothing_answers_is_named_with_the_reason() -> None:
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1 cannot.*Connection refused"):
        describe(KafkaSettings("127.0.0.1:1"))


def test_an_address_that_nobody_knows_is_named() -> None:
    with pytest.raises(KafkaUnavailable, match=r"nowhere\.invalid:9092"):
        describe(KafkaSettings("nowhere.invalid:9092"))


def test_a_frozen_broker_is_told_in_time(broker: Broker) -> None:
    log = Log(broker.bootstrap)
    log.cluster.describe([log.events])
    broker.pause(1)
    log.cluster.timeout = 2
    with pytest.raises(KafkaUnavailable, match="describing topics"):
        log.cluster.describe([log.events])


def test_a_wrong_password_is_told_but_not_shown(secure_broker: Broker) -> None:
    settings = dict(secure_broker.client_settings("reader"))
    address = settings.pop("bootstrap.servers")
    with pytest.raises(KafkaUnavailable, match=r"Authentication failed.*Check sasl") as caught:
        describe(KafkaSettings(address, {**settings, "sasl.password": "hunter2"}))
    assert "hunter2" not in str(caught.value)


def test_a_certificate_of_nobody_we_trust_is_told(secure_broker: Broker) -> None:
    settings = dict(secure_broker.client_settings("reader"))
    address = settings.pop("bootstrap.servers")
    del settings["ssl.ca.location"]
    with pytest.raises(KafkaUnavailable, match=r"certificate verify failed.*ssl\.ca\.location"):
        describe(KafkaSettings(address, {**settings}))


def test_a_port_that_wants_tls_is_told(secure_broker: Broker) -> None:
    address = secure_broker.client_settings("reader")["bootstrap.servers"]
    with pytest.raises(KafkaUnavailable, match=r"Is security\.protocol the one of that port"):
        describe(KafkaSettings(address))


@pytest.fixture
def as_reader(secure_broker: Broker) -> Callable[[Log], Topics]:
    """Opens a log, made by somebody else, as the user `reader`."""

    def open_log(log: Log) -> Topics:
        settings = dict(secure_broker.client_settings("reader"))
        address = settings.pop("bootstrap.servers")
        return Topics(Cluster(KafkaSettings(address, {**settings}), timeout=5), log.names)

    return open_log


def allow(log: Log, operation: AclOperation, topic: str, pattern: ResourcePatternType) -> None:
    binding = AclBinding(
        ResourceType.TOPIC, topic, pattern, "User:reader", "*", operation, AclPermissionType.ALLOW
    )
    for done in log.admin.create_acls([binding]).values():
        done.result(SECONDS)


def test_a_missing_permission_is_told(
    secure_broker: Broker, as_reader: Callable[[Log], Topics]
) -> None:
    log = Log(secure_broker.bootstrap)
    log.topics.create(CATEGORY, 3, 1)
    with pytest.raises(KafkaNotAllowed, match=r"describing topics.*authorization failed"):
        as_reader(log).require([CATEGORY])


def test_whoever_may_read_and_see_settings_may_check(
    secure_broker: Broker, as_reader: Callable[[Log], Topics]
) -> None:
    log = Log(secure_broker.bootstrap)
    log.topics.create(CATEGORY, 3, 1)
    prefixed, literal = ResourcePatternType.PREFIXED, ResourcePatternType.LITERAL
    allow(log, AclOperation.DESCRIBE_CONFIGS, log.names.prefix, prefixed)
    allow(log, AclOperation.DESCRIBE, log.names.prefix, prefixed)
    allow(log, AclOperation.READ, log.names.registry, literal)
    assert as_reader(log).require([CATEGORY]) == {CATEGORY: 3}
