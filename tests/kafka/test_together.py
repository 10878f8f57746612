"""Appends to several aggregates on Kafka: rivals, deaths and doubt never leave half of one."""

import signal
import struct
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from eventkit.errors import ConcurrencyError, OutcomeUnknown, StoreBusy
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import Waiting
from eventkit.kafka.records import framed, new_records, part_of_all
from eventkit.kafka.writing.sweeping import Sweeper, frame_of
from eventkit.kafka.writing.transactions import NotTaken, Transactions
from eventkit.store import Appended
from tests.kafka.plugin import Brokers
from tests.kafka.test_held_end_txn import error_code
from tests.kafka.test_writer_faults import left_open
from tests.kafka.writer_kit import (
    SECONDS,
    Desk,
    Topic,
    assert_sound,
    assert_whole,
    consumer_settings,
    ends_of,
    in_threads,
    new_topic,
    producer_settings,
    read_log,
    versions,
)
from tests.kafka.writing import Moving, acknowledged, writing
from tools.broker.cluster import Cluster, Wanted
from tools.proxy.frames import Api, Request
from tools.proxy.proxy import Proxy

PAIR = ("task-1", "task-2")
"""Two aggregates in different partitions of two."""


@pytest.fixture
def topic(kafka_address: str) -> Topic:
    topic = new_topic(kafka_address)
    assert len({topic.partition_of(name) for name in PAIR}) == 2
    return topic


