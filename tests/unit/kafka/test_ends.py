"""Where the log ends: asked within the time, and with another client after a silent one."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition

from eventkit.errors import StoreUnavailable
from eventkit.kafka import ends
from eventkit.kafka.ends import Ends

HERE = ("parcel.events", 0)
TIMEOUT = 2.0
NEVER = 1e9


class Brokers:
    """Answer after some seconds of a clock that nobody waits for; a cluster and its client."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.takes = 0.0
        self.renewals = 0
        self.admin: Any = self

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def _answer(self, timeout: float) -> None:
        self.now += min(self.takes, timeout)
        if self.takes > timeout:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def list_topics(self, timeout: float) -> None:
        self._answer(timeout)

    def list_offsets(
        self,
        asked: Mapping[TopicPartition, object],
        *,
        isolation_level: IsolationLevel,
        request_timeout: float,
    ) -> Mapping[TopicPartition, Future[Any]]:
        assert isolation_level == IsolationLevel.READ_COMMITTED
        self._answer(request_timeout)
        answers: dict[TopicPartition, Future[Any]] = {it: Future() for it in asked}
        for future in answers.values():
            future.set_result(TopicPartition("", 0, 7))
        return answers

    def renewed(self, lost: object) -> object:
        assert lost is self
        self.renewals += 1
        self.now += 1.0
        return self


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    brokers = Brokers()
    monkeypatch.setattr(ends, "monotonic", brokers.monotonic)
    monkeypatch.setattr(ends, "sleep", brokers.sleep)
    return brokers


def took(brokers: Brokers, it: Ends) -> float:
    """Ask in vain; returns the seconds until that was told."""
    began = brokers.now
    with pytest.raises(StoreUnavailable):
        it([HERE], committed=True)
    return brokers.now - began


def test_whoever_is_not_answered_in_time_asks_for_another_client_the_next_time(
    brokers: Brokers,
) -> None:
    it: Any = Ends(brokers.admin, timeout=TIMEOUT)
    brokers.takes = NEVER
    took(brokers, it)
    assert brokers.renewals == 0
    took(brokers, it)
    assert brokers.renewals == 1


@pytest.mark.parametrize("timeout", [TIMEOUT, 10.0])
def test_nobody_waits_much_longer_than_the_time_for_brokers_that_are_away(
    brokers: Brokers, timeout: float
) -> None:
    it: Any = Ends(brokers.admin, timeout=timeout)
    brokers.takes = NEVER
    assert max(took(brokers, it) for _ in range(10)) < timeout + 2


def test_a_long_time_without_an_answer_is_used_for_another_client(brokers: Brokers) -> None:
    it: Any = Ends(brokers.admin, timeout=10.0)
    brokers.takes = NEVER
    took(brokers, it)
    assert brokers.renewals > 0


def test_brokers_that_are_slow_are_understood_also_after_they_were_away(brokers: Brokers) -> None:
    it: Any = Ends(brokers.admin, timeout=TIMEOUT)
    brokers.takes = NEVER
    took(brokers, it)
    brokers.takes = 0.8
    took(brokers, it)
    assert it([HERE], committed=True) == {HERE: 7}
