"""Retry: an append whose event ids are in the log has happened, and is not written twice."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from eventkit import (
    Append,
    Appended,
    ConcurrencyError,
    DuplicateEventId,
    Event,
    EventStore,
    Metadata,
    Repository,
)
from tests.contract.base import Contract
from tests.contract.domain import (
    OpenStore,
    Parcel,
    ParcelDelivered,
    ParcelMoved,
    ParcelSent,
    VanLoaded,
    moves,
    places,
    unknown,
)

_T = TypeVar("_T")

EXPECTATIONS = pytest.mark.parametrize("expected", [0, None], ids=["expected", "any version"])

ONE, TWO, THREE = (UUID(int=0xABC0 + number) for number in range(3))

# Where ONE and TWO are known: new ids before and after them, and both turned round.
HALF_KNOWN = [(ONE, THREE), (THREE, ONE), (THREE, TWO), (TWO, ONE), (TWO, THREE)]


def retried(done: Appended) -> Appended:
    """Return the result of an append when it is asked for again."""
    return done._replace(already_recorded=True)


class RetryContract(Contract):
    @EXPECTATIONS
    def test_a_retry_gives_the_same_result_and_writes_nothing(
        self, store: EventStore, expected: int | None
    ) -> None:
        first = store.append("parcel-1", moves("a", "b"), expected, event_ids=[ONE, TWO])
        again = store.append("parcel-1", moves("a", "b"), expected, event_ids=[ONE, TWO])
        assert again == retried(first)
        assert places(store.replay()) == ["a", "b"]

    @EXPECTATIONS
    def test_a_retry_is_recognised_after_other_events_came(
        self, store: EventStore, expected: int | None
    ) -> None:
        first = store.append("parcel-1", moves("a", "b"), expected, event_ids=[ONE, TWO])
        store.append("parcel-1", moves("c"))
        store.append("parcel-2", moves("d"))
        again = store.append("parcel-1", moves("a", "b"), expected, event_ids=[ONE, TWO])
        assert again == retried(first)
        assert places(store.get_events("parcel-1")) == ["a", "b", "c"]

    @EXPECTATIONS
    def test_a_retry_is_recognised_by_whoever_opens_the_store_later(
        self, open_store: OpenStore, expected: int | None
    ) -> None:
        with open_store() as store:
            first = store.append("parcel-1", moves("a"), expected, event_ids=[ONE])
        with open_store() as store:
            again = store.append("parcel-1", moves("a"), expected, event_ids=[ONE])
            assert again == retried(first)

    def test_a_retry_in_the_middle_of_history_is_recognised(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"))
        first = store.append("parcel-1", moves("b"), 1, event_ids=[ONE])
        store.append("parcel-1", moves("c"))
        assert store.append("parcel-1", moves("b"), 1, event_ids=[ONE]) == retried(first)

    def test_the_events_of_an_append_can_be_asked_for_with_the_ids_it_gave(
        self, store: EventStore
    ) -> None:
        first = store.append("parcel-1", moves("a", "b"), 0)
        again = store.append("parcel-1", moves("a", "b"), 0, event_ids=first.event_ids)
        assert again == retried(first)

    def test_a_retry_keeps_the_metadata_that_was_recorded(self, store: EventStore) -> None:
        then, now = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2024))
        for moment in (then, now):
            metadata = Metadata(timestamp=moment)
            store.append("parcel-1", moves("a"), metadata=metadata, event_ids=[ONE])
        assert [item.timestamp for item in store.get_events("parcel-1")] == [then]

    def test_a_retry_of_an_append_that_lost_loses_again(self, store: EventStore) -> None:
        store.append("parcel-1", moves("winner"), 0)
        for _ in range(2):
            with pytest.raises(ConcurrencyError):
                store.append("parcel-1", moves("loser"), 0, event_ids=[ONE])
        assert places(store.replay()) == ["winner"]

    def test_ids_of_a_refused_append_are_still_free(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"))
        with pytest.raises(ConcurrencyError):
            store.append("parcel-1", moves("b"), 0, event_ids=[ONE])
        done = store.append("parcel-1", moves("b"), 1, event_ids=[ONE])
        assert (done.version, done.already_recorded) == (2, False)

    @EXPECTATIONS
    def test_an_id_of_other_content_is_refused(
        self, store: EventStore, expected: int | None, subtests: pytest.Subtests
    ) -> None:
        store.append("parcel-1", moves("a"), event_ids=[ONE])
        others: list[Event] = [ParcelMoved(place="b"), ParcelDelivered(), ParcelSent(to="a")]
        for event in others:
            with subtests.test(event=event):
                self.refused(store, "parcel-1", [event], expected, ONE)

    @pytest.mark.parametrize("expected", [0, 1, None])
    def test_an_id_of_another_aggregate_is_refused(
        self, store: EventStore, expected: int | None
    ) -> None:
        store.append("parcel-1", moves("a"), event_ids=[ONE])
        store.append("parcel-2", moves("b"))
        self.refused(store, "parcel-2", moves("a"), expected, ONE)

    @pytest.mark.parametrize("expected", [1, 2, 7])
    def test_an_id_that_stands_at_another_version_than_expected_is_refused(
        self, store: EventStore, expected: int
    ) -> None:
        store.append("parcel-1", moves("a"), event_ids=[ONE])
        store.append("parcel-1", moves("b"))
        self.refused(store, "parcel-1", moves("a"), expected, ONE)

    @EXPECTATIONS
    def test_half_known_ids_are_refused(
        self, store: EventStore, expected: int | None, subtests: pytest.Subtests
    ) -> None:
        store.append("parcel-1", moves("a", "a"), event_ids=[ONE, TWO])
        for ids in HALF_KNOWN:
            with subtests.test(ids=ids):
                self.refused(store, "parcel-1", moves("a", "a"), expected, *ids)

    def test_ids_of_two_appends_do_not_make_one(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"), event_ids=[ONE])
        store.append("parcel-1", moves("x"))
        store.append("parcel-1", moves("b"), event_ids=[TWO])
        self.refused(store, "parcel-1", moves("a", "b"), 0, ONE, TWO)

    def test_a_refused_id_does_not_disturb_the_others_of_the_call(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"), event_ids=[ONE])
        results = store.append_each(
            [
                Append("parcel-2", moves("b"), 0, event_ids=[TWO]),
                Append("parcel-3", moves("x"), 0, event_ids=[ONE]),
                Append("parcel-1", moves("a"), 0, event_ids=[ONE]),
                Append("parcel-2", moves("c"), 1, event_ids=[THREE]),
            ]
        )
        assert [type(result) for result in results] == [
            Appended, DuplicateEventId, Appended, Appended
        ]  # fmt: skip
        assert places(store.get_events("parcel-2")) == ["b", "c"]
        assert store.get_events("parcel-3") == []

    @EXPECTATIONS
    def test_the_same_append_twice_in_one_call_is_written_once(
        self, store: EventStore, expected: int | None
    ) -> None:
        ask = Append("parcel-1", moves("a"), expected, event_ids=[ONE])
        first, second = store.append_each([ask, ask])
        assert isinstance(first, Appended)
        assert second == retried(first)
        assert places(store.replay()) == ["a"]

    def test_an_id_taken_earlier_in_the_same_call_is_refused(self, store: EventStore) -> None:
        results = store.append_each(
            [
                Append("parcel-1", moves("a"), 0, event_ids=[ONE]),
                Append("parcel-2", moves("a"), 0, event_ids=[ONE]),
                Append("parcel-1", moves("b"), None, event_ids=[ONE]),
            ]
        )
        assert [type(it) for it in results] == [Appended, DuplicateEventId, DuplicateEventId]

    @EXPECTATIONS
    def test_a_retry_is_recognised_by_a_class_that_has_changed_since(
        self, store: EventStore, open_store: OpenStore, expected: int | None
    ) -> None:
        then, now = versions_of_a_class()
        first = store.append("crate-1", [then.model_validate({"by": "ann"})], expected, None, [ONE])
        with open_store() as other:
            same = now.model_validate({"by": "ann"})
            assert other.append("crate-1", [same], expected, None, [ONE]) == retried(first)
            self.refused(other, "crate-1", [now.model_validate({"by": "bob"})], expected, ONE)

    @EXPECTATIONS
    def test_the_same_append_by_many_threads_at_once_is_written_once(
        self, store: EventStore, expected: int | None
    ) -> None:
        for number in range(20):
            ids = [uuid4(), uuid4()]
            results = at_once(
                8,
                lambda ids=ids, number=number: store.append(  # type: ignore[misc]
                    f"parcel-{number}", moves("a", "b"), expected, event_ids=ids
                ),
            )
            assert {(it.version, it.position, it.event_ids) for it in results} == {
                (2, results[0].position, tuple(ids))
            }
            assert sorted(it.already_recorded for it in results) == [False] + [True] * 7
            assert places(store.get_events(f"parcel-{number}")) == ["a", "b"]

    def test_an_id_of_an_event_nobody_can_read_is_refused_and_disturbs_no_one(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("van-1", [VanLoaded(parcels=["x"])], event_ids=[ONE])
        with unknown("VanLoaded"), open_store() as other:
            refused, done = other.append_each(
                [
                    Append("van-1", moves("a"), event_ids=[ONE]),
                    Append("van-2", moves("b"), event_ids=[TWO]),
                ]
            )
        assert (type(refused), type(done)) == (DuplicateEventId, Appended)

    @staticmethod
    def refused(
        store: EventStore,
        aggregate_id: str,
        events: list[Event],
        expected: int | None,
        *ids: UUID,
    ) -> None:
        """See that an append is refused, for an id that is taken, and that nothing was written."""
        before = {item.event_id: item for item in store.replay()}
        with pytest.raises(DuplicateEventId) as caught:
            store.append(aggregate_id, events, expected, event_ids=ids)
        taken = before[caught.value.event_id]
        assert caught.value.event_id in ids
        assert (caught.value.aggregate_id, caught.value.version) == (
            taken.aggregate_id,
            taken.version,
        )
        assert {item.event_id: item for item in store.replay()} == before

    def test_a_save_of_unknown_outcome_may_be_followed_by_more(self, store: EventStore) -> None:
        repository = Repository(store, Parcel)
        parcel = Parcel("parcel-1")
        parcel.send("Rome")
        parcel.move("a")
        repository.save(deepcopy(parcel))
        parcel.move("b")
        done = repository.save(parcel)
        assert done is not None
        assert (done.version, parcel.pending_events) == (3, ())
        assert repository.get("parcel-1") == parcel


def versions_of_a_class() -> tuple[type[Event], type[Event]]:
    """Return an event class as it was, and as it is since it got another field."""

    class Before(Event, event_type="CrateMarked"):
        by: str

    class After(Event, event_type="CrateMarked"):
        by: str
        colour: str = "red"

    return Before, After


def at_once(count: int, call: Callable[[], _T]) -> list[_T]:
    """Return what some threads get from a call that they make at the same time."""
    barrier = threading.Barrier(count)

    def together() -> _T:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(together) for _ in range(count)]]
