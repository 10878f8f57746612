"""A writer with a memory for an index, and what reads the log it wrote."""

import itertools
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from eventkit.codec import AvroCodec
from eventkit.events import EventTypes, Position
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.ends import Ends
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import Call, InFlight, Waiting
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.proposals import ProposalTail
from eventkit.kafka.reading import LogRecord, read_message
from eventkit.kafka.records import new_records
from eventkit.kafka.rule import Home, PartitionRule
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.tails import Tail
from eventkit.kafka.view import View
from eventkit.kafka.writing.helping import Helper
from eventkit.kafka.writing.together import Whole
from eventkit.kafka.writing.writer import Writer
from eventkit.sqlite.retries import Known
from eventkit.store import Appended

CATEGORY = "task"
SECONDS = 30
_numbers = itertools.count(1)


class Topic(NamedTuple):
    """Where a test writes."""

    address: str
    name: str
    partitions: int = 2

    @property
    def homes(self) -> dict[Partition, Home]:
        return {
            (self.name, part): Home(CATEGORY, part, self.partitions)
            for part in range(self.partitions)
        }

    def partition_of(self, aggregate_id: str) -> Partition:
        return self.name, partition_for(aggregate_id.encode(), self.partitions)


def consumer_settings(address: str, isolation: str = "read_committed") -> dict[str, Any]:
    return {
        "bootstrap.servers": address,
        "group.id": "unused",
        "enable.auto.commit": False,
        "isolation.level": isolation,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
        "fetch.queue.backoff.ms": 5,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,
        "log_level": 0,
    }


def producer_settings(address: str, writer_id: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": address,
        "transactional.id": writer_id,
        "transaction.timeout.ms": 10_000,
        "linger.ms": 0,
        "retry.backoff.ms": 2,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,
        "log_level": 0,
    }


def new_topic(address: str, partitions: int = 2) -> Topic:
    name = f"test-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(SECONDS)
    return Topic(address, name, partitions)


