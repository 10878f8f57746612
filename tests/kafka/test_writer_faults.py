"""Writers that are killed and frozen, and brokers that go away: nothing acknowledged is lost."""

import signal
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from eventkit.errors import ConcurrencyError, OutcomeUnknown, StoreBusy, StoreUnavailable
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.writing.helping import Helper
from eventkit.kafka.writing.transactions import Transactions
from tests.kafka import writer_kit
from tests.kafka.writer_kit import (
    SECONDS,
    Desk,
    Topic,
    assert_sound,
    new_topic,
    producer_settings,
    read_log,
    versions,
)
from tests.kafka.writing import acknowledged, writing
from tools.broker.cluster import Cluster


def left_open(topic: Topic, aggregate_id: str, event_id: uuid.UUID | None = None) -> Producer:
    """A transaction with a proposal for version 1, as a writer leaves it that is killed."""
    writer_id = f"test-{uuid.uuid4()}"
    producer = Producer(producer_settings(topic.address, writer_id))
    producer.init_transactions(30)
    producer.begin_transaction()
    records = new_records(aggregate_id, [(event_id or uuid.uuid4(), "Done", b"lost")], 0)
    name, part = topic.partition_of(aggregate_id)
    headers = framed(records, "1", 1, writer_id)[0]
    producer.produce(name, records[0].value, records[0].key, part, headers=list(headers))
    assert producer.flush(30) == 0
    return producer


def test_the_transaction_of_a_dead_writer_is_ended_before_its_time_out(
    kafka_address: str,
) -> None:
    topic = new_topic(kafka_address)
    with Desk(topic) as desk:
        producer = left_open(topic, "task-1")
        before = time.monotonic()
        done = [desk.append("task-1", 0), desk.append("task-2", 0)]
        assert time.monotonic() - before < 8  # 3 s are usual, 10 s its time-out
        del producer
    assert versions(assert_sound(topic, done)) == {"task-1": [1], "task-2": [1]}


def test_an_append_waits_for_a_rival_and_loses_if_that_commits(kafka_address: str) -> None:
    topic = new_topic(kafka_address)
    with Desk(topic) as desk, ThreadPoolExecutor() as pool:
        producer = left_open(topic, "task-1")
        waiting = pool.submit(desk.append, "task-1", 0)
        producer.commit_transaction(30)
        with pytest.raises(ConcurrencyError) as lost:
            waiting.result(30)
    assert (lost.value.expected, lost.value.actual) == (0, 1)
    assert versions(read_log(topic)) == {"task-1": [1]}


def test_a_writer_that_was_fenced_goes_on(kafka_address: str) -> None:
    topic = new_topic(kafka_address)
    with Desk(topic) as desk:
        done = [desk.append("task-1", 0)]
        other = Producer(producer_settings(kafka_address, desk.writer_id))
        other.init_transactions(30)
        done.append(desk.append("task-1", 1))
    assert versions(assert_sound(topic, done)) == {"task-1": [1, 2]}


