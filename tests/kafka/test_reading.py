from confluent_kafka import Consumer, TopicPartition

from eventkit.kafka.reading import Consumed, headers_of, read_message
from tests.kafka.clients import SECONDS, at, new_topic
from tests.kafka.librdkafka import produce

MANY = 50  # the interpreter calls a method another way once it has seen it often


def records(address: str, topic: str) -> list[Consumed]:
    consumer = Consumer(dict(at(address)) | {"group.id": "unused"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return [*consumer.consume(MANY, SECONDS)]
    finally:
        consumer.close()


def test_a_header_name_that_is_no_text_ends_neither_the_reader_nor_its_process(
    kafka_address: str,
) -> None:
    topic = new_topic(at(kafka_address))
    produce(kafka_address, topic, [(b"ce_append", b"a.0.1"), (b"\xff", b"")], times=MANY)
    found = records(kafka_address, topic)
    assert [headers_of(message) for message in found] == [None] * MANY
    problems = {read_message(message).problem for message in found}
    assert problems == {"it has no key, no value or no readable headers"}
