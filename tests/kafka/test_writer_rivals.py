"""Several writers at once, in threads and processes: one order, no gap, no double."""

import signal
from typing import Any

import pytest

from eventkit.errors import ConcurrencyError
from eventkit.kafka.view import View
from eventkit.store import Appended
from tests.kafka.writer_kit import Desk, assert_sound, in_threads, new_topic, read_log, versions
from tests.kafka.writing import acknowledged, writing


def race(desks: list[Desk], rounds: int) -> tuple[list[Appended], list[ConcurrencyError]]:
    """All desks append to one aggregate, each expecting the version that it knows."""
    won: list[Appended] = []
    lost: list[ConcurrencyError] = []

    def work(number: int) -> None:
        desk = desks[number]
        for _ in range(rounds):
            try:
                won.append(desk.append("task-1", desk.index.versions["task-1"]))
            except ConcurrencyError as error:
                lost.append(error)

    in_threads(len(desks), work)
    return won, lost


def test_each_version_has_one_winner(kafka_address: str) -> None:
    topic = new_topic(kafka_address)
    with Desk(topic) as one, Desk(topic) as two, Desk(topic) as three:
        won, lost = race([one, two, three], 20)
        rejected = [it.tail.rejected for it in (one, two, three)]
    assert len(won) + len(lost) == 60
    assert list(range(1, len(won) + 1)) == sorted(it.version for it in won)
    assert len(won) == len(assert_sound(topic, won))
    assert rejected == [[], [], []]


def test_without_the_read_back_two_writers_commit_one_version(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tests would see it, and readers of ours are kept right by the rule."""

    def nobody(*_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(View, "lost", nobody)
    monkeypatch.setattr(View, "undecided", nobody)
    topic = new_topic(kafka_address)
    with Desk(topic) as one, Desk(topic) as two, Desk(topic) as three:
        won, _ = race([one, two, three], 20)
        assert one.tail.rejected
    found = versions(read_log(topic))["task-1"]
    assert len(found) > len(set(found))
    assert list(range(1, len(won) + 1)) == sorted(it.version for it in won)


def test_an_append_without_expected_version_never_loses(kafka_address: str) -> None:
    topic = new_topic(kafka_address)
    done: list[Appended] = []
    with Desk(topic) as one, Desk(topic) as two:

        def work(number: int) -> None:
            desk = (one, two)[number % 2]
            done.extend(desk.append(f"task-{number % 3}") for _ in range(10))

        in_threads(6, work)
    assert len(assert_sound(topic, done)) == 60


def test_a_version_that_another_writer_was_told_is_known_here(kafka_address: str) -> None:
    topic = new_topic(kafka_address)
    with Desk(topic) as one, Desk(topic) as two:
        for _ in range(20):
            version = one.append("task-1").version
            assert version + 1 == two.append("task-1", version).version


@pytest.mark.parametrize("aggregates", [4, 1000])
def test_processes_that_race_leave_a_sound_log(kafka_address: str, aggregates: int) -> None:
    topic = new_topic(kafka_address)
    with writing(topic, count=3, callers=4, aggregates=aggregates) as writers:
        for writer in writers:
            writer.wait_for(40)
        assert [writer.end(signal.SIGTERM) for writer in writers] == [0, 0, 0]
        assert_sound(topic, acknowledged(writers))
        assert [said[1] for it in writers for said in it.said if said[0] == "rejected"] == [[]] * 3
