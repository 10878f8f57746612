import logging
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from eventkit.errors import InvalidSetting
from eventkit.kafka.settings import LOGGER, KafkaSettings, Setting

SECRETS: dict[str, Setting] = {
    "sasl.password": "hunter2",
    "ssl.key.password": "hunter3",
    "ssl.key.pem": "-----BEGIN PRIVATE KEY-----",
    "ssl.keystore.password": "hunter4",
    "sasl.oauthbearer.client.secret": "hunter5",
    "sasl.oauthbearer.config": "principal=hunter6",
    "sasl.pasword": "hunter7",  # a slip of the pen is no reason to show it
}


def settings(**given: Setting) -> KafkaSettings:
    return KafkaSettings("broker:9092", {name.replace("_", "."): it for name, it in given.items()})


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    these = settings(client_id="billing", linger_ms=7)
    return {
        "producer": these.producer("writer-1"),
        "consumer": these.consumer("read_committed"),
        "admin": these.admin(),
    }


def test_the_users_settings_go_to_every_client(clients: dict[str, dict[str, Any]]) -> None:
    assert {client["client.id"] for client in clients.values()} == {"billing"}


def test_every_client_is_told_the_addresses(clients: dict[str, dict[str, Any]]) -> None:
    assert {client["bootstrap.servers"] for client in clients.values()} == {"broker:9092"}


def test_no_client_makes_topics(clients: dict[str, dict[str, Any]]) -> None:
    assert {client["allow.auto.create.topics"] for client in clients.values()} == {False}


def test_what_only_makes_things_faster_can_be_changed(clients: dict[str, dict[str, Any]]) -> None:
    assert clients["producer"]["linger.ms"] == 7
    assert settings().producer("writer-1")["linger.ms"] == 0


def test_a_producer_writes_once_and_to_all_replicas() -> None:
    producer = settings().producer("writer-1")
    names = ("transactional.id", "enable.idempotence", "acks")
    assert [producer[name] for name in names] == ["writer-1", True, "all"]


def test_a_producer_can_be_without_transactions() -> None:
    assert "transactional.id" not in settings().producer(None)


def test_a_consumer_has_the_isolation_it_is_asked_for() -> None:
    assert settings().consumer("read_uncommitted")["isolation.level"] == "read_uncommitted"


def test_a_consumer_notices_damage_and_gaps() -> None:
    consumer = settings().consumer("read_committed")
    assert (consumer["check.crcs"], consumer["auto.offset.reset"]) == (True, "error")


def test_confluent_kafka_takes_all_of_them() -> None:
    these = settings()
    these.opened(Producer, these.producer("writer-1"))
    these.opened(Consumer, these.consumer("read_committed")).close()
    these.opened(AdminClient, these.admin())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acks", 1),
        ("request.required.acks", "1"),
        ("enable.idempotence", False),
        ("check.crcs", "false"),
        ("auto.offset.reset", "latest"),
        ("enable.auto.commit", True),
        ("allow.auto.create.topics", "True"),
    ],
)
def test_a_setting_that_contradicts_the_promises_is_refused(name: str, value: Setting) -> None:
    with pytest.raises(InvalidSetting, match="must stay"):
        KafkaSettings("broker:9092", {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("acks", "all"), ("acks", -1), ("request.required.acks", "ALL"), ("check.crcs", "true")],
)
def test_a_setting_that_agrees_with_the_promises_is_taken(name: str, value: Setting) -> None:
    given = KafkaSettings("broker:9092", {name: value})
    assert given.producer(None) == settings().producer(None)
    assert given.consumer("read_committed") == settings().consumer("read_committed")


@pytest.mark.parametrize(
    "name", ["transactional.id", "isolation.level", "error_cb", "default.topic.config"]
)
def test_what_eventkit_sets_for_each_client_is_refused(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} cannot be set"):
        KafkaSettings("broker:9092", {name: "x"})


def test_other_addresses_than_those_of_the_url_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="by the URL"):
        KafkaSettings("broker:9092", {"metadata.broker.list": "other:9092"})


@pytest.mark.parametrize("value", [b"hunter2", None, ["hunter2"], {"a": "hunter2"}])
def test_a_value_that_librdkafka_would_misread_is_refused_unseen(value: Any) -> None:
    with pytest.raises(InvalidSetting) as caught:
        KafkaSettings("broker:9092", {"sasl.password": value})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"sasl.pasword": "hunter2"},
        {"security.protocol": "ssl", "ssl.key.pem": "hunter2"},
        {"linger.ms": "hunter2"},
    ],
)
def test_what_librdkafka_refuses_is_told_without_values(given: dict[str, Setting]) -> None:
    these = KafkaSettings("broker:9092", given)
    with pytest.raises(InvalidSetting, match=r"CONFIGURATION\.md") as caught:
        these.opened(AdminClient, these.admin())
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_secret_is_shown() -> None:
    these = KafkaSettings("broker:9092", {**SECRETS, "client.id": "billing"})
    assert repr(these) == (
        "KafkaSettings('broker:9092', client.id='billing', sasl.oauthbearer.client.secret=***, "
        "sasl.oauthbearer.config=***, sasl.password=***, sasl.pasword=***, ssl.key.password=***, "
        "ssl.key.pem=***, ssl.keystore.password=***)"
    )


def test_secret_values_are_taken_out_of_a_text() -> None:
    these = KafkaSettings("broker:9092", {**SECRETS, "client.id": "billing"})
    assert these.masked("billing says hunter2, hunter3") == "billing says ***, ***"


def test_librdkafka_logs_to_python_but_not_what_concerns_other_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    these = KafkaSettings("127.0.0.1:1", {"fetch.min.bytes": 1})
    admin = these.opened(AdminClient, these.admin())
    while "Connection refused" not in caplog.text:
        admin.poll(0.1)
    assert "fetch.min.bytes" not in caplog.text
