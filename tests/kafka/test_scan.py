"""Reading straight from Kafka, without an index: the same events as through one, and no others."""

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer, TopicPartition

from eventkit import Append, Metadata
from eventkit.codec import AvroCodec
from eventkit.errors import StoreClosed, StoreCorrupted
from eventkit.events import ALL_EVENT_TYPES, EventTypes
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.ends import Ends
from eventkit.kafka.layout import layout_of
from eventkit.kafka.names import Names
from eventkit.kafka.reading import LogRecord, read_record
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.scanning.consumers import Consumers
from eventkit.kafka.scanning.heads import Heads
from eventkit.kafka.scanning.log import KafkaLog
from eventkit.kafka.scanning.scan import Scan
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from tests.contract.domain import ParcelMoved, by_aggregate, moves, places, versions
from tests.contract.replaying import EVERY_COMBINATION, mixed_log
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import QUICK

Open = Callable[[], KafkaStore]
START = datetime(2024, 1, 1, tzinfo=UTC)


class Reader:
    """A log without an index, and what it is made of."""

    def __init__(self, address: str, names: Names) -> None:
        settings = KafkaSettings(address, QUICK)
        cluster = Cluster(settings)
        topics = Topics(cluster, names)
        self.layout = layout_of(topics, names)
        self.ends = Ends(cluster)
        self.consumers = Consumers(settings, settings.consumer("read_committed"))
        self.scan = Scan(self.consumers, lambda: None)
        self.log = KafkaLog(
            self.scan, self.ends, self.layout, EventTypes(ALL_EVENT_TYPES),
            lambda fingerprint: topics.registry.texts.get(fingerprint.hex()),
        )  # fmt: skip


@pytest.fixture
def read(kafka_address: str, names: Names) -> Iterator[Callable[[], Reader]]:
    """Makes a reader; call it when all event classes were written once."""
    readers: list[Reader] = []

    def make() -> Reader:
        readers.append(Reader(kafka_address, names))
        return readers[-1]

    yield make
    for reader in readers:
        reader.consumers.close()


@pytest.fixture
def store(open_kafka: Open) -> Iterator[KafkaStore]:
    with open_kafka() as store:
        yield store


def test_a_replay_from_kafka_gives_what_the_index_gives(
    store: KafkaStore, read: Callable[[], Reader]
) -> None:
    mixed_log(store)
    log = read().log
    for wanted in EVERY_COMBINATION[::5]:
        assert by_aggregate(log.replay(*wanted)) == by_aggregate(store.replay(*wanted)), wanted


def test_an_aggregate_read_from_kafka_is_what_the_index_gives(
    store: KafkaStore, read: Callable[[], Reader]
) -> None:
    for minute in (0, 5, 2, 9):
        metadata = Metadata(timestamp=START + timedelta(minutes=minute))
        store.append("parcel-1", moves("a", "b"), metadata=metadata)
        store.append("parcel-2", moves("other"))
    log = read().log
    moments = [None, *(START + timedelta(minutes=it) for it in range(-1, 11))]
    for first in (1, 3, 8, 9, 2**70):
        for last in (None, 0, 1, 4, 100):
            for moment in moments:
                question = ("parcel-1", first, last, moment)
                assert log.get_events(*question) == store.get_events(*question), question
    assert log.get_events("nosuch-1") == log.get_events("parcel-none") == []
    assert log.plain_events_of("parcel-1") == store.plain_events_of("parcel-1")


class Rogue:
    """A plain producer that writes to the log what it likes."""

    def __init__(self, address: str, codec: AvroCodec, producer: Producer) -> None:
        self.address, self._codec, self._producer = address, codec, producer

    def write(
        self, place: tuple[str, int], aggregate_id: str, version: int, append: str = "",
        parts: slice = slice(None), count: int = 1,
    ) -> None:  # fmt: skip
        body = self._codec.encode(ParcelMoved(place="rogue"))
        new = new_records(
            aggregate_id, [(uuid.uuid4(), "ParcelMoved", body) for _ in range(count)], 0
        )
        headers = framed(new, append or uuid.uuid4().hex, version, "rogue")
        for record, these in list(zip(new, headers, strict=True))[parts]:
            topic, part = place
            self._producer.produce(topic, record.value, record.key, part, headers=list(these))
        self._producer.flush(SECONDS)

    def noise(self, place: tuple[str, int], key: bytes | None = b"parcel-1") -> None:
        topic, part = place
        self._producer.produce(topic, b"noise", key, part, headers=[("ce_append", b"a.0.1")])
        self._producer.flush(SECONDS)


@pytest.fixture
def rogue(store: KafkaStore, kafka_address: str, producer: Producer) -> Rogue:
    return Rogue(kafka_address, store.codec, producer)