class MemoryIndex:
    """What a writer asks of an index."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = defaultdict(int)
        self.events: dict[bytes, Known] = {}
        self._places: list[Position] = []

    def place(self, number: int) -> Position:
        return self._places[number]

    def heads(self, aggregate_ids: Iterable[str]) -> Mapping[str, int]:
        return {it: self.versions.get(it, 0) for it in aggregate_ids}

    def known(self, event_ids: Sequence[bytes]) -> Mapping[bytes, Known]:
        return {it: self.events[it] for it in event_ids if it in self.events}

    def add(self, partition: Partition, record: LogRecord) -> None:
        self.versions[record.aggregate_id] = record.version
        known = Known(
            record.aggregate_id, record.version, record.type, record.data, len(self._places)
        )
        self._places.append(Position(*partition, record.offset))
        self.events[record.event_id] = known


class MemoryTail(Tail):
    """Applies the read_committed log to the memory."""

    def __init__(self, topic: Topic, index: MemoryIndex, view: View, in_flight: InFlight) -> None:
        settings = consumer_settings(topic.address)
        super().__init__("committed", settings, dict.fromkeys(topic.homes, 0), view.fail)
        self._index, self._view, self._in_flight = index, view, in_flight
        self._rules = {
            partition: PartitionRule(home, lambda key: index.versions.get(key, 0))
            for partition, home in topic.homes.items()
        }
        self.rejected: list[str] = []

    def _read(
        self, messages: Mapping[Partition, Sequence[Message]], ends: Mapping[Partition, int]
    ) -> None:
        accepted, rejected, offsets = [], [], dict(ends)
        for partition, some in messages.items():
            rule = self._rules[partition]
            for message in some:
                for record in rule.feed(read_message(message)):
                    self._index.add(partition, record)
                    accepted.append((partition, record))
            rule.heads_stored()
            rejected += [(partition, it) for it in rule.take_rejected()]
            offsets[partition] = max(offsets.get(partition, 0), (some[-1].offset() or 0) + 1)
        self.rejected += [it.reason for _, it in rejected]
        self._in_flight.settle(accepted, rejected)
        self._view.add_applied(offsets)


def ends_of(topic: Topic) -> Ends:
    """Tells where a topic ends."""
    return Ends(Cluster(KafkaSettings(topic.address, {"log_level": 0})))


class Desk:
    """A writer and all that belongs to it; a context manager."""

    def __init__(self, topic: Topic, timeout: float = SECONDS, **options: Any) -> None:
        self.topic, self.timeout = topic, timeout
        self.index = MemoryIndex()
        self.writer_id = f"test-{uuid.uuid4()}"
        self.in_flight = InFlight(self.writer_id)
        start = dict.fromkeys(topic.homes, 0)
        self.view = View(start, self.writer_id)
        self.tail = MemoryTail(topic, self.index, self.view, self.in_flight)
        self.proposals = ProposalTail(consumer_settings(topic.address), start, self.view)
        self.ends = ends_of(topic)
        settings = producer_settings(topic.address, self.writer_id)
        self.writer = Writer(
            settings, self.view, self.in_flight, self.index, self.ends,
            AvroCodec(EventTypes(), lambda _: None), **options,
        )  # fmt: skip
        self.helper = Helper(settings, self.view, self.ends)

    def __enter__(self) -> Self:
        for part in (self.tail, self.proposals, self.writer, self.helper):
            part.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.writer.close()
        self.helper.close()
        self.proposals.close()
        self.tail.close()

    def waiting(
        self,
        aggregate_id: str,
        expected: int | None = None,
        events: int = 1,
        event_ids: tuple[uuid.UUID, ...] | None = None,
        body: bytes = b"body",
    ) -> Waiting:
        given = event_ids is not None
        ids = event_ids or tuple(_new_id() for _ in range(events))
        records = new_records(
            aggregate_id, [(it, "Done", body) for it in ids], time.time_ns() // 1000
        )
        partition = self.topic.partition_of(aggregate_id)
        deadline = time.monotonic() + self.timeout
        return Waiting(aggregate_id, partition, records, ids, expected, deadline, given=given)

    def append(self, aggregate_id: str, expected: int | None = None, **more: Any) -> Appended:
        """Append and wait; raises what came of it."""
        waiting = self.waiting(aggregate_id, expected, **more)
        call = Call([waiting])
        self.writer.put(call)
        call.wait()
        if isinstance(waiting.outcome, Appended):
            return waiting.outcome
        assert waiting.outcome is not None
        raise waiting.outcome

    def append_all(self, waitings: Sequence[Waiting]) -> list[Appended]:
        """Append to several aggregates and wait; raises what came of it."""
        whole = Whole(waitings)
        call = Call([whole])
        self.writer.put_all(whole, call)
        call.wait()
        result = whole.result()
        if isinstance(result, list):
            return result
        raise result

    def catch_up(self) -> None:
        """Return when the index is where the log is now."""
        ends = self.ends(self.topic.homes, committed=True)
        assert self.view.wait(lambda: self.view.has_applied(ends), time.monotonic() + SECONDS)


_prefix = uuid.uuid4().int >> 64 << 64


def _new_id() -> uuid.UUID:
    return uuid.UUID(int=_prefix | next(_numbers))


class Written(NamedTuple):
    """A record as a plain consumer reads it."""

    partition: int
    offset: int
    aggregate_id: str
    version: int
    event_id: uuid.UUID
    together: str = ""
    """Of an `append_all`: `<writer>/<id>.<part>.<parts>`."""


def read_log(topic: Topic) -> list[Written]:
    """All committed records, read by a plain consumer; waits until all is decided."""
    ends = ends_of(topic)(topic.homes, committed=False)
    consumer = Consumer(consumer_settings(topic.address))
    consumer.assign([TopicPartition(topic.name, part, 0) for part in range(topic.partitions)])
    found: list[Written] = []
    left = {part for (_, part), end in ends.items() if end}
    deadline = time.monotonic() + SECONDS
    while left and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None:
            continue
        error = message.error()
        if error is None:
            found.append(_written(message))
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        elif (message.offset() or 0) >= ends[topic.name, message.partition() or 0]:
            left.discard(message.partition() or 0)
    consumer.close()
    assert not left, "the log was not decided in time"
    return found


def _written(message: Message) -> Written:
    record = read_message(message)
    assert record.problem is None
    headers: dict[str, Any] = dict(message.headers() or [])
    together = headers.get("ce_all")
    return Written(
        message.partition() or 0, record.offset, record.aggregate_id, record.version,
        uuid.UUID(bytes=record.event_id),
        "" if together is None else f"{record.writer}/{together.decode()}",
    )  # fmt: skip


def versions(log: Iterable[Written]) -> dict[str, list[int]]:
    """The versions of each aggregate in the order of the log."""
    found: dict[str, list[int]] = defaultdict(list)
    for it in log:
        found[it.aggregate_id].append(it.version)
    return found


def assert_sound(topic: Topic, acknowledged: Iterable[Appended]) -> list[Written]:
    """The log holds versions 1, 2, 3 ... of each aggregate, and each acknowledged event once."""
    log = read_log(topic)
    for found in versions(log).values():
        assert list(range(1, len(found) + 1)) == found
    by_id: dict[uuid.UUID, list[Written]] = defaultdict(list)
    for it in log:
        by_id[it.event_id].append(it)
    doubled = [entries for entries in by_id.values() if len(entries) > 1]
    assert doubled == []
    for done in acknowledged:
        (last,) = by_id[done.event_ids[-1]]
        place = (done.position.topic, done.position.partition, done.position.offset)
        assert place == (topic.name, last.partition, last.offset)
        assert (done.aggregate_id, done.version) == (last.aggregate_id, last.version)
        assert all(len(by_id[it]) == 1 for it in done.event_ids)
    return log


def assert_whole(log: Iterable[Written]) -> int:
    """Of what was appended together, all parts are there; returns how often that is."""
    found: dict[str, set[int]] = defaultdict(set)
    counts: dict[str, int] = {}
    for it in log:
        if it.together:
            name, part, parts = it.together.rsplit(".", 2)
            found[name].add(int(part))
            counts[name] = int(parts)
    half = {name: parts for name, parts in found.items() if len(parts) != counts[name]}
    assert half == {}
    return len(found)


def in_threads(count: int, work: Any) -> None:
    """Run `work(number)` in threads; raises the first error of one."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
