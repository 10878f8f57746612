"""Subscriptions: what is there, then what comes; no gap, nothing twice, until they are closed."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from random import Random
from statistics import median
from typing import Any

import pytest

from eventkit import Append, EventStore, Metadata, Position, RecordedEvent
from eventkit.errors import InvalidInput, UnknownEventType
from eventkit.store import Subscription
from tests.contract.base import Contract
from tests.contract.concurrency import in_threads
from tests.contract.domain import (
    OpenStore,
    ParcelDelivered,
    ParcelMoved,
    ParcelSent,
    VanLoaded,
    by_aggregate,
    moves,
    places,
    unknown,
    versions,
)
from tests.contract.replaying import each, mixed_log, peak_memory

SECONDS = 30.0


@contextmanager
def limited(*subscriptions: Subscription) -> Iterator[None]:
    """End subscriptions that wait for too long: what they should have given is missing then."""
    timers = [threading.Timer(SECONDS, it.close) for it in subscriptions]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for it in subscriptions:
            it.close()


def first(subscription: Subscription, count: int) -> list[RecordedEvent]:
    """Return the next events, waiting for them."""
    timer = threading.Timer(SECONDS, subscription.close)
    timer.start()
    try:
        return list(islice(subscription, count))
    finally:
        timer.cancel()


def all_after(store: EventStore, positions: Iterable[Position]) -> dict[str, list[int]]:
    """Return what a replay gives after some positions: versions by aggregate."""
    after = {(it.topic, it.partition): it.offset for it in positions}
    return each(it for it in store.replay() if it.position.offset > after.get(it.position[:2], -1))


class SubscribeContract(Contract):
    def test_a_subscription_gives_what_is_there_and_then_what_comes(
        self, store: EventStore
    ) -> None:
        store.append("parcel-1", moves("a", "b"))
        with store.subscribe() as subscription:
            assert places(first(subscription, 2)) == ["a", "b"]
            for place in "cde":
                done = store.append("parcel-1", moves(place))
                (recorded,) = first(subscription, 1)
                assert [recorded] == store.get_events("parcel-1", from_version=done.version)

    def test_a_subscription_waits_for_the_first_event(self, store: EventStore) -> None:
        with store.subscribe() as subscription, ThreadPoolExecutor(1) as pool:
            found = pool.submit(first, subscription, 1)
            store.append("parcel-1", moves("a"))
            assert places(found.result(SECONDS)) == ["a"]

    def test_an_event_comes_soon_after_it_was_appended(self, store: EventStore) -> None:
        delays: list[float] = []
        with store.subscribe() as subscription, ThreadPoolExecutor(1) as pool:
            for _ in range(15):
                found = pool.submit(lambda: (first(subscription, 1), time.monotonic()))
                time.sleep(0.03)  # so that it waits already
                store.append("parcel-1", moves("a"))
                told = time.monotonic()
                delays.append(found.result(SECONDS)[1] - told)
        assert median(delays) < 0.1

    def test_a_subscription_that_lags_far_behind_loses_nothing(self, store: EventStore) -> None:
        subscription = store.subscribe()
        with limited(subscription):
            for turn in range(4):
                appends = [Append(f"parcel-{it % 7}", moves(f"{turn}.{it}")) for it in range(600)]
                store.append_each(appends)
                first(subscription, 100)
            assert subscription.positions
            left = all_after(store, subscription.positions)
            assert each(first(subscription, 2_000)) == left

    @pytest.mark.parametrize(
        "wanted",
        [
            {"event_types": [ParcelMoved]},
            {"event_types": [VanLoaded, "ParcelDelivered"], "workspace_id": "acme"},
            {"workspace_id": "acme"},
            {"categories": ["van", "crate"]},
            {"categories": ["parcel"], "event_types": [ParcelSent], "workspace_id": "globex"},
        ],
        ids=lambda _: "filter",
    )
    def test_filters_are_those_of_a_replay(self, store: EventStore, wanted: Any) -> None:
        with store.subscribe(**wanted) as subscription:
            for _ in range(2):
                mixed_log(store)
            expected = by_aggregate(store.replay(**wanted))
            count = sum(map(len, expected.values()))
            assert by_aggregate(first(subscription, count)) == expected

    def test_what_filters_drop_is_not_decoded(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("van-1", [VanLoaded(parcels=[])])
        with (
            unknown("VanLoaded"),
            open_store() as other,
            other.subscribe(categories=["parcel"]) as subscription,
        ):
            store.append("parcel-1", moves("a"))
            assert places(first(subscription, 1)) == ["a"]

    def test_a_subscription_begins_after_a_position(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a", "b"))
        known = store.append("parcel-1", moves("c"))
        store.append("parcel-1", moves("d"))
        given: Sequence[Position | list[Position]] = (known.position, [known.position])
        for position in given:
            with store.subscribe(position, categories=["parcel"]) as subscription:
                assert places(first(subscription, 1)) == ["d"]

    def test_after_the_newest_event_only_new_ones_come(self, store: EventStore) -> None:
        done = store.append("parcel-1", moves("a"))
        with store.subscribe(done.position) as subscription:
            store.append("parcel-1", moves("b"))
            assert places(first(subscription, 1)) == ["b"]

    def test_another_subscription_goes_on_where_one_stands(self, store: EventStore) -> None:
        mixed_log(store)
        expected = each(store.replay())
        found: list[RecordedEvent] = []
        positions: list[Position] = []
        while len(found) < 128:
            with store.subscribe(positions) as subscription:
                found += first(subscription, min(9, 128 - len(found)))
                positions = subscription.positions
        assert each(found) == expected

    def test_a_subscription_stands_behind_what_its_filters_dropped(self, store: EventStore) -> None:
        store.append("parcel-1", moves(*"abc"))
        done = store.append("parcel-1", [ParcelDelivered()])
        with store.subscribe(event_types=[ParcelDelivered]) as subscription:
            first(subscription, 1)
            assert subscription.positions == [done.position]

    @pytest.mark.parametrize("kind", ["topic", "twice", "ahead", "before", "text"])
    def test_what_is_no_position_of_the_log_is_refused(self, store: EventStore, kind: str) -> None:
        at = store.append("parcel-1", moves("a")).position
        wrong: Any = {
            "topic": Position("elsewhere", at.partition, at.offset),
            "twice": [at, at],
            "ahead": Position(at.topic, at.partition, at.offset + 1_000),
            "before": Position(at.topic, at.partition, -2),
            "text": str(at),
        }[kind]
        with pytest.raises(InvalidInput):
            next(store.subscribe(wrong))

    def test_filters_that_cannot_be_are_refused(self, store: EventStore) -> None:
        with pytest.raises(InvalidInput, match="list"):
            next(store.subscribe(categories="parcel"))

    def test_a_closed_subscription_ends(self, store: EventStore) -> None:
        subscription = store.subscribe()
        store.append("parcel-1", moves("a"))
        with ThreadPoolExecutor(1) as pool, limited(subscription):
            assert places(first(subscription, 1)) == ["a"]
            found = pool.submit(list, subscription)
            time.sleep(0.05)  # so that it waits
            subscription.close()
            subscription.close()
            assert found.result(SECONDS) == []
            store.append("parcel-1", moves("b"))
            assert list(subscription) == []

    def test_subscriptions_end_with_their_store(self, open_store: OpenStore) -> None:
        store = open_store()
        store.append("parcel-1", moves("a"))
        subscriptions = [store.subscribe() for _ in range(4)]
        for it in subscriptions:
            assert places(first(it, 1)) == ["a"]
        with ThreadPoolExecutor(3) as pool, limited(*subscriptions):
            waiting = [pool.submit(list, it) for it in subscriptions[1:]]
            time.sleep(0.05)  # so that they wait
            store.close()
            assert [it.result(SECONDS) for it in waiting] == [[]] * 3
            assert list(subscriptions[0]) == []

    def test_an_event_that_cannot_be_read_is_told_after_those_before_it(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("parcel-1", moves(*"abc"))
        store.append("parcel-1", [ParcelDelivered(), *moves("d")])
        with open_store() as other, other.subscribe() as subscription:
            with unknown("ParcelDelivered"):
                assert places(first(subscription, 3)) == ["a", "b", "c"]
                for _ in range(2):
                    with pytest.raises(UnknownEventType) as caught:
                        first(subscription, 1)
                    assert caught.value.where == "parcel-1 version 4"
            assert versions(first(subscription, 2)) == [4, 5]

    def test_thirty_subscriptions_each_get_all_events(self, store: EventStore) -> None:
        store.append("parcel-1", moves(*"abc"))
        subscriptions = [store.subscribe() for _ in range(30)]
        with limited(*subscriptions), ThreadPoolExecutor(30) as pool:
            collected = [pool.submit(first, it, 23) for it in subscriptions]
            for turn in range(20):
                store.append(f"parcel-{turn % 3}", moves(str(turn)))
            found = [each(it.result(SECONDS)) for it in collected]
        assert found == [each(store.replay())] * 30

    def test_memory_does_not_grow_with_the_events_that_are_there(self, store: EventStore) -> None:
        text = "x" * 400
        for start in range(0, 20_000, 5_000):
            some = range(start, start + 5_000)
            store.append(f"parcel-{start % 3}", moves(*(f"{text}{number}" for number in some)))
        with store.subscribe() as subscription:
            assert peak_memory(islice(subscription, 20_000)) < 5_000_000

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_appends_reads_and_new_beginnings_in_any_order(
        self, store: EventStore, seed: int
    ) -> None:
        random = Random(seed)  # noqa: S311 - a repeatable choice
        found: list[RecordedEvent] = []
        subscription, written = store.subscribe(), 0
        for _ in range(60):
            match random.randrange(4):
                case 0 | 1:
                    events = moves(*"abcdef"[: random.randrange(1, 7)])
                    category = random.choice(["parcel", "van"])
                    metadata = Metadata(workspace_id=random.choice(["acme", None]))
                    store.append(f"{category}-{random.randrange(5)}", events, metadata=metadata)
                    written += len(events)
                case 2:
                    found += first(subscription, random.randrange(written - len(found) + 1))
                case _:
                    subscription.close()
                    subscription = store.subscribe(subscription.positions)
        found += first(subscription, written - len(found))
        subscription.close()
        assert by_aggregate(found) == by_aggregate(store.replay())

    def test_nothing_is_lost_or_doubled_while_many_write(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        total = 8 * 40 * 2
        with ExitStack() as stack:
            other = stack.enter_context(open_store())
            stores = (store, other)

            def write(number: int) -> None:
                random = Random(number)  # noqa: S311 - a repeatable choice
                for _ in range(40):
                    aggregate_id = f"{random.choice(['parcel', 'van'])}-{random.randrange(4)}"
                    stores[number % 2].append(aggregate_id, moves("a", "b"))

            def read(number: int) -> list[RecordedEvent]:
                """Every other reader begins anew again and again, where it stood."""
                found: list[RecordedEvent] = []
                positions: list[Position] = []
                while len(found) < total:
                    most = total if number % 2 else 37
                    with stores[number // 2 % 2].subscribe(positions) as subscription:
                        some = first(subscription, min(most, total - len(found)))
                        positions = subscription.positions
                    assert some
                    found += some
                return found

            with ThreadPoolExecutor(4) as pool:
                reading = [pool.submit(read, number) for number in range(4)]
                in_threads(8, write)
                found = [it.result(2 * SECONDS) for it in reading]
            expected = by_aggregate(store.replay())
            for some in found:
                assert by_aggregate(some) == expected
