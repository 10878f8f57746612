"""Clients of librdkafka that find no broker any more, though Kafka is there."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient

from eventkit.errors import InvalidSetting, StoreUnavailable
from eventkit.kafka import lookout, trial
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.ends import Ends
from eventkit.kafka.group import Group
from eventkit.kafka.index import Partition
from eventkit.kafka.rule import Progress
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.snapshots import writer as snapshot_writer
from eventkit.kafka.snapshots.record import Place, Placed
from eventkit.kafka.snapshots.writer import SnapshotWriter
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.tails import Tail
from eventkit.kafka.topics import Topics
from eventkit.store import Snapshot
from tests.contract.domain import moves
from tests.kafka.clients import SECONDS, at, new_topic
from tests.kafka.conftest import PARTITIONS
from tools.broker.cluster import Cluster as Brokers

NOWHERE = "127.0.0.1:1"
FENCED = 14.0
"""Seconds for which a broker is frozen: more than `broker.session.timeout.ms`, 9 s."""
AWAKE = 20.0
"""Seconds after which a client that lost the broker for good is replaced."""
STORES = 6
THREADS = 8


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_EVERY": 0.2, "_AGAIN": 0.1, "_PATIENCE": 0.3}.items():
        monkeypatch.setattr(lookout, name, seconds)
    monkeypatch.setattr(trial, "ANSWER", 1.0)


class Reader(Tail):
    """Keeps what it reads, and stops when it has as many as are asked for."""

    def __init__(self, address: str, topic: str) -> None:
        self.settings = {**at(address), "group.id": "test", "enable.partition.eof": True}
        self.found: list[bytes | None] = []
        self.wanted = 0
        super().__init__("a reader", self.settings, {(topic, 0): 0}, print)

    def _read(self, messages: Mapping[Partition, list[Message]], ends: object) -> None:  # noqa: ARG002
        self.found += [it.value() for some in messages.values() for it in some]
        if len(self.found) >= self.wanted:
            self.stop()

    def read_until(self, wanted: int) -> list[bytes | None]:
        self.wanted = wanted
        self._stop.clear()
        self.run()
        return self.found

    def lose_brokers(self) -> Consumer:
        """Go on with a consumer that finds none; new ones do."""
        lost = Consumer({**self.settings, **at(NOWHERE)})
        self._consumer.close()
        self._consumer = lost
        return lost


@pytest.mark.usefixtures("impatient")
@pytest.mark.timeout(SECONDS)
def test_a_tail_goes_on_where_it_was_with_a_new_consumer(kafka_address: str) -> None:
    topic = new_topic(at(kafka_address))
    producer = Producer(dict(at(kafka_address)))
    tail = Reader(kafka_address, topic)
    try:
        for value in (b"1", b"2"):
            producer.produce(topic, value)
        producer.flush(SECONDS)
        assert tail.read_until(2) == [b"1", b"2"]
        lost = tail.lose_brokers()
        producer.produce(topic, b"3")
        producer.flush(SECONDS)
        assert tail.read_until(3) == [b"1", b"2", b"3"]
        assert tail._consumer is not lost
    finally:
        tail.close()


@pytest.mark.usefixtures("impatient")
def test_a_member_joins_its_group_with_a_new_consumer(kafka_address: str) -> None:
    topic = new_topic(at(kafka_address))
    group = Group(KafkaSettings(NOWHERE), f"group-{topic}", [topic], lambda _partition, it: it + 1)
    try:
        sleep(0.5)
        assert group.partitions() == frozenset()
        group._settings = KafkaSettings(kafka_address)
        group._member.update(at(kafka_address))
        deadline = monotonic() + SECONDS
        while group.partitions() != {(topic, 0)}:
            assert monotonic() < deadline
            sleep(0.05)
    finally:
        group.close()


def test_the_end_of_the_log_is_asked_for_by_a_new_client(kafka_address: str) -> None:
    topic = new_topic(at(kafka_address))
    cluster = Cluster(KafkaSettings(NOWHERE))
    lost = cluster.admin
    cluster.settings = KafkaSettings(kafka_address)
    first, second = (Ends(cluster) for _ in range(2))
    assert first([(topic, 0)], committed=True) == {(topic, 0): 0}
    found = cluster.admin
    assert found is not lost
    assert second([(topic, 0)], committed=True) == {(topic, 0): 0}
    assert cluster.admin is found


def test_who_has_little_time_asks_with_a_new_client_after_one_that_was_silent(
    kafka_address: str,
) -> None:
    topic = new_topic(at(kafka_address))
    cluster = Cluster(KafkaSettings(NOWHERE))
    cluster.settings = KafkaSettings(kafka_address)
    ends = Ends(cluster, timeout=2.0)
    with pytest.raises(StoreUnavailable, match="where the log ends"):
        ends([(topic, 0)], committed=True)
    assert ends([(topic, 0)], committed=True) == {(topic, 0): 0}


def test_while_no_broker_answers_a_client_is_kept() -> None:
    cluster = Cluster(KafkaSettings(NOWHERE))
    lost = cluster.admin
    assert cluster.renewed(lost) is lost


def test_while_no_client_can_be_made_the_old_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> AdminClient:
        raise InvalidSetting("no token")

    cluster = Cluster(KafkaSettings(NOWHERE))
    lost = cluster.admin
    monkeypatch.setattr(cluster, "_made", fail)
    assert cluster.renewed(lost) is lost


def test_of_threads_that_lost_a_client_one_tries_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[AdminClient] = []
    cluster = Cluster(KafkaSettings(NOWHERE))
    lost = cluster.admin

    def another() -> AdminClient:
        made.append(AdminClient(dict(at(NOWHERE))))
        return made[-1]

    monkeypatch.setattr(cluster, "_made", another)
    begin = threading.Barrier(THREADS)

    def renewed() -> AdminClient:
        begin.wait(SECONDS)
        return cluster.renewed(lost)

    with ThreadPoolExecutor(THREADS) as threads:
        found = [threads.submit(renewed) for _ in range(THREADS)]
        assert [it.result(SECONDS) for it in found] == [lost] * THREADS
    assert len(made) == 1


def test_a_writer_of_snapshots_goes_on_with_a_new_producer(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(snapshot_writer._LIMITS, "delivery.timeout.ms", 500)
    for name, seconds in {"_EVERY": 0.2, "_AGAIN": 0.1, "_PATIENCE": 0.3}.items():
        monkeypatch.setattr(lookout, name, seconds)
    topic = new_topic(at(kafka_address))
    place = Placed(
        Snapshot("task-1", 1, b"\xc3\x01" + bytes(8), datetime.now(UTC), "fold"),
        Place("id-1", 0, Progress(1, 1)),
    )
    threads = set(threading.enumerate())
    writer = SnapshotWriter(KafkaSettings(NOWHERE), lambda _: (topic, 0), lambda _: None)
    writer.put(place)
    deadline = monotonic() + SECONDS
    while not writer.failed:
        assert monotonic() < deadline
        sleep(0.05)
    lost = writer._producer
    writer._settings = KafkaSettings(kafka_address)
    while writer._producer is lost:
        assert monotonic() < deadline
        sleep(0.05)
    writer.put(place)
    writer.close()
    assert set(threading.enumerate()) <= threads
    ends = Ends(Cluster(KafkaSettings(kafka_address)))
    assert ends([(topic, 0)], committed=True) == {(topic, 0): 1}
    assert writer.failed == 1


@pytest.fixture
def stores(broker: Brokers, tmp_path: Path) -> Iterator[list[KafkaStore]]:
    Topics(Cluster(KafkaSettings(broker.bootstrap))).create("parcel", PARTITIONS, 1)
    with ExitStack() as opened:
        yield [
            opened.enter_context(KafkaStore(broker.bootstrap, index=tmp_path / f"{number}.db"))
            for number in range(STORES)
        ]


@pytest.mark.torture
@pytest.mark.timeout(200)
def test_every_store_goes_on_after_the_only_broker_slept(
    broker: Brokers, stores: list[KafkaStore]
) -> None:
    for store in stores:
        store.append("parcel-1", moves("a"))
    broker.pause(1)
    sleep(FENCED)
    broker.resume(1)
    sleep(AWAKE)
    done = [it.append("parcel-1", moves("b")) for it in stores]
    assert [it.version for it in done] == list(range(STORES + 1, 2 * STORES + 1))
    for store in stores:
        store.wait(done[-1].position, SECONDS)
        assert len(store.get_events("parcel-1")) == 2 * STORES
