"""One writer: what it promises its callers."""

import os
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from eventkit.errors import (
    ConcurrencyError,
    DuplicateEventId,
    StoreBusy,
    StoreClosed,
)
from eventkit.kafka.inflight import Call
from eventkit.store import Appended
from tests.kafka.writer_kit import Desk, assert_sound, in_threads, new_topic, read_log, versions


@pytest.fixture
def desk(kafka_address: str) -> Iterator[Desk]:
    with Desk(new_topic(kafka_address)) as desk:
        yield desk


def test_an_append_is_in_the_index_when_it_returns(desk: Desk) -> None:
    done = desk.append("task-1", 0, events=3)
    assert (done.aggregate_id, done.version, done.already_recorded) == ("task-1", 3, False)
    assert desk.index.versions["task-1"] == 3
    assert_sound(desk.topic, [done])


def test_a_wrong_expected_version_is_refused_and_nothing_is_written(desk: Desk) -> None:
    done = desk.append("task-1", 0)
    with pytest.raises(ConcurrencyError) as behind:
        desk.append("task-1", 0)
    with pytest.raises(ConcurrencyError) as ahead:
        desk.append("task-1", 2)
    assert [(it.value.expected, it.value.actual) for it in (behind, ahead)] == [(0, 1), (2, 1)]
    assert versions(assert_sound(desk.topic, [done])) == {"task-1": [1]}


def test_a_retry_with_the_same_ids_succeeds_and_writes_nothing(desk: Desk) -> None:
    ids = (uuid.uuid4(), uuid.uuid4())
    first = desk.append("task-1", 0, event_ids=ids)
    again = desk.append("task-1", 0, event_ids=ids)
    assert again == first._replace(already_recorded=True)
    assert versions(assert_sound(desk.topic, [again])) == {"task-1": [1, 2]}


def test_an_id_that_is_taken_by_other_content_is_refused(desk: Desk) -> None:
    ids = (uuid.uuid4(),)
    desk.append("task-1", 0, event_ids=ids)
    with pytest.raises(DuplicateEventId):
        desk.append("task-1", 1, event_ids=ids, body=b"other")
    with pytest.raises(DuplicateEventId):
        desk.append("task-2", 0, event_ids=ids)
    assert versions(read_log(desk.topic)) == {"task-1": [1]}


def test_the_same_retry_from_many_threads_is_written_once(desk: Desk) -> None:
    ids, done = (uuid.uuid4(),), list[Appended]()
    in_threads(8, lambda _: done.append(desk.append("task-1", event_ids=ids)))
    assert [it.version for it in done] == [1] * 8
    assert versions(assert_sound(desk.topic, done)) == {"task-1": [1]}


def test_many_threads_append_to_one_aggregate_at_whatever_version(desk: Desk) -> None:
    done: list[Appended] = []

    def work(_: int) -> None:
        done.extend(desk.append("task-1") for _ in range(20))

    in_threads(10, work)
    assert list(range(1, 201)) == sorted(it.version for it in done)
    assert_sound(desk.topic, done)


def test_of_threads_that_expect_one_version_one_wins(desk: Desk) -> None:
    done: list[Appended] = []
    lost: list[ConcurrencyError] = []

    def work(_: int) -> None:
        for version in range(10):
            try:
                done.append(desk.append("task-1", version))
            except ConcurrencyError as error:
                lost.append(error)
            while desk.index.versions["task-1"] <= version:
                time.sleep(0.001)

    in_threads(6, work)
    assert list(range(1, 11)) == sorted(it.version for it in done)
    assert all(it.actual > it.expected for it in lost)
    assert_sound(desk.topic, done)


def test_the_appends_of_one_call_have_outcomes_of_their_own(desk: Desk) -> None:
    call = Call([desk.waiting("task-1", 0), desk.waiting("task-1", 0), desk.waiting("task-1", 1)])
    desk.writer.put(call)
    call.wait()
    outcomes = [type(it.outcome) for it in call.waitings]
    assert [Appended, ConcurrencyError, Appended] == outcomes
    assert versions(read_log(desk.topic)) == {"task-1": [1, 2]}


def test_a_callback_is_called_when_a_call_is_done(desk: Desk) -> None:
    finished = threading.Event()
    call = Call([desk.waiting("task-1", 0)], lambda _: finished.set())
    desk.writer.put(call)
    assert finished.wait(30)
    assert isinstance(call.waitings[0].outcome, Appended)


def test_more_appends_than_may_wait_are_refused(kafka_address: str) -> None:
    desk = Desk(new_topic(kafka_address), max_waiting=2)
    calls = [Call([desk.waiting("task-1")]) for _ in range(2)]
    for call in calls:
        desk.writer.put(call)
    with pytest.raises(StoreBusy):
        desk.writer.put(Call([desk.waiting("task-1")]))
    with desk:
        for call in calls:
            call.wait()
    assert sorted(it.version for it in read_log(desk.topic)) == [1, 2]


def test_an_append_that_is_not_begun_by_its_deadline_is_given_up(kafka_address: str) -> None:
    desk = Desk(new_topic(kafka_address), timeout=0)
    with desk, pytest.raises(StoreBusy):
        desk.append("task-1")
    assert read_log(desk.topic) == []


def test_close_sees_through_what_was_accepted_and_leaves_no_thread(kafka_address: str) -> None:
    before = set(threading.enumerate())
    with Desk(new_topic(kafka_address)) as desk:
        calls = [Call([desk.waiting(f"task-{number}")]) for number in range(500)]
        for call in calls:
            desk.writer.put(call)
    outcomes = [call.waitings[0].outcome for call in calls]
    done = [it for it in outcomes if isinstance(it, Appended)]
    assert len(done) == 500
    assert before == set(threading.enumerate())
    with pytest.raises(StoreClosed):
        desk.append("task-1")
    assert_sound(desk.topic, done)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_process_cannot_use_the_writer_of_its_parent(desk: Desk) -> None:
    desk.append("task-1")
    child = os.fork()
    if child == 0:
        try:
            desk.append("task-1")
        except StoreClosed:
            desk.writer.close()
            os._exit(0)
        os._exit(1)
    assert (child, 0) == os.waitpid(child, 0)
    assert desk.append("task-1").version == 2