@pytest.fixture(scope="module")
def proxy(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy() as proxy:
        wanted = Wanted(advertised=[proxy.address])
        cluster = brokers.cluster("together-behind-proxy", wanted, tmp_path_factory)
        proxy.target = cluster.nodes[1].address
        yield proxy


def pair(desk: Desk, expected: int | None = None, **more: Any) -> list[Waiting]:
    return [desk.waiting(name, expected, **more) for name in PAIR]


def reached(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def length(desk: Desk) -> int:
    """Offsets of the log, decided or not."""
    return sum(desk.ends(desk.topic.homes, committed=False).values())


class TestRivals:
    def test_all_wait_for_a_rival_of_one_and_lose_if_it_commits(self, topic: Topic) -> None:
        with Desk(topic) as desk, ThreadPoolExecutor() as pool:
            rival = left_open(topic, "task-2")
            waiting = pool.submit(desk.append_all, pair(desk, 0))
            rival.commit_transaction(SECONDS)
            with pytest.raises(ConcurrencyError) as lost:
                waiting.result(SECONDS)
        error = lost.value
        assert (error.aggregate_id, error.expected, error.actual) == ("task-2", 0, 1)
        assert versions(read_log(topic)) == {"task-2": [1]}

    def test_all_are_written_when_a_dead_rival_of_one_was_helped(self, topic: Topic) -> None:
        with Desk(topic) as desk:
            rival = left_open(topic, "task-2")
            before = time.monotonic()
            done = desk.append_all(pair(desk, 0))
            assert time.monotonic() - before < 8  # 3 s are usual, 10 s its time-out
            del rival
        assert versions(assert_sound(topic, done)) == {"task-1": [1], "task-2": [1]}

    def test_a_deadline_that_comes_first_leaves_nothing(self, topic: Topic) -> None:
        with Desk(topic) as desk:
            rival = left_open(topic, "task-2")
            desk.timeout = 0.3
            with pytest.raises(StoreBusy):
                desk.append_all(pair(desk, 0))
            rival.abort_transaction(SECONDS)
        assert read_log(topic) == []

    def test_it_is_as_good_at_winning_as_single_appends(self, topic: Topic) -> None:
        """Two writers append to the same aggregates all the time, one by one and together."""
        done: list[Appended] = []
        with Desk(topic) as one, Desk(topic) as two:

            def work(number: int) -> None:
                desk = (one, two)[number % 2]
                for _ in range(8):
                    if number < 4:
                        done.extend(desk.append_all(pair(desk)[:: 1 if number < 2 else -1]))
                    else:
                        done.append(desk.append(PAIR[number % 2]))

            in_threads(6, work)
            assert (one.tail.rejected, two.tail.rejected) == ([], [])
        assert assert_whole(assert_sound(topic, done)) == 32
        assert len(done) == 80

    @pytest.mark.parametrize("aggregates", [3, 50])
    def test_processes_that_race_in_another_order_never_leave_half(
        self, topic: Topic, aggregates: int
    ) -> None:
        with writing(topic, 3, callers=2, aggregates=aggregates, kind=Moving) as writers:
            for writer in writers:
                writer.wait_for(40)
            assert [writer.end(signal.SIGTERM) for writer in writers] == [0, 0, 0]
            log = assert_sound(topic, acknowledged(writers))
            rejected = [said[1] for it in writers for said in it.said if said[0] == "rejected"]
        assert assert_whole(log) >= 10
        assert rejected == [[]] * 3


class TestChains:
    def test_what_is_in_flight_to_the_same_aggregates_comes_first(self, topic: Topic) -> None:
        done: list[Appended] = []
        with Desk(topic) as desk, ThreadPoolExecutor(20) as pool:
            asked: list[Any] = []
            for number in range(60):
                if number % 6:
                    asked.append(pool.submit(desk.append, PAIR[number % 2]))
                else:
                    asked.append(pool.submit(desk.append_all, pair(desk)))
            for it in asked:
                result = it.result(SECONDS)
                done += result if isinstance(result, list) else [result]
        assert assert_whole(assert_sound(topic, done)) == 10
        assert len(done) == 70

    def test_many_records_make_one_transaction(self, topic: Topic) -> None:
        with Desk(topic) as desk:
            appends = [desk.waiting(f"task-{it}", 0, events=3_000) for it in range(10)]
            done = desk.append_all(appends)
        assert [it.version for it in done] == [3_000] * 10
        assert assert_whole(assert_sound(topic, done)) == 1

    def test_close_sees_it_through(self, topic: Topic) -> None:
        with ThreadPoolExecutor() as pool:
            with Desk(topic) as desk:
                rival = left_open(topic, "task-2")
                waiting = pool.submit(desk.append_all, pair(desk))
                reached(lambda: bool(desk.writer._together.open))
            done = waiting.result(SECONDS)
            del rival
        assert assert_whole(assert_sound(topic, done)) == 1


class TestDoubt:
    @pytest.mark.parametrize("step", ["propose", "commit", "abort"])
    def test_an_answer_that_is_lost_leads_to_the_truth(
        self, topic: Topic, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        original = getattr(Transactions, step)
        failures = iter([True, True])

        def unanswered(*arguments: object) -> object:
            result = original(*arguments)
            if next(failures, False):
                raise RuntimeError("the answer is lost")
            return result

        monkeypatch.setattr(Transactions, step, unanswered)
        with Desk(topic) as one, Desk(topic) as two, ThreadPoolExecutor() as pool:
            asked = [pool.submit(it.append_all, pair(it)) for it in (one, two) for _ in range(3)]
            done = [it for all_ in asked for it in all_.result(SECONDS)]
        log = assert_sound(topic, done)
        assert versions(log) == {name: list(range(1, 7)) for name in PAIR}
        assert assert_whole(log) == 6

    def test_killed_writers_leave_all_or_nothing(self, topic: Topic) -> None:
        with writing(topic, 3, callers=2, aggregates=6, kind=Moving) as writers:
            for victim in writers[:2]:
                victim.wait_for(10)
                victim.end(signal.SIGKILL)
                writers[2].wait_for(10)
            assert writers[2].end(signal.SIGTERM) == 0
            assert assert_whole(assert_sound(topic, acknowledged(writers))) >= 5

    def test_a_writer_that_was_frozen_and_fenced_goes_on(self, topic: Topic) -> None:
        with writing(topic, 2, callers=2, aggregates=3, kind=Moving) as (sleeper, other):
            for _ in range(3):
                sleeper.wait_for(6)
                sleeper.send(signal.SIGSTOP)
                other.wait_for(12)
                sleeper.send(signal.SIGCONT)
            assert [it.end(signal.SIGTERM) for it in (sleeper, other)] == [0, 0]
            assert assert_whole(assert_sound(topic, acknowledged([sleeper, other]))) >= 5

    def test_a_broker_that_is_killed_leaves_all_or_nothing(self, broker: Cluster) -> None:
        topic = new_topic(broker.bootstrap)
        with writing(topic, 2, callers=2, aggregates=6, kind=Moving) as writers:
            for _ in range(2):
                for writer in writers:
                    writer.wait_for(10)
                broker.restart(1)
            for writer in writers:
                writer.wait_for(10)
            assert [writer.end(signal.SIGTERM) for writer in writers] == [0, 0]
            assert assert_whole(assert_sound(topic, acknowledged(writers))) >= 5

    def test_while_the_broker_is_away_the_ids_of_all_are_told(self, broker: Cluster) -> None:
        topic = new_topic(broker.bootstrap)
        with Desk(topic, timeout=3) as desk:
            desk.append("task-1")
            original = desk.writer._transactions.commit

            def killed() -> None:
                broker.kill(1)
                original()

            desk.writer._transactions.commit = killed  # type: ignore[method-assign]
            appends = pair(desk)
            with pytest.raises(OutcomeUnknown) as unknown:
                desk.append_all(appends)
            ids = [it for waiting in appends for it in waiting.event_ids]
            assert list(unknown.value.event_ids) == ids
            desk.writer._transactions.commit = original  # type: ignore[method-assign]
            broker.restart(1)
            desk.timeout = SECONDS
            done = desk.append_all(
                [desk.waiting(it.aggregate_id, event_ids=it.event_ids) for it in appends]
            )
        log = assert_sound(topic, done)
        assert (len(log), assert_whole(log)) == (3, 1)


class TestEpochs:
    """What a proxy before the broker sees, and holds back."""

    def test_each_has_an_epoch_of_its_own(self, proxy: Proxy) -> None:
        epochs: list[tuple[int, int]] = []

        def note(request: Request) -> bool:
            epochs.append(epoch_of(request))
            return False

        with Desk(new_topic(proxy.address)) as desk:
            proxy.hold(Api.END_TXN, note)
            for _ in range(2):
                desk.append("task-1")
                desk.append("task-1")
                desk.append_all(pair(desk))
                desk.append_all(pair(desk))
        assert len(epochs) == 8
        one, same, first, second, other, *_ = epochs
        assert one == same
        assert len({one, first, second, other}) == 4
        assert len(set(epochs)) == 6

    def test_a_late_commit_of_before_does_not_end_it_half_way(self, proxy: Proxy) -> None:
        topic = new_topic(proxy.address)
        with Desk(topic) as desk, ThreadPoolExecutor() as pool:
            late = proxy.hold(Api.END_TXN)
            before = pool.submit(desk.append, "task-1")
            late.wait()
            late.cut()
            done = [before.result(SECONDS)]
            start, seen = length(desk), iter([False, True])
            second = proxy.hold(Api.PRODUCE, lambda _: next(seen, False))
            both = pool.submit(desk.append_all, pair(desk))
            second.wait()
            reached(lambda: length(desk) > start)
            assert error_code(late.release()) != 0
            second.pass_on()
            done += both.result(SECONDS)
        log = assert_sound(topic, done)
        assert (len(log), assert_whole(log)) == (3, 1)

    def test_a_late_commit_of_it_does_not_end_what_follows(self, proxy: Proxy) -> None:
        topic = new_topic(proxy.address)
        with Desk(topic) as desk, ThreadPoolExecutor() as pool:
            late = proxy.hold(Api.END_TXN)
            both = pool.submit(desk.append_all, pair(desk))
            late.wait()
            late.cut()
            done = both.result(SECONDS)
            commit = proxy.hold(Api.END_TXN)
            after = pool.submit(desk.append, "task-1")
            commit.wait()
            assert error_code(late.release()) != 0
            commit.pass_on()
            done.append(after.result(SECONDS))
        log = assert_sound(topic, done)
        assert (len(log), assert_whole(log)) == (3, 1)


def epoch_of(request: Request) -> tuple[int, int]:
    """Producer id and epoch of an EndTxn: after head, client id and `transactional.id`."""
    start = 10 + len(request.client_id)
    (name,) = struct.unpack_from(">h", request.frame, start)
    producer_id, epoch = struct.unpack_from(">qh", request.frame, start + 2 + name)
    return producer_id, epoch


def test_each_has_an_id_of_its_own(topic: Topic) -> None:
    with Desk(topic) as desk:
        for _ in range(3):
            desk.append_all(pair(desk))
    parts = sorted(it.together.rpartition("/")[2] for it in read_log(topic))
    assert parts == ["1.0.2", "1.1.2", "2.0.2", "2.1.2", "3.0.2", "3.1.2"]


class Recorded(Transactions):
    """Notes what would be swept, and how."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(producer_settings(topic.address, f"test-{uuid.uuid4()}"), 10)
        self.swept: list[tuple[list[int], bool]] = []

    def sweep(self, partitions: Iterable[Partition], *, commit: bool = False) -> None:
        self.swept.append((sorted(number for _, number in partitions), commit))


class TestSweeping:
    """What a killed broker left of an append, made by hand: its parts in transactions of their own.

    That the broker forgets a marker cannot be brought about; what is looked up is the same.
    """

    @pytest.fixture
    def transactions(self, topic: Topic) -> Recorded:
        return Recorded(topic)

    def released(self, topic: Topic, transactions: Recorded) -> list[tuple[list[int], bool]]:
        """Release the last record of the log."""
        consumer = Consumer(consumer_settings(topic.address, "read_uncommitted"))
        name, number = topic.partition_of(PAIR[1])
        consumer.assign([TopicPartition(name, number, 0)])
        message = consumer.poll(SECONDS)
        assert message is not None
        frame = frame_of(message)
        consumer.close()
        assert frame is not None
        sweeper = Sweeper(consumer_settings(topic.address), topic.homes)
        sweeper.release(transactions, frame, [(name, number)])
        return transactions.swept

    def write(
        self, topic: Topic, writer: Producer, number: int, writer_id: str, parts: int = 2
    ) -> None:
        (record,) = part_of_all(
            new_records(PAIR[number], [(uuid.uuid4(), "Done", b"x")], 0), "a", number, parts
        )
        name, part = topic.partition_of(PAIR[number])
        (headers,) = framed([record], f"{number}", 1, writer_id)
        writer.begin_transaction()
        writer.produce(name, record.value, record.key, part, headers=list(headers))
        assert writer.flush(SECONDS) == 0

    @pytest.fixture
    def writer(self, topic: Topic) -> tuple[Producer, str]:
        writer_id = f"test-{uuid.uuid4()}"
        producer = Producer(producer_settings(topic.address, writer_id))
        producer.init_transactions(SECONDS)
        return producer, writer_id

    @pytest.mark.parametrize("committed", [True, False])
    def test_the_rest_follows_what_is_decided(
        self,
        topic: Topic,
        transactions: Recorded,
        writer: tuple[Producer, str],
        *,
        committed: bool,
    ) -> None:
        producer, writer_id = writer
        self.write(topic, producer, 0, writer_id)
        (producer.commit_transaction if committed else producer.abort_transaction)(SECONDS)
        self.write(topic, producer, 1, writer_id)
        stuck = topic.partition_of(PAIR[1])[1]
        ends = ends_of(topic)
        first = topic.partition_of(PAIR[0])
        reached(lambda: ends([first], committed=True)[first] == 2)
        assert self.released(topic, transactions) == [([stuck], committed)]

    @pytest.mark.parametrize("parts", [1, 2])
    def test_what_is_undecided_or_missing_as_a_whole_is_aborted(
        self, topic: Topic, transactions: Recorded, writer: tuple[Producer, str], parts: int
    ) -> None:
        producer, writer_id = writer
        self.write(topic, producer, 1, writer_id, parts)
        stuck = topic.partition_of(PAIR[1])[1]
        assert self.released(topic, transactions) == [([stuck], False)]

    def test_a_part_behind_the_transaction_of_another_writer_is_waited_for(
        self, topic: Topic, transactions: Recorded, writer: tuple[Producer, str]
    ) -> None:
        producer, writer_id = writer
        rival = left_open(topic, PAIR[0])
        self.write(topic, producer, 0, writer_id)
        producer.commit_transaction(SECONDS)
        self.write(topic, producer, 1, writer_id)
        stuck = topic.partition_of(PAIR[1])[1]
        with pytest.raises(NotTaken, match="others"):
            self.released(topic, transactions)
        rival.abort_transaction(SECONDS)
        ends = ends_of(topic)
        first = topic.partition_of(PAIR[0])
        reached(lambda: ends([first], committed=True)[first] == 4)
        assert self.released(topic, transactions) == [([stuck], True)]
