"""What readers show of the whole log: a plain consumer, and the library."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from eventkit import EventStore, connect
from tests.torture.checker import Entry
from tests.torture.domain import CATEGORY, Jotted

SECONDS = 60.0


class Plain(NamedTuple):
    """What a plain consumer sees.

    Attributes:
        effective: the events of appends that took effect, as the docs tell the rule to others.
        torn: the other records. A broker may commit what its writer has aborted or never finished:
            after requests that were held back, or when it is killed before it wrote a marker.
    """

    effective: list[Entry]
    torn: list[Entry]


def plain_view(address: str, topic: str) -> Plain:
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
    left = {part for part, end in ends.items() if end}
    found: list[tuple[Entry, str]] = []
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
    return _judged(sorted(found))


def _entry(message: Any) -> tuple[Entry, str]:
    """A record, and the append that it is part of: `<writer> <append>.<part>.<parts>`."""
    headers = dict(message.headers())
    append = f"{headers['ce_writer'].decode()} {headers['ce_append'].decode()}"
    return Entry(
        message.key().decode(), int(headers["ce_aggregateversion"]),
        str(UUID(headers["ce_id"].decode())), (message.partition(), message.offset()),
    ), append  # fmt: skip


def _judged(found: Iterable[tuple[Entry, str]]) -> Plain:
    """An append takes effect if it is whole and goes on from the version its aggregate is at.

    Its records stand in one partition; a writer puts nothing of its own between them.
    """
    heads: Counter[str] = Counter()
    frames: dict[str, list[Entry]] = defaultdict(list)
    plain = Plain([], [])
    for entry, text in sorted(found, key=lambda it: it[0].place):
        append, _, parts = text.rsplit(".", 2)
        frame = frames[append]
        frame.append(entry)
        if len(frame) == int(parts):
            takes_effect = frame[0].version == heads[entry.aggregate] + 1
            (plain.effective if takes_effect else plain.torn).extend(frames.pop(append))
            heads[entry.aggregate] += int(parts) if takes_effect else 0
    for frame in frames.values():
        plain.torn.extend(frame)
    return plain


def library_views(url: str, index: Path, name: str) -> dict[str, list[Entry]]:
    """What a store with this index shows: by replay, and by aggregate."""
    with connect(url, index=index) as store:
        replayed = [_recorded(it) for it in store.replay()]
        return {f"{name}, replay": replayed, f"{name}, by aggregate": _by_aggregate(store)}


def _by_aggregate(store: EventStore) -> list[Entry]:
    names = {it.aggregate_id for it in store.replay()}
    return [_recorded(it) for name in names for it in store.get_events(name)]


def _recorded(recorded: Any) -> Entry:
    assert isinstance(recorded.event, Jotted)
    assert recorded.aggregate_id.startswith(f"{CATEGORY}-")
    _, part, offset = recorded.position
    return Entry(
        recorded.aggregate_id, recorded.version, str(recorded.event_id), (part, offset),
        recorded.event.token,
    )  # fmt: skip
