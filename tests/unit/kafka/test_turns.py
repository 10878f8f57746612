from types import SimpleNamespace
from typing import Any

import pytest

from eventkit.kafka.writing import turns
from eventkit.kafka.writing.turns import Turns

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
    return clock


def waited(it: Turns, writers: dict[str, float], clock: Clock, *, at_most: float) -> float:
    """Seconds until it is our turn, while rivals propose without a pause."""
    began, number = clock.now, 0
    while it.begins() > clock.now:
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
    it.went(0.03)
    for _ in range(20):
        waited(it, writers, clock, at_most=0.3)
        it.lost()


def test_who_went_last_lets_the_others_go_first(
    it: Turns, writers: dict[str, float], clock: Clock
) -> None:
    writers |= dict.fromkeys(["a", "b"], clock.now - 0.01)
    it.went(0.03)
    assert it.begins() > clock.now
    clock.now += 0.1
    assert it.begins() <= clock.now


def test_alone_it_is_always_our_turn(it: Turns, clock: Clock) -> None:
    it.went(0.03)
    assert it.begins() <= clock.now
