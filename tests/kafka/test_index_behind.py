"""An index far behind the log: little is kept, nothing is proposed in vain, and all goes on."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from eventkit.errors import StoreBusy
from eventkit.kafka import tails
from eventkit.kafka.index import Partition
from eventkit.kafka.proposals import ProposalTail
from eventkit.store import Appended
from tests.kafka.writer_kit import SECONDS, Desk, assert_sound, in_threads, new_topic

MOST, BATCH = 100, 20


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stopped(desk: Desk) -> threading.Event:
    """Have the index of a desk stand still until this is set."""
    go_on = threading.Event()
    read = desk.tail._read

    def later(messages: Any, ends: Any) -> None:
        if go_on.wait(SECONDS):
            read(messages, ends)

    desk.tail._read = later  # type: ignore[method-assign]
    return go_on


def test_what_would_not_be_met_is_not_proposed(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "_MOST", BATCH)
    topic = new_topic(kafka_address)
    behind = Desk(topic, timeout=1)
    behind.proposals._most = MOST
    go_on = stopped(behind)
    with Desk(topic) as other, behind:
        try:
            done = [other.append("task-1", events=MOST // 2) for _ in range(10)]
            busy = topic.partition_of("task-1")
            until(lambda: behind.view.behind == {busy})
            with pytest.raises(StoreBusy, match="far behind the log; this call wrote nothing"):
                behind.append("task-1")
            assert len(behind.view._sides[busy].rivals) < MOST + 2 * BATCH
        finally:
            go_on.set()
        until(lambda: not behind.view.behind)
        behind.timeout = SECONDS
        done.append(behind.append("task-1", done[-1].version))
        (quiet,) = behind.append_all([behind.waiting("task-1")])
        done.append(quiet)
    assert len(assert_sound(topic, done)) == 10 * MOST // 2 + 2


def test_writers_whose_tails_let_go_all_the_time_come_to_an_end(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each one's records fill the tails of the others, before any of them is decided."""
    monkeypatch.setattr(tails, "_MOST", BATCH)
    topic = new_topic(kafka_address)
    done: list[Appended] = []
    let_go: list[Partition] = []
    leave = ProposalTail._leave

    def noted(tail: ProposalTail, partition: Partition) -> None:
        let_go.append(partition)
        leave(tail, partition)

    monkeypatch.setattr(ProposalTail, "_leave", noted)
    with Desk(topic) as one, Desk(topic) as two, Desk(topic) as three:
        desks = (one, two, three)
        for desk in desks:
            desk.proposals._most = MOST

        def work(number: int) -> None:
            for count in range(4):
                name = f"task-{number if count % 2 else count}"
                done.append(desks[number % 3].append(name, events=2 * MOST))

        in_threads(6, work)
    assert let_go
    assert len(assert_sound(topic, done)) == 6 * 4 * 2 * MOST
