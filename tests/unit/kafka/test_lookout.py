import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import sleep

import pytest
from confluent_kafka import KafkaError, KafkaException

from eventkit.kafka import lookout
from eventkit.kafka.lookout import Lookout

OUTAGE = 60  # seconds
SECONDS = 10.0


@dataclass
class Client:
    """Finds a broker or does not."""

    finds: Callable[[], bool]
    finds_late: Callable[[], bool] = lambda: False
    asked: int = 0
    is_closed: bool = False

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> None:
        assert topic == "parcel.events"
        assert timeout < (1 if threading.current_thread() is threading.main_thread() else 6)
        self.asked += 1
        if not (self.finds() or (timeout > 1 and self.finds_late())):
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def close(self) -> None:
        self.is_closed = True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lookout, "monotonic", clock)
    return clock


def watched(clock: Clock, client: Client, fresh: Client, seconds: float) -> list[float]:
    """Look at a client all the time; returns when another one was given in its place."""
    it, began = Lookout[Client]("parcel.events", "a test"), clock.now
    given = []
    while clock.now < began + seconds:
        if it.replacement(client, lambda: fresh) is not None:
            given.append(clock.now - began)
        until_tried(it)
        clock.now += 0.1
    return given


def until_tried(it: Lookout[Client]) -> None:
    """Wait for the thread that tries a new client, if there is one."""
    while it._trial is not None and not it._trial.is_over():
        sleep(0.001)


def test_a_client_that_finds_brokers_is_asked_now_and_then(clock: Clock) -> None:
    client = Client(lambda: True)
    assert watched(clock, client, Client(lambda: True), 60) == []
    assert 10 <= client.asked <= 12


def test_one_that_finds_none_gives_way_to_one_that_does(clock: Clock) -> None:
    fresh = Client(lambda: True)
    given = watched(clock, Client(lambda: False), fresh, 12)
    assert len(given) == 1
    assert 9 < given[0] < 12
    assert not fresh.is_closed


def test_while_kafka_is_away_nobody_gives_way(clock: Clock) -> None:
    fresh = Client(lambda: False)
    assert watched(clock, Client(lambda: False), fresh, OUTAGE) == []
    assert fresh.asked > 5
    assert fresh.is_closed


def test_who_finds_brokers_again_in_time_stays(clock: Clock) -> None:
    client = Client(lambda: clock.now % 8 < 4)
    assert watched(clock, client, Client(lambda: True), OUTAGE) == []


def test_who_finds_brokers_as_soon_as_a_new_one_does_stays(clock: Clock) -> None:
    def made() -> Client:
        answers.append(True)
        return Client(lambda: True)

    answers: list[bool] = []
    it, client = Lookout[Client]("parcel.events", "a test"), Client(lambda: bool(answers))
    for _ in range(120):
        assert it.replacement(client, made) is None
        until_tried(it)
        clock.now += 0.1
    assert len(answers) == 1


def test_brokers_that_are_slow_are_no_reason_for_a_new_client(clock: Clock) -> None:
    slow = Client(lambda: False, finds_late=lambda: True)
    fresh = Client(lambda: False, finds_late=lambda: True)
    assert watched(clock, slow, fresh, OUTAGE) == []
    assert fresh.is_closed


def test_where_no_client_can_be_made_the_old_one_stays(clock: Clock) -> None:
    def fail() -> Client:
        raise KafkaException(KafkaError(KafkaError._CRIT_SYS_RESOURCE))

    it = Lookout[Client]("parcel.events", "a test")
    for _ in range(100):
        assert it.replacement(Client(lambda: False), fail) is None
        until_tried(it)
        clock.now += 0.3


def test_nobody_waits_for_a_new_client_that_takes_its_time(clock: Clock) -> None:
    made, finish = threading.Event(), threading.Event()
    fresh = Client(lambda: True)

    def slowly() -> Client:
        made.set()
        assert finish.wait(SECONDS)
        return fresh

    it, lost = Lookout[Client]("parcel.events", "a test"), Client(lambda: False)
    while not made.is_set():
        assert it.replacement(lost, slowly) is None
        clock.now += 0.1
    for _ in range(100):
        assert it.replacement(lost, slowly) is None
        clock.now += 0.1
    finish.set()
    until_tried(it)
    assert it.replacement(lost, slowly) is fresh
    assert not fresh.is_closed


@pytest.mark.parametrize("early", [True, False])
def test_a_new_client_that_nobody_takes_any_more_is_closed(clock: Clock, *, early: bool) -> None:
    made, finish = threading.Event(), threading.Event()
    fresh = Client(lambda: True)

    def slowly() -> Client:
        made.set()
        assert finish.wait(SECONDS)
        return fresh

    it = Lookout[Client]("parcel.events", "a test")
    while not made.is_set():
        assert it.replacement(Client(lambda: False), slowly) is None
        clock.now += 0.1
    trial = it._trial
    assert trial is not None
    for ends in (it.close, finish.set) if early else (finish.set, it.close):
        ends()
        while finish.is_set() and not trial.is_over():
            sleep(0.001)
    assert fresh.is_closed