@pytest.mark.parametrize("step", ["propose", "commit", "abort"])
def test_an_answer_that_is_lost_leads_to_the_truth(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Each step of a transaction is done, and then seems to have failed."""
    topic, original = new_topic(kafka_address), getattr(Transactions, step)
    failures = iter([True, True])

    def unanswered(*arguments: object) -> object:
        result = original(*arguments)
        if next(failures, False):
            raise RuntimeError("the answer is lost")
        return result

    monkeypatch.setattr(Transactions, step, unanswered)
    with Desk(topic) as one, Desk(topic) as two, ThreadPoolExecutor() as pool:
        both = [pool.submit(desk.append, "task-1") for desk in (one, two) for _ in range(5)]
        done = [it.result(30) for it in both]
    assert {"task-1": list(range(1, 11))} == versions(assert_sound(topic, done))


def test_killed_writers_delay_the_others_for_a_moment_only(kafka_address: str) -> None:
    topic = new_topic(kafka_address)
    with writing(topic, count=4, callers=4, aggregates=50) as writers:
        for victim in writers[:2]:
            victim.wait_for(20)
            victim.end(signal.SIGKILL)
            for other in writers[2:]:
                other.wait_for(20)
        for other in writers[2:]:
            assert other.end(signal.SIGTERM) == 0
        assert_sound(topic, acknowledged(writers))


def test_a_writer_that_sleeps_longer_than_its_transaction_may_goes_on(
    kafka_address: str,
) -> None:
    topic = new_topic(kafka_address)
    with writing(topic, count=2, callers=4, aggregates=5) as (sleeper, other):
        sleeper.wait_for(20)
        sleeper.send(signal.SIGSTOP)
        frozen = time.monotonic()
        while time.monotonic() - frozen < 11:  # the time-out of its transaction is 10 s
            other.wait_for(5)
        sleeper.send(signal.SIGCONT)
        sleeper.wait_for(20)
        assert [it.end(signal.SIGTERM) for it in (sleeper, other)] == [0, 0]
        assert_sound(topic, acknowledged([sleeper, other]))


def test_a_broker_that_is_killed_under_load_loses_nothing(broker: Cluster) -> None:
    topic = new_topic(broker.bootstrap)
    with writing(topic, count=2, callers=8, aggregates=20) as writers:
        for writer in writers:
            writer.wait_for(20)
        broker.restart(1)
        for writer in writers:
            writer.wait_for(20)
        assert [writer.end(signal.SIGTERM) for writer in writers] == [0, 0]
        assert_sound(topic, acknowledged(writers))


def test_while_the_broker_is_away_nothing_is_begun_and_doubt_is_told(broker: Cluster) -> None:
    topic = new_topic(broker.bootstrap)
    with Desk(topic, timeout=3) as desk:
        done = [desk.append("task-1", 0)]
        broker.kill(1)
        with pytest.raises(OutcomeUnknown) as unknown:
            desk.append("task-1", 1)
        with pytest.raises(StoreUnavailable) as refused:
            desk.append("task-1", 1)
        assert refused.value.retryable
        broker.restart(1)
        desk.timeout = 30
        done.append(desk.append("task-1", 1, event_ids=unknown.value.event_ids))
    assert versions(assert_sound(topic, done)) == {"task-1": [1, 2]}


def test_a_retry_is_not_refused_while_its_first_attempt_is_in_doubt(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request to commit lies in some buffer, and Kafka is away for longer than both wait."""
    topic, event_id = new_topic(kafka_address), uuid.uuid4()
    held: list[Producer] = []

    def held_back(self: Transactions) -> None:
        assert self._producer is not None
        held.append(self._producer)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def away(*_: object) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    with Desk(topic) as desk:
        desk.append("task-2")
        desk.timeout = 0.5
        with monkeypatch.context() as patch:
            patch.setattr(Transactions, "commit", held_back)
            patch.setattr(Transactions, "open", _unless_open(Transactions.open, held, away))
            for _ in range(2):
                with pytest.raises(OutcomeUnknown) as unknown:
                    desk.append("task-1", event_ids=(event_id,))
                assert unknown.value.event_ids == (event_id,)
            with pytest.raises(StoreUnavailable, match="this call wrote nothing"):
                desk.append("task-1", event_ids=(uuid.uuid4(),))
            held[0].commit_transaction(30)
        desk.timeout = 30
        done = desk.append("task-1", event_ids=(event_id,))
    assert (done.version, done.already_recorded) == (1, True)
    assert versions(assert_sound(topic, [done])) == {"task-1": [1], "task-2": [1]}


def _unless_open(original: Any, held: Sequence[object], away: Any) -> Any:
    """Kafka is there until a request is held back."""

    def opened(self: Transactions, timeout: float) -> None:
        (away if held else original)(self, timeout)

    return opened


def test_a_retry_is_not_refused_while_a_dead_process_may_have_written_it(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_kit, "Helper", partial(Helper, stall_timeout=SECONDS))
    topic, event_id = new_topic(kafka_address), uuid.uuid4()
    producer = left_open(topic, "task-1", event_id)
    with Desk(topic, timeout=0.3) as desk:
        ends = desk.ends(topic.homes, committed=False)
        assert desk.view.wait(lambda: desk.view.has_seen(ends), time.monotonic() + SECONDS)
        with pytest.raises(StoreBusy, match="this call wrote nothing"):
            desk.append("task-1", event_ids=(uuid.uuid4(),))
        with pytest.raises(OutcomeUnknown):
            desk.append("task-1", event_ids=(event_id,))
        with pytest.raises(OutcomeUnknown) as unknown:
            desk.append_all([desk.waiting("task-2"), desk.waiting("task-1", event_ids=(event_id,))])
        assert unknown.value.event_ids[1:] == (event_id,)
        producer.commit_transaction(SECONDS)
        desk.timeout = SECONDS
        done = desk.append("task-1", event_ids=(event_id,), body=b"lost")
    assert (done.version, done.already_recorded) == (1, True)
    assert versions(assert_sound(topic, [done])) == {"task-1": [1]}
