"""Replay: all events that match, each aggregate in order, in constant memory."""

import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from typing import Any, ClassVar, NamedTuple

import pytest

from eventkit import Append, Event, EventStore, Metadata, RecordedEvent
from eventkit.errors import InvalidInput, StoreClosed, UnknownEventType
from tests.contract.base import Contract
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

START = datetime(2024, 2, 29, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Filter(NamedTuple):
    """One choice of filters, and in plain Python what they should let through."""

    event_types: Sequence[type[Event] | str] | None
    workspace_id: str | None
    categories: Sequence[str] | None
    since: datetime | None
    until: datetime | None

    def lets_through(self, recorded: RecordedEvent) -> bool:
        names = [it if isinstance(it, str) else it.__name__ for it in self.event_types or ()]
        category = recorded.aggregate_id.partition("-")[0]
        return (
            (self.event_types is None or recorded.type in names)
            and self.workspace_id in (None, recorded.metadata.workspace_id)
            and (self.categories is None or category in self.categories)
            and (self.since is None or recorded.timestamp >= self.since)
            and (self.until is None or recorded.timestamp < self.until)
        )


TYPES: tuple[Sequence[type[Event] | str] | None, ...] = (
    None,
    [ParcelMoved],
    [VanLoaded, "ParcelDelivered"],
)
EVERY_COMBINATION = [
    Filter(*choice)
    for choice in product(
        TYPES,
        (None, "acme"),
        (None, ["parcel"], ["van", "crate"]),
        (None, START + 5 * HOUR),
        (None, START + 9 * HOUR),
    )
]

EXTREMES = [
    Filter([], None, None, None, None),
    Filter(None, None, [], None, None),
    Filter(None, "", None, None, None),
    Filter(None, "acm", None, None, None),
    Filter(["NoSuchType"], None, None, None, None),
    Filter(None, None, ["par"], None, None),
    Filter(None, None, ["parcel.eu"], None, None),
    Filter(None, None, ["parcel.e", "Parcel"], None, None),
    Filter(None, None, None, START + 3 * HOUR, START + 3 * HOUR),
    Filter(None, None, None, START + 4 * HOUR, START + 3 * HOUR),
    Filter([ParcelMoved, ParcelMoved], None, ["parcel", "parcel"], None, None),
]


def mixed_log(store: EventStore) -> None:
    """Append events of all kinds, some of them late and some of them tenants'."""
    kinds: list[Event] = [
        ParcelMoved(place="a"),
        ParcelDelivered(),
        VanLoaded(parcels=["x"]),
        ParcelSent(to="Ada"),
    ]
    appends: list[Append] = []
    for number in range(64):
        category = ("parcel", "van", "crate", "parcel.eu")[number % 4]
        metadata = Metadata(
            timestamp=START + (number * 7 % 13) * HOUR,
            workspace_id=("acme", "globex", None)[number % 7 % 3],
        )
        events = [kinds[number % 4], kinds[number % 5 % 4]]
        appends.append(Append(f"{category}-{number % 11}", events, metadata=metadata))
    store.append_each(appends)


def each(recorded: Iterable[RecordedEvent]) -> dict[str, list[int]]:
    """Return which versions of which aggregate are among the events, in their order."""
    return {key: versions(items) for key, items in by_aggregate(recorded).items()}


class ReplayContract(Contract):
    def test_an_empty_store_replays_nothing(self, store: EventStore) -> None:
        assert list(store.replay()) == []

    def test_a_replay_gives_every_event_once_and_each_aggregate_in_order(
        self, store: EventStore
    ) -> None:
        expected: dict[str, list[int]] = {}
        for number in range(300):
            done = store.append(f"parcel-{number % 17}", moves(*"ab"[: 1 + number % 2]))
            expected[done.aggregate_id] = [*range(1, done.version + 1)]
        assert each(store.replay()) == expected

    def test_a_replay_gives_the_same_recorded_events_as_a_read(self, store: EventStore) -> None:
        mixed_log(store)
        for aggregate_id, replayed in by_aggregate(store.replay()).items():
            assert replayed == store.get_events(aggregate_id)

    filters: ClassVar[Sequence[Filter]] = [*EVERY_COMBINATION, *EXTREMES]

    def test_filters_combine(self, store: EventStore, subtests: pytest.Subtests) -> None:
        mixed_log(store)
        everything = list(store.replay())
        for wanted in self.filters:
            with subtests.test(wanted=wanted):
                matching = [item for item in everything if wanted.lets_through(item)]
                found = list(store.replay(*wanted))
                assert by_aggregate(found) == by_aggregate(matching)

    def test_since_is_included_and_until_is_not(self, store: EventStore) -> None:
        for hour in range(4):
            metadata = Metadata(timestamp=START + hour * HOUR)
            store.append("parcel-1", moves(str(hour)), metadata=metadata)
        found = store.replay(since=START + HOUR, until=START + 3 * HOUR)
        assert places(found) == ["1", "2"]

    def test_a_replay_takes_events_by_their_time_not_by_their_order(
        self, store: EventStore
    ) -> None:
        for hour in (5, 1, 7, 2):
            metadata = Metadata(timestamp=START + hour * HOUR)
            store.append("parcel-1", moves(str(hour)), metadata=metadata)
        assert places(store.replay(since=START + 2 * HOUR)) == ["5", "7", "2"]

    @pytest.mark.parametrize("name", ["since", "until"])
    def test_a_moment_without_a_time_zone_is_refused(self, store: EventStore, name: str) -> None:
        moment: Any = {name: START.replace(tzinfo=None)}
        with pytest.raises(InvalidInput, match="time zone"):
            list(store.replay(**moment))

    @pytest.mark.parametrize("name", ["event_types", "categories"])
    def test_a_text_where_a_list_is_meant_is_refused(self, store: EventStore, name: str) -> None:
        text: Any = {name: "parcel"}
        with pytest.raises(InvalidInput, match="list"):
            list(store.replay(**text))

    @pytest.mark.parametrize("category", ["parcel-1", "", "par cel", "parcel-"])
    def test_a_category_that_cannot_be_is_refused(self, store: EventStore, category: str) -> None:
        with pytest.raises(InvalidInput):
            list(store.replay(categories=[category]))

    def test_an_unknown_type_stops_the_replay_with_its_name_and_place(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("parcel-1", [ParcelSent(to="Ada")])
        store.append("parcel-1", [ParcelDelivered()])
        with unknown("ParcelDelivered"), open_store() as other:
            with pytest.raises(UnknownEventType) as caught:
                list(other.replay())
            assert caught.value.event_type == "ParcelDelivered"
            assert caught.value.where == "parcel-1 version 2"
            with pytest.raises(UnknownEventType) as caught:
                other.get_events("parcel-1")
            assert caught.value.where == "parcel-1 version 2"

    @pytest.mark.parametrize(
        "wanted",
        [
            Filter([ParcelSent], None, None, None, None),
            Filter(None, "acme", None, None, None),
            Filter(None, None, ["parcel"], None, None),
            Filter(None, None, None, START, None),
            Filter(None, None, None, None, START + HOUR),
        ],
        ids=["type", "workspace", "category", "since", "until"],
    )
    def test_a_filter_does_not_decode_what_it_drops(
        self, store: EventStore, open_store: OpenStore, wanted: Filter
    ) -> None:
        sent = ParcelSent(to="Ada")
        kept = Metadata(timestamp=START, workspace_id="acme")
        late = wanted.until is not None
        dropped = Metadata(timestamp=START + (2 * HOUR if late else -HOUR), workspace_id="globex")
        store.append("parcel-1", [sent], metadata=kept)
        store.append("van-1", [VanLoaded(parcels=[])], metadata=dropped)
        with unknown("VanLoaded"), open_store() as other:
            assert [item.event for item in other.replay(*wanted)] == [sent]

    def test_a_replay_may_be_left_before_its_end(self, store: EventStore) -> None:
        store.append("parcel-1", moves(*map(str, range(5_000))))
        replay = store.replay()
        assert places(islice(replay, 3)) == ["0", "1", "2"]
        del replay
        assert store.append("parcel-1", moves("x")).version == 5_001

    def test_replays_side_by_side_do_not_disturb_each_other(self, store: EventStore) -> None:
        store.append("parcel-1", moves(*map(str, range(3_000))))
        first, second = store.replay(), store.replay()
        assert places(islice(first, 2_500)) == [str(number) for number in range(2_500)]
        assert places(second) == [str(number) for number in range(3_000)]
        assert places(first) == [str(number) for number in range(2_500, 3_000)]

    def test_a_replay_goes_on_while_events_are_appended(self, store: EventStore) -> None:
        store.append("parcel-1", moves(*map(str, range(3_000))))
        replay = store.replay()
        found = list(islice(replay, 10))
        store.append("parcel-1", moves("new"))
        store.append("parcel-0", moves("new"))
        found += replay
        seen = each(found)
        assert seen["parcel-1"] in ([*range(1, 3_001)], [*range(1, 3_002)])
        assert seen.get("parcel-0", []) in ([], [1])

    def test_a_replay_that_outlives_its_store_does_not_just_end(
        self, open_store: OpenStore
    ) -> None:
        with open_store() as store:
            store.append("parcel-1", moves(*map(str, range(5_000))))
            replay = store.replay()
            next(replay)
        with pytest.raises(StoreClosed):
            list(replay)

    def test_a_replay_of_many_events_takes_constant_memory(self, store: EventStore) -> None:
        text = "x" * 400
        for start in range(0, 50_000, 5_000):
            some = range(start, start + 5_000)
            store.append(f"parcel-{start % 3}", moves(*(f"{text}{number}" for number in some)))
        assert peak_memory(store.replay()) < 5_000_000

    def test_a_replay_of_large_events_takes_constant_memory(self, store: EventStore) -> None:
        text = "x" * 400_000
        for number in range(120):
            metadata = Metadata(extra={"number": f"{number}{text[:20_000]}"})
            store.append("parcel-1", moves(f"{number}{text}"), metadata=metadata)
        assert peak_memory(store.replay()) < 20_000_000


def peak_memory(items: Iterator[object]) -> int:
    """Return the most bytes that were in use at once while items were looked at one by one."""
    tracemalloc.start()
    try:
        for _ in items:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
