"""What readers show of the whole log: a plain consumer, and the library."""

from pathlib import Path
from typing import Any
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from eventkit import EventStore, connect
from tests.torture.checker import Entry
from tests.torture.domain import CATEGORY, Noted

SECONDS = 60.0


def plain_view(address: str, topic: str) -> list[Entry]:
    """All that read_committed shows, up to the end of the log as it is now, in order.

    Raises:
        TimeoutError: the log was not decided in time.
    """
    settings: dict[str, Any] = {"bootstrap.servers": address, "group.id": "plain"}
    uncommitted = Consumer({**settings, "isolation.level": "read_uncommitted"})
    parts = uncommitted.list_topics(topic, SECONDS).topics[topic].partitions
    places = [TopicPartition(topic, part, 0) for part in parts]
    ends = {it.partition: uncommitted.get_watermark_offsets(it, SECONDS)[1] for it in places}
    uncommitted.close()
    consumer = Consumer(
        {**settings, "isolation.level": "read_committed", "enable.partition.eof": True}
    )
    consumer.assign(places)
    left, found = {part for part, end in ends.items() if end}, []
    while left:
        message = consumer.poll(SECONDS)
        if message is None:
            raise TimeoutError(f"partitions {left} of {topic} were not decided")
        error, part = message.error(), message.partition() or 0
        if error is None:
            found.append(_entry(message))
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        elif (message.offset() or 0) >= ends[part]:
            left.discard(part)
    consumer.close()
    return found


def _entry(message: Any) -> Entry:
    headers = dict(message.headers())
    return Entry(
        message.key().decode(), int(headers["ce_aggregateversion"]),
        str(UUID(headers["ce_id"].decode())), (message.partition(), message.offset()),
    )  # fmt: skip


def library_views(url: str, index: Path, name: str) -> dict[str, list[Entry]]:
    """What a store with this index shows: by replay, and by aggregate."""
    with connect(url, index=index) as store:
        replayed = [_recorded(it) for it in store.replay()]
        return {f"{name}, replay": replayed, f"{name}, by aggregate": _by_aggregate(store)}


def _by_aggregate(store: EventStore) -> list[Entry]:
    names = {it.aggregate_id for it in store.replay()}
    return [_recorded(it) for name in names for it in store.get_events(name)]


def _recorded(recorded: Any) -> Entry:
    assert isinstance(recorded.event, Noted)
    assert recorded.aggregate_id.startswith(f"{CATEGORY}-")
    _, part, offset = recorded.position
    return Entry(
        recorded.aggregate_id, recorded.version, str(recorded.event_id), (part, offset),
        recorded.event.token,
    )  # fmt: skip
