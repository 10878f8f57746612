"""Waiting for what another process was told."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from eventkit import EventStore, Position
from eventkit.errors import InvalidInput, StoreUnavailable
from tests.contract.base import Contract
from tests.contract.domain import OpenStore, moves, places

LATER = 5
"""So many events go to the same partition after a position that is waited for."""


def later(position: Position) -> Position:
    """Where an event will be, or will have been passed, once `LATER` more are there."""
    return position._replace(offset=position.offset + LATER - 1)


class WaitContract(Contract):
    def test_what_was_told_elsewhere_can_be_read_once_it_was_waited_for(
        self, open_store: OpenStore
    ) -> None:
        with open_store() as one, open_store() as two:
            for number in range(1, 6):
                done = one.append("parcel-1", moves("a"))
                two.wait(done.position)
                assert len(two.get_events("parcel-1")) == number

    def test_a_position_that_is_there_is_not_waited_for(self, store: EventStore) -> None:
        done = store.append("parcel-1", moves("a"))
        store.wait(done.position, timeout=0)

    def test_a_position_to_come_is_waited_for(self, store: EventStore) -> None:
        done = store.append("parcel-1", moves("a"))
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(store.wait, later(done.position), 20)
            store.append("parcel-1", moves(*"bcdef"))
            waiting.result(20)
        assert places(store.get_events("parcel-1")) == [*"abcdef"]

    def test_a_position_that_does_not_come_in_time_may_come_later(self, store: EventStore) -> None:
        done = store.append("parcel-1", moves("a"))
        with pytest.raises(StoreUnavailable, match=r"within 0\.05 s") as late:
            store.wait(later(done.position), timeout=0.05)
        assert late.value.retryable

    def test_a_position_of_another_log_is_refused(self, store: EventStore) -> None:
        there = store.append("parcel-1", moves("a")).position
        for wrong in (there._replace(topic="none.events"), there._replace(partition=10_000)):
            with pytest.raises(InvalidInput, match=f"{wrong} is no position of"):
                store.wait(wrong, timeout=0)
