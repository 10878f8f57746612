"""append_all: appends to several aggregates, all or none of them."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from eventkit import (
    Append,
    Appended,
    ConcurrencyError,
    DuplicateEventId,
    EventStore,
    Metadata,
)
from eventkit.errors import EventkitError, InvalidInput, StoreClosed
from eventkit.store import MAX_EVENTS_PER_APPEND
from tests.contract.appending import UNREADABLE
from tests.contract.base import Contract
from tests.contract.domain import (
    OpenStore,
    ParcelDelivered,
    VanLoaded,
    by_aggregate,
    moves,
    places,
    versions,
)

ONE, TWO, THREE, FOUR = (UUID(int=0xABD0 + number) for number in range(4))
WAIT = 60


def loading(**more: Any) -> list[Append]:
    """Return what is written when two parcels are put into a van."""
    return [
        Append("van-1", [VanLoaded(parcels=["1", "2"])], **more),
        Append("parcel-1", moves("van"), **more),
        Append("parcel-2", moves("van"), **more),
    ]


def with_ids(expected: int | None = None) -> list[Append]:
    """Return appends to be retried."""
    return [
        Append("parcel-1", moves("a", "b"), expected, event_ids=[ONE, TWO]),
        Append("van-1", [VanLoaded(parcels=["1"])], expected, event_ids=[THREE]),
    ]


def retried(done: Sequence[Appended]) -> list[Appended]:
    """Return the results of appends when they are asked for again."""
    return [it._replace(already_recorded=True) for it in done]


class TogetherContract(Contract):
    @pytest.mark.parametrize("expected", [0, None])
    def test_appends_to_several_aggregates_are_written(
        self, store: EventStore, expected: int | None
    ) -> None:
        done = store.append_all(loading(expected_version=expected))
        assert [(it.aggregate_id, it.version) for it in done] == [
            ("van-1", 1), ("parcel-1", 1), ("parcel-2", 1),
        ]  # fmt: skip
        for it in done:
            (recorded,) = store.get_events(it.aggregate_id)
            assert (recorded.position, recorded.event_id) == (it.position, it.event_ids[-1])
            assert not it.already_recorded

    def test_what_was_written_is_seen_by_every_reader_at_once(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        with open_store() as other:
            for version in range(1, 5):
                store.append_all(loading(expected_version=version - 1))
                for reader in (store, other):
                    for name in ("van-1", "parcel-1", "parcel-2"):
                        assert len(reader.get_events(name)) == version

    def test_it_stands_between_appends_of_one_aggregate(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"))
        store.append_all([Append("parcel-1", moves("b", "c"), 1), Append("parcel-2", moves("x"))])
        store.append("parcel-1", moves("d"), 3)
        store.append_all([Append("parcel-1", moves("e"))])
        assert places(store.get_events("parcel-1")) == list("abcde")
        assert versions(store.get_events("parcel-1")) == [1, 2, 3, 4, 5]

    def test_each_has_its_own_metadata(self, store: EventStore) -> None:
        moment = datetime(2024, 5, 6, tzinfo=UTC)
        store.append_all(
            [
                Append("parcel-1", moves("a"), metadata=Metadata(caused_by_user="ann")),
                Append("van-1", [VanLoaded(parcels=[])], metadata=Metadata(timestamp=moment)),
                Append("parcel-2", moves("b")),
            ]
        )
        found = {it.aggregate_id: it.metadata for it in store.replay()}
        assert found["parcel-1"].caused_by_user == "ann"
        assert found["van-1"].timestamp == moment
        assert found["parcel-2"].caused_by_user is None

    @pytest.mark.parametrize("wrong", [0, 1, 2])
    @pytest.mark.parametrize("expected", [0, 2])
    def test_one_conflict_refuses_all(self, store: EventStore, wrong: int, expected: int) -> None:
        appends = [Append(f"parcel-{number}", moves("new")) for number in range(3)]
        for number in range(3):
            store.append(f"parcel-{number}", moves("old"))
        appends[wrong] = appends[wrong]._replace(expected_version=expected)
        with pytest.raises(ConcurrencyError) as lost:
            store.append_all(appends)
        error = lost.value
        assert (error.aggregate_id, error.expected, error.actual) == (
            f"parcel-{wrong}",
            expected,
            1,
        )
        assert places(store.replay()) == ["old"] * 3

    def test_the_first_that_cannot_be_is_told(self, store: EventStore) -> None:
        store.append("parcel-2", moves("old"))
        with pytest.raises(ConcurrencyError) as lost:
            store.append_all(
                [
                    Append("parcel-1", moves("a"), 0),
                    Append("parcel-2", moves("b"), 0),
                    Append("parcel-3", moves("c"), 7),
                ]
            )
        assert (lost.value.aggregate_id, lost.value.actual) == ("parcel-2", 1)
        assert store.append("parcel-1", moves("free"), 0).version == 1

    @pytest.mark.parametrize("number", [0, 1])
    def test_one_that_cannot_be_encoded_refuses_all(self, store: EventStore, number: int) -> None:
        appends = [Append("parcel-1", moves("a"))]
        appends.insert(number, Append("parcel-2", [UNREADABLE]))
        with pytest.raises(EventkitError):
            store.append_all(appends)
        assert list(store.replay()) == []

    @pytest.mark.parametrize(
        ("appends", "reason"),
        [
            ([], "at least one"),
            ([Append("parcel-1", moves("a")), Append("parcel-1", moves("b"))], "parcel-1 twice"),
            ([Append("parcel-1", moves("a")), Append("parcel", moves("b"))], "category-id"),
            ([Append("parcel-1", moves("a")), Append("parcel-2", [])], "1 to"),
            (Append("parcel-1", moves("a")), "list"),
            ([("parcel-1", moves("a"))], "tuple"),
            (
                [
                    Append("parcel-1", moves("a"), event_ids=[ONE]),
                    Append("parcel-2", moves("a"), event_ids=[ONE]),
                ],
                "same event id",
            ),
            (
                [
                    Append(f"parcel-{number}", [ParcelDelivered()] * (MAX_EVENTS_PER_APPEND // 2))
                    for number in range(3)
                ],
                "up to",
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_be_asked_is_refused(
        self, store: EventStore, appends: Any, reason: str
    ) -> None:
        with pytest.raises(InvalidInput, match=reason):
            store.append_all(appends)
        assert list(store.replay()) == []

    @pytest.mark.parametrize("expected", [0, None])
    def test_a_retry_of_all_gives_the_same_results_and_writes_nothing(
        self, store: EventStore, open_store: OpenStore, expected: int | None
    ) -> None:
        done = store.append_all(with_ids(expected))
        store.append("parcel-1", moves("later"))
        assert store.append_all(with_ids(expected)) == retried(done)
        with open_store() as other:
            assert other.append_all(with_ids(expected)) == retried(done)
        assert places(store.get_events("parcel-1")) == ["a", "b", "later"]
        assert len(store.get_events("van-1")) == 1

    def test_a_retry_of_what_was_refused_is_judged_anew(self, store: EventStore) -> None:
        store.append("van-1", [VanLoaded(parcels=[])])
        with pytest.raises(ConcurrencyError):
            store.append_all(with_ids(0))
        appends = with_ids(0)
        appends[1] = appends[1]._replace(expected_version=1)
        done = store.append_all(appends)
        assert [(it.version, it.already_recorded) for it in done] == [(2, False), (2, False)]

    @pytest.mark.parametrize("recorded", [0, 1])
    @pytest.mark.parametrize("expected", [0, None])
    def test_ids_of_which_one_append_is_recorded_alone_are_refused(
        self, store: EventStore, recorded: int, expected: int | None
    ) -> None:
        appends = with_ids(expected)
        done = store.append(*appends[recorded])
        with pytest.raises(DuplicateEventId) as taken:
            store.append_all(appends)
        assert taken.value.aggregate_id == appends[recorded].aggregate_id
        assert taken.value.event_id in done.event_ids
        assert [it.aggregate_id for it in store.replay()] == [done.aggregate_id] * done.version

    def test_an_id_of_other_content_refuses_all(self, store: EventStore) -> None:
        store.append("parcel-9", moves("x"), event_ids=[THREE])
        with pytest.raises(DuplicateEventId):
            store.append_all(with_ids())
        assert places(store.replay()) == ["x"]

    def test_many_events_in_many_aggregates_are_one_append(self, store: EventStore) -> None:
        appends = [
            Append(f"{('parcel', 'crate')[number % 2]}-{number}", moves(*"ab" * (number % 5 + 1)))
            for number in range(60)
        ]
        done = store.append_all(appends)
        assert [it.version for it in done] == [len(it.events) for it in appends]
        found = by_aggregate(store.replay())
        assert {name: len(some) for name, some in found.items()} == {
            it.aggregate_id: len(it.events) for it in appends
        }

    def test_an_event_larger_than_any_store_takes_refuses_all_or_is_written(
        self, store: EventStore
    ) -> None:
        appends = [Append("parcel-1", moves("a")), Append("parcel-2", moves("x" * 20_000_000))]
        try:
            written = len(store.append_all(appends))
        except InvalidInput:
            written = 0
        assert len(list(store.replay())) == written

    def test_threads_that_move_between_the_same_aggregates_never_leave_half(
        self, open_store: OpenStore
    ) -> None:
        """Each round writes both or neither, so both are always equally far."""
        start = threading.Barrier(6)
        names = ["parcel-1", "parcel-2"]

        def work(number: int) -> int:
            start.wait(WAIT)
            won = 0
            order = names[:: 1 if number % 2 else -1]
            store = stores[number % 2]
            for _ in range(5):
                version = len(store.get_events("parcel-1"))
                with suppress(ConcurrencyError):
                    store.append_all([Append(name, moves("x"), version) for name in order])
                    won += 1
            return won

        with open_store() as one, open_store() as two, ThreadPoolExecutor(6) as pool:
            stores = [one, two]
            won = sum(pool.map(work, range(6)))
            for name in names:
                assert versions(one.get_events(name)) == list(range(1, won + 1))
        assert won >= 5

    def test_it_takes_turns_with_single_appends_to_the_same_aggregates(
        self, open_store: OpenStore
    ) -> None:
        start = threading.Barrier(4)

        def work(number: int) -> None:
            start.wait(WAIT)
            store = stores[number % 2]
            for _ in range(6):
                if number < 2:
                    store.append_all([Append(f"parcel-{it}", moves("all")) for it in (1, 2)])
                else:
                    store.append(f"parcel-{number - 1}", moves("one"))

        with open_store() as one, open_store() as two, ThreadPoolExecutor(4) as pool:
            stores = [one, two]
            list(pool.map(work, range(4)))
            for name in ("parcel-1", "parcel-2"):
                found = places(one.get_events(name))
                assert (found.count("all"), found.count("one")) == (12, 6)
                assert versions(two.get_events(name)) == list(range(1, 19))

    def test_appends_of_a_call_that_meets_a_close_are_all_told_or_none_is_there(
        self, open_store: OpenStore
    ) -> None:
        told: list[int] = []
        ready = threading.Barrier(2)

        def work(store: EventStore) -> None:
            ready.wait(WAIT)
            with suppress(StoreClosed):
                while True:
                    done = store.append_all(loading())
                    told.append(done[0].version)

        with ThreadPoolExecutor() as pool:
            with open_store() as store:
                working = pool.submit(work, store)
                ready.wait(WAIT)
                while len(told) < 2 and not working.done():
                    store.append("parcel-9", moves("x"))
            working.result(WAIT)
        with open_store() as store:
            lengths = {len(store.get_events(it)) for it in ("van-1", "parcel-1", "parcel-2")}
        assert lengths == {len(told)}