def test_what_breaks_the_rule_is_shown_by_no_path(
    store: KafkaStore, rogue: Rogue, read: Callable[[], Reader]
) -> None:
    done = store.append("parcel-1", moves("a"))
    place = done.position[:2]
    rogue.write(place, "parcel-1", 1)
    rogue.write(place, "parcel-1", 3)
    rogue.noise(place)
    rogue.write(place, "parcel-1", 2, "cut", slice(0, 1), 2)
    rogue.write(place, "van-1", 1)
    store.append("parcel-1", moves("b"), expected_version=1)
    rogue.write(place, "parcel-1", 2)
    store.append("parcel-2", moves("z"))
    reader = read()
    assert places(reader.log.get_events("parcel-1")) == ["a", "b"]
    assert versions(reader.log.get_events("parcel-1")) == [1, 2]
    assert reader.log.get_events("van-1") == []
    assert sorted(places(reader.log.replay())) == ["a", "b", "z"]
    assert by_aggregate(reader.log.replay()) == by_aggregate(store.replay())


def test_a_reader_of_one_aggregate_comes_to_the_verdicts_of_a_reader_of_all(
    store: KafkaStore, rogue: Rogue, read: Callable[[], Reader]
) -> None:
    """Frames of several aggregates, whole, cut and taken up again later, by one writer."""
    place = store.append("parcel-1", moves("a")).position[:2]
    chance = random.Random(7)  # noqa: S311 - no secret
    near = [it for it in map("parcel-{}".format, range(2, 40)) if same_home(store, it)][:2]
    heads = dict.fromkeys(near, 0) | {"parcel-1": 1}
    for number in range(60):
        aggregate_id, other = chance.sample(sorted(heads), 2)
        count = chance.choice([1, 2, 3])
        version = heads[aggregate_id] + chance.choice([1, 1, 1, 0, 2])
        cut = chance.randint(1, count)
        rogue.write(place, aggregate_id, version, f"r{number}", slice(0, cut), count)
        interrupted = cut < count and chance.random() < 0.5
        if interrupted:
            rogue.write(place, other, heads[other] + 1)
            heads[other] += 1
        rogue.write(place, aggregate_id, version, f"r{number}", slice(cut, None), count)
        if not interrupted and version == heads[aggregate_id] + 1:
            heads[aggregate_id] += count
    log = read().log
    everything = by_aggregate(log.replay())
    assert {it: len(events) for it, events in everything.items()} == heads
    for aggregate_id, events in everything.items():
        assert log.get_events(aggregate_id) == events


def same_home(store: KafkaStore, aggregate_id: str) -> bool:
    layout = store._layout
    return layout.partition_of(aggregate_id) == layout.partition_of("parcel-1")


def test_a_replay_meets_appends_that_go_on(store: KafkaStore, read: Callable[[], Reader]) -> None:
    store.append_each([Append(f"parcel-{it % 7}", moves("a", "b")) for it in range(700)])
    log, stop = read().log, threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.append_each([Append(f"parcel-{it}", moves("c", "d")) for it in range(20)])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(5):
            before = sum(1 for _ in store.replay())
            found = by_aggregate(log.replay())
            for events in found.values():
                assert versions(events) == list(range(1, len(events) + 1))
                assert len(events) % 2 == 0, "half of an append was shown"
            assert sum(map(len, found.values())) >= before
    finally:
        stop.set()
        thread.join(SECONDS)


def test_a_scan_ends_when_the_store_is_closed(
    store: KafkaStore, kafka_address: str, names: Names
) -> None:
    store.append("parcel-1", moves("a"))
    reader = Reader(kafka_address, names)

    def closed() -> None:
        raise StoreClosed("the event store")

    replay = reader.log.replay()
    next(replay)
    reader.scan.check_usable = closed
    with pytest.raises(StoreClosed):
        list(replay)
    reader.consumers.close()


def test_a_log_whose_beginning_is_gone_is_told(
    store: KafkaStore, read: Callable[[], Reader], cluster: Cluster
) -> None:
    topic, part, offset = store.append("parcel-1", moves("a")).position
    for answer in cluster.admin.delete_records([TopicPartition(topic, part, offset + 1)]).values():
        answer.result(SECONDS)
    with pytest.raises(StoreCorrupted, match="part of the log is lost"):
        list(read().log.replay())


def test_more_aggregates_than_fit_in_memory_are_judged_exactly() -> None:
    heads = Heads(most=3)
    truth: dict[str, int] = {}
    chance = random.Random(3)  # noqa: S311 - no secret
    for _ in range(300):
        some = [record(f"parcel-{chance.randint(0, 40)}") for _ in range(chance.randint(1, 9))]
        heads.prepare(some)
        for it in some:
            assert heads.of(it.aggregate_id) == truth.get(it.aggregate_id, 0)
        done = [it._replace(version=truth.get(it.aggregate_id, 0) + 1) for it in some[:1]]
        truth.update({it.aggregate_id: it.version for it in done})
        heads.update(done)
    heads.close()


def record(aggregate_id: str) -> LogRecord:
    return read_record(0, aggregate_id.encode(), None, None)
