"""The brokers that tests run on do what the tests rely on."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.kafka.clients import SECONDS, at, new_topic, open_transaction, read, refused_with, write
from tests.kafka.release import release_of
from tools.broker.cluster import Cluster
from tools.broker.errors import BrokerError
from tools.broker.jars import kafka_version


def allow_all(cluster: Cluster, user: str, topic: str) -> None:
    """Let `user` do everything with `topic`, and with any transactional id and group."""
    targets = [
        (ResourceType.TOPIC, topic),
        (ResourceType.TRANSACTIONAL_ID, "*"),
        (ResourceType.GROUP, "*"),
    ]
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation.ALL,
            AclPermissionType.ALLOW,
        )
        for kind, name in targets
    ]
    admin = AdminClient(dict(at(cluster.bootstrap)))
    for done in admin.create_acls(bindings).values():
        done.result(SECONDS)


def test_a_committed_transaction_is_read(kafka_address: str) -> None:
    kafka = at(kafka_address)
    topic = new_topic(kafka)
    write(kafka, topic, ["a", "b"])
    assert read(kafka, topic) == ["a", "b"]


def test_an_aborted_transaction_is_not_read(kafka_address: str) -> None:
    kafka = at(kafka_address)
    topic = new_topic(kafka)
    open_transaction(kafka, topic, ["lost"]).abort_transaction(SECONDS)
    write(kafka, topic, ["kept"])
    assert read(kafka, topic) == ["kept"]


def test_a_topic_is_never_made_by_writing_to_it(kafka_address: str) -> None:
    topics = Producer(dict(at(kafka_address))).list_topics("nobody-made-this", SECONDS).topics
    error = topics["nobody-made-this"].error
    assert error
    assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_killed_broker_comes_back_with_its_data_on_its_port(broker: Cluster) -> None:
    kafka = at(broker.bootstrap)
    topic = new_topic(kafka)
    write(kafka, topic, ["before"])
    # Read, so that the transaction's marker is in the topic: a broker that comes back may skip a
    # marker it owes while the partition has no leader (KAFKA-20734), and nobody reads on then.
    assert read(kafka, topic) == ["before"]
    broker.kill(1)
    broker.restart(1)
    write(kafka, topic, ["after"])
    assert (at(broker.bootstrap), read(kafka, topic)) == (kafka, ["before", "after"])


def test_a_frozen_broker_is_silent_until_it_goes_on(broker: Cluster) -> None:
    kafka = at(broker.bootstrap)
    topic = new_topic(kafka)
    broker.pause(1)
    with pytest.raises(KafkaException):
        AdminClient(dict(kafka)).list_topics(timeout=0.5)
    broker.resume(1)
    write(kafka, topic, ["a"])
    assert read(kafka, topic) == ["a"]


@pytest.mark.torture
def test_three_brokers_go_on_when_one_is_killed(three_brokers: Cluster) -> None:
    kafka = at(three_brokers.bootstrap)
    topic = new_topic(kafka, replicas=3)
    write(kafka, topic, ["before"])
    leader = AdminClient(dict(kafka)).list_topics(topic, SECONDS).topics[topic].partitions[0].leader
    three_brokers.kill(leader)
    write(kafka, topic, ["after"])
    assert read(kafka, topic) == ["before", "after"]


@pytest.mark.torture
def test_healing_brings_every_broker_back(three_brokers: Cluster) -> None:
    three_brokers.kill(2)
    three_brokers.heal()
    brokers = AdminClient(dict(at(three_brokers.bootstrap))).list_topics(timeout=SECONDS).brokers
    assert set(brokers) == {1, 2, 3}


def test_a_user_with_permission_writes_and_reads_over_tls(secure_broker: Cluster) -> None:
    topic = new_topic(at(secure_broker.bootstrap))
    allow_all(secure_broker, "writer", topic)
    writer = secure_broker.client_settings("writer")
    write(writer, topic, ["a"])
    assert read(writer, topic) == ["a"]


def test_a_user_without_permission_may_not_write(secure_broker: Cluster) -> None:
    topic = new_topic(at(secure_broker.bootstrap))
    stranger = secure_broker.client_settings("stranger")
    errors: list[KafkaError | None] = []
    producer = Producer(stranger)
    producer.produce(topic, "a", callback=lambda error, _: errors.append(error))
    producer.flush(SECONDS)
    assert [error and error.code() for error in errors] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def test_a_wrong_password_is_refused(secure_broker: Cluster) -> None:
    settings = secure_broker.client_settings("writer") | {"sasl.password": "wrong"}
    assert refused_with(settings, KafkaError._AUTHENTICATION)


def test_a_certificate_of_an_unknown_authority_is_refused(secure_broker: Cluster) -> None:
    settings = secure_broker.client_settings("writer")
    del settings["ssl.ca.location"]
    assert refused_with(settings, KafkaError._SSL)


def test_the_release_of_a_broker_is_found_out(broker: Cluster) -> None:
    assert kafka_version().startswith(release_of(broker.bootstrap))


def test_an_address_where_nothing_answers_is_told() -> None:
    with pytest.raises(BrokerError, match="no Kafka answers at localhost:1"):
        release_of("localhost:1")
