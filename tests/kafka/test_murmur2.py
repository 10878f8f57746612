from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from eventkit.kafka.murmur2 import partition_for
from tests.kafka.clients import SECONDS, at

PARTITIONS = 12


def test_a_key_goes_where_kafkas_own_murmur2_puts_it(kafka_address: str) -> None:
    topic = "test-murmur2"
    admin = AdminClient(dict(at(kafka_address)))
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(SECONDS)
    try:
        keys = [f"task-{'x' * (number % 9)}{number}".encode() for number in range(500)]
        assert placed(kafka_address, topic, keys) == {
            key: partition_for(key, PARTITIONS) for key in keys
        }
    finally:
        admin.delete_topics([topic])[topic].result(SECONDS)


def placed(address: str, topic: str, keys: list[bytes]) -> dict[bytes, int]:
    """Return where the partitioner `murmur2` of librdkafka puts records with these keys."""
    delivered: list[Message] = []
    producer = Producer(dict(at(address)) | {"partitioner": "murmur2"})
    for key in keys:
        producer.produce(topic, b"", key, on_delivery=lambda _, message: delivered.append(message))
    assert producer.flush(SECONDS) == 0
    return {message.key() or b"": message.partition() or 0 for message in delivered}
