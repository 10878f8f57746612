import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from eventkit.kafka.inflight import Call, InFlight, Waiting
from eventkit.kafka.records import new_records
from eventkit.kafka.writing import turns, waitlist
from eventkit.kafka.writing.turns import Turns
from eventkit.kafka.writing.waitlist import WaitList

TRANSACTION = 0.005  # seconds
STEP = 0.002  # seconds between two proposals of rivals
RIVALS = 6


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(turns, "monotonic", clock)
    monkeypatch.setattr(waitlist, "monotonic", clock)
    return clock


def waited(it: Turns, writers: dict[str, float], clock: Clock, *, at_most: float) -> float:
    """Seconds until it is our turn, while rivals propose without a pause."""
    began, number = clock.now, 0
    while it.begins(began) > clock.now:
        assert clock.now < began + at_most
        number += 1
        clock.now += STEP
        writers[f"rival {number % RIVALS}"] = clock.now
    return clock.now - began


@pytest.fixture
def writers() -> dict[str, float]:
    return {}


@pytest.fixture
def it(writers: dict[str, float]) -> Turns:
    view: Any = SimpleNamespace(writers=writers)
    return Turns(view)


def test_rivals_who_never_pause_do_not_keep_us_from_our_turn(
    it: Turns, writers: dict[str, float], clock: Clock
) -> None:
    it.went(0.03, in_turn=True)
    for _ in range(20):
        waited(it, writers, clock, at_most=0.4)
        it.lost(in_turn=True)


def append_to(aggregate_id: str) -> Waiting:
    event_id = uuid.uuid4()
    records = new_records(aggregate_id, [(event_id, "Done", b"body")], 0)
    partition = ("task.events", 0)
    return Waiting(aggregate_id, partition, records, (event_id,), None, 2_000.0, given=False)


@pytest.mark.parametrize("ordinary_win", [True, False])
def test_who_waits_for_a_turn_gets_it_however_busy_the_store_is_with_others(
    it: Turns, writers: dict[str, float], clock: Clock, *, ordinary_win: bool
) -> None:
    unused: Any = None
    waiting = WaitList(InFlight("me"), it, unused, 100)
    hot = append_to("task-hot")
    waiting.keep_hot([hot])
    writers |= {f"rival {number}": clock.now for number in range(RIVALS)}
    number, began = 0, clock.now
    while True:
        number += 1
        waiting.put(Call([append_to(f"task-{number}")]))
        group = waiting.take()
        assert group
        assert waiting.in_turn(group) == (group == [hot])
        if group == [hot]:
            break
        clock.now += TRANSACTION / 2
        writers[f"rival {number % RIVALS}"] = clock.now
        clock.now += TRANSACTION / 2
        if ordinary_win:
            it.went(TRANSACTION, in_turn=False)
        else:
            it.lost(in_turn=False)
        assert clock.now < began + 0.4


def test_who_went_last_lets_the_others_go_first(
    it: Turns, writers: dict[str, float], clock: Clock
) -> None:
    writers |= dict.fromkeys(["a", "b"], clock.now - 0.01)
    it.went(0.03, in_turn=True)
    assert it.begins(clock.now) > clock.now
    clock.now += 0.1
    assert it.begins(clock.now) <= clock.now


def test_alone_it_is_always_our_turn(it: Turns, clock: Clock) -> None:
    it.went(0.03, in_turn=True)
    assert it.begins(clock.now) <= clock.now
