"""Read by aggregate: by version and as of a moment."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from eventkit import EventStore, Metadata, RecordedEvent
from eventkit.errors import InvalidInput
from tests.contract.base import Contract
from tests.contract.domain import OpenStore, ParcelSent, moves, places, versions

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)

# Of the events a to e: what is read from one version to another.
RANGES: dict[tuple[int, int | None], str] = {
    (1, None): "abcde",
    (1, 5): "abcde",
    (2, 4): "bcd",
    (3, 3): "c",
    (5, None): "e",
    (6, None): "",
    (4, 3): "",
    (1, 0): "",
    (1, -5): "",
    (1, 99): "abcde",
    (2**80, None): "",
    (1, 2**80): "abcde",
}


def at(minute: int) -> datetime:
    """Return a moment some minutes after noon."""
    return NOON + minute * MINUTE


def append_at(store: EventStore, *minutes: int, aggregate_id: str = "parcel-1") -> None:
    """Append one event for each minute after noon."""
    for minute in minutes:
        metadata = Metadata(timestamp=at(minute))
        store.append(aggregate_id, moves(str(minute)), metadata=metadata)


class ReadContract(Contract):
    def test_an_aggregate_without_events_reads_as_none(self, store: EventStore) -> None:
        assert store.get_events("parcel-1") == []

    def test_a_recorded_event_tells_all_that_is_known_of_it(self, store: EventStore) -> None:
        event_id = uuid4()
        metadata = Metadata(timestamp=NOON, caused_by_user="ann")
        sent = ParcelSent(to="Ada")
        done = store.append("parcel-1", [sent], metadata=metadata, event_ids=[event_id])
        (recorded,) = store.get_events("parcel-1")
        assert recorded == RecordedEvent(
            event_id, "parcel-1", 1, "ParcelSent", sent, metadata, done.position
        )
        assert recorded.timestamp == NOON

    def test_versions_are_read_from_one_to_another_both_included(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        store.append("parcel-1", moves(*"abc"))
        store.append("parcel-1", moves(*"de"))
        for (first, last), expected in RANGES.items():
            with subtests.test(from_version=first, to_version=last):
                recorded = store.get_events("parcel-1", from_version=first, to_version=last)
                assert places(recorded) == list(expected)

    @pytest.mark.parametrize("from_version", [0, -1])
    def test_there_is_no_version_before_1(self, store: EventStore, from_version: int) -> None:
        with pytest.raises(InvalidInput):
            store.get_events("parcel-1", from_version=from_version)

    def test_events_of_other_aggregates_stay_out(self, store: EventStore) -> None:
        ids = ["parcel-1", "parcel-10", "parcel-1-1", "Parcel-1", "parcel-01", "van-1"]
        for aggregate_id in ids * 2:
            store.append(aggregate_id, moves(aggregate_id))
        assert {it: places(store.get_events(it)) for it in ids} == {it: [it, it] for it in ids}

    def test_reading_again_gives_the_same(self, store: EventStore, open_store: OpenStore) -> None:
        store.append("parcel-1", moves(*"abc"))
        with open_store() as other:
            assert store.get_events("parcel-1") == store.get_events("parcel-1")
            assert other.get_events("parcel-1") == store.get_events("parcel-1")

    def test_what_is_read_belongs_to_the_reader(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"), metadata=Metadata(extra={"ip": "::1"}))
        first = store.get_events("parcel-1")
        first[0].metadata.extra["ip"] = "changed"
        first.clear()
        assert [it.metadata.extra for it in store.get_events("parcel-1")] == [{"ip": "::1"}]

    def test_as_of_reads_what_had_happened_by_then(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        append_at(store, 0, 5, 9)
        for minute, expected in {-1: "", 0: "0", 1: "0", 5: "05", 9: "059"}.items():
            with subtests.test(minute=minute):
                recorded = store.get_events("parcel-1", as_of=at(minute))
                assert places(recorded) == list(expected)

    def test_as_of_is_exact_to_the_microsecond(self, store: EventStore) -> None:
        append_at(store, 0, 1)
        assert places(store.get_events("parcel-1", as_of=at(1) - MICROSECOND)) == ["0"]
        assert places(store.get_events("parcel-1", as_of=at(1))) == ["0", "1"]

    def test_as_of_takes_all_events_of_the_same_moment(self, store: EventStore) -> None:
        append_at(store, 0, 1, 1, 1, 2)
        assert versions(store.get_events("parcel-1", as_of=at(1))) == [1, 2, 3, 4]

    def test_as_of_stops_before_the_first_event_that_is_later(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        """A fold needs a prefix, even where clocks went back."""
        append_at(store, 0, 5, 2, 8, 1)
        for minute, last in {0: 1, 2: 1, 4: 1, 5: 3, 8: 5}.items():
            with subtests.test(minute=minute):
                recorded = store.get_events("parcel-1", as_of=at(minute))
                assert versions(recorded) == [*range(1, last + 1)]

    def test_as_of_before_the_first_event_reads_nothing(self, store: EventStore) -> None:
        append_at(store, 3, 1)
        assert store.get_events("parcel-1", as_of=at(2)) == []

    def test_as_of_looks_at_one_aggregate_only(self, store: EventStore) -> None:
        append_at(store, 0, 9, aggregate_id="parcel-2")
        append_at(store, 1, 2)
        assert versions(store.get_events("parcel-1", as_of=at(5))) == [1, 2]

    def test_as_of_and_versions_bound_each_other(self, store: EventStore) -> None:
        append_at(store, 0, 1, 2, 3, 4)
        for first, last, minute in [(2, 3, 9), (2, 9, 2), (4, 9, 2), (1, 2, 0)]:
            recorded = store.get_events("parcel-1", first, last, at(minute))
            assert versions(recorded) == [*range(first, min(last, minute + 1) + 1)]

    def test_as_of_means_the_same_instant_in_every_time_zone(self, store: EventStore) -> None:
        append_at(store, 0, 10)
        india = at(5).astimezone(timezone(timedelta(hours=5, minutes=30)))
        assert versions(store.get_events("parcel-1", as_of=india)) == [1]

    def test_as_of_without_a_time_zone_is_refused(self, store: EventStore) -> None:
        with pytest.raises(InvalidInput, match="time zone"):
            store.get_events("parcel-1", as_of=NOON.replace(tzinfo=None))

    def test_the_far_ends_of_time_are_moments_too(self, store: EventStore) -> None:
        append_at(store, 0)
        first = datetime.min.replace(tzinfo=UTC)
        last = datetime.max.replace(tzinfo=UTC)
        assert versions(store.get_events("parcel-1", as_of=first)) == []
        assert versions(store.get_events("parcel-1", as_of=last)) == [1]
