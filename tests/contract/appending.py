"""Append: atomic, at the expected version, or not at all."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from eventkit import Append, Appended, ConcurrencyError, Event, EventStore
from eventkit.errors import CodecError, InvalidAggregateId, InvalidInput
from tests.contract.base import Contract
from tests.contract.domain import (
    OpenStore,
    ParcelDelivered,
    ParcelMoved,
    ParcelSent,
    moves,
    places,
    versions,
)

UNREADABLE = ParcelSent.model_construct(to="\ud800")
"""An event whose text is no Unicode, as no check of pydantic would let through."""

GOOD_IDS = [
    "parcel-1",
    "parcel-a-b-c",
    "parcel--",
    "parcel- ",
    "parcel-Ωμέγα-漢字-🚚",
    "parcel-e\u0301",  # not normalised: stays as written
    "parcel-\u00e9",
    "parcel-'; DROP TABLE events; --",
    'parcel-"quoted"\\%_',
    "parcel-\u2028",
    "parcel-" + "x" * 1017,
]

BAD_IDS: list[Any] = [
    "",
    "parcel",
    "parcel-",
    "-1",
    "par cel-1",
    "pärcel-1",
    "parcel/x-1",
    "parcel-\n",
    "parcel-\x00",
    "parcel-\ud800",
    "x" * 201 + "-1",
    "parcel-" + "x" * 1018,
    None,
    42,
]


class AppendContract(Contract):
    def test_the_first_event_has_version_1(self, store: EventStore) -> None:
        done = store.append("parcel-1", [ParcelSent(to="Ada")])
        assert (done.aggregate_id, done.version) == ("parcel-1", 1)

    def test_versions_count_the_events_of_an_aggregate(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"))
        store.append("parcel-2", moves("b"))
        assert store.append("parcel-1", moves("c")).version == 2

    def test_an_append_tells_the_version_position_and_id_of_what_it_wrote(
        self, store: EventStore
    ) -> None:
        done = store.append("parcel-1", moves("a", "b", "c"))
        recorded = store.get_events("parcel-1")
        assert done == Appended(
            "parcel-1",
            recorded[-1].version,
            recorded[-1].position,
            tuple(item.event_id for item in recorded),
            already_recorded=False,
        )

    def test_several_events_of_one_append_stand_one_after_the_other(
        self, store: EventStore
    ) -> None:
        store.append("parcel-1", moves("a"))
        store.append("parcel-1", moves("b", "c", "d"))
        recorded = store.get_events("parcel-1")
        assert (versions(recorded), places(recorded)) == ([1, 2, 3, 4], ["a", "b", "c", "d"])

    def test_an_append_may_hold_events_of_several_types(self, store: EventStore) -> None:
        events = [ParcelSent(to="Ada", grams=3), ParcelMoved(place="a"), ParcelDelivered()]
        store.append("parcel-1", events)
        assert [item.event for item in store.get_events("parcel-1")] == events

    def test_an_append_may_hold_thousands_of_events(self, store: EventStore) -> None:
        wanted = [str(number) for number in range(6_000)]
        done = store.append("parcel-1", moves(*wanted), expected_version=0)
        assert (done.version, places(store.get_events("parcel-1"))) == (6_000, wanted)

    def test_ids_are_uuid_version_7_unless_given(self, store: EventStore) -> None:
        done = store.append("parcel-1", moves(*"abc"))
        assert ({it.version for it in done.event_ids}, len(set(done.event_ids))) == ({7}, 3)

    def test_given_ids_are_kept(self, store: EventStore) -> None:
        given = (uuid4(), uuid4())
        done = store.append("parcel-1", moves("a", "b"), event_ids=given)
        kept = tuple(item.event_id for item in store.get_events("parcel-1"))
        assert (done.event_ids, kept) == (given, given)

    def test_expected_version_0_begins_an_aggregate(self, store: EventStore) -> None:
        assert store.append("parcel-1", moves("a"), expected_version=0).version == 1

    def test_the_expected_version_is_that_of_the_last_event(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a", "b"), expected_version=0)
        assert store.append("parcel-1", moves("c"), expected_version=2).version == 3

    def test_without_an_expected_version_the_current_one_is_taken(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"), expected_version=None)
        assert store.append("parcel-1", moves("b"), expected_version=None).version == 2

    def test_a_wrong_expected_version_writes_nothing(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        store.append("parcel-1", moves("a", "b"))
        for expected in (0, 1, 3, 1_000_000, 2**63, 2**80):
            with subtests.test(expected=expected):
                with pytest.raises(ConcurrencyError) as caught:
                    store.append("parcel-1", moves("c", "d"), expected_version=expected)
                error = caught.value
                assert (error.aggregate_id, error.expected, error.actual) == (
                    "parcel-1",
                    expected,
                    2,
                )
                assert error.retryable
                assert places(store.replay()) == ["a", "b"]
        assert store.append("parcel-1", moves("c")).version == 3

    def test_a_new_aggregate_is_at_version_0(self, store: EventStore) -> None:
        with pytest.raises(ConcurrencyError) as caught:
            store.append("parcel-1", moves("a"), expected_version=1)
        assert (caught.value.expected, caught.value.actual) == (1, 0)
        assert list(store.replay()) == []

    def test_what_is_no_list_of_events_is_refused(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        lists: list[Any] = [[], moves("a")[0], ["a"], [ParcelSent], [None]]
        for events in lists:
            with subtests.test(events=events):
                with pytest.raises(InvalidInput):
                    store.append("parcel-1", events)
                assert store.get_events("parcel-1") == []

    def test_an_expected_version_that_is_no_count_is_refused(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        store.append("parcel-1", moves("a"))
        counts: list[Any] = [-1, "1", 1.0, True]
        for expected in counts:
            with subtests.test(expected=expected), pytest.raises(InvalidInput):
                store.append("parcel-1", moves("b"), expected_version=expected)
        assert places(store.get_events("parcel-1")) == ["a"]

    def test_metadata_is_a_metadata(self, store: EventStore) -> None:
        wrong: Any = {"caused_by_user": "ann"}
        with pytest.raises(InvalidInput):
            store.append("parcel-1", moves("a"), metadata=wrong)

    def test_there_is_one_event_id_for_each_event(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        for count in (0, 1, 3):
            with subtests.test(count=count):
                ids = [uuid4() for _ in range(count)]
                with pytest.raises(InvalidInput):
                    store.append("parcel-1", moves("a", "b"), event_ids=ids)
                assert store.get_events("parcel-1") == []

    def test_event_ids_are_uuids(self, store: EventStore) -> None:
        texts: Any = [str(uuid4())]
        with pytest.raises(InvalidInput):
            store.append("parcel-1", moves("a"), event_ids=texts)

    def test_an_event_id_stands_once_in_an_append(self, store: EventStore) -> None:
        with pytest.raises(InvalidInput):
            store.append("parcel-1", moves("a", "b"), event_ids=[uuid4()] * 2)

    def test_an_aggregate_id_comes_back_as_it_was_written(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        for aggregate_id in GOOD_IDS:
            with subtests.test(aggregate_id=aggregate_id):
                assert store.append(aggregate_id, moves("a")).aggregate_id == aggregate_id
                recorded = store.get_events(aggregate_id)
                assert [item.aggregate_id for item in recorded] == [aggregate_id]
        assert sorted(item.aggregate_id for item in store.replay()) == sorted(GOOD_IDS)

    def test_ids_that_look_alike_are_different(self, store: EventStore) -> None:
        for aggregate_id in GOOD_IDS:
            assert store.append(aggregate_id, moves(aggregate_id)).version == 1
        assert [places(store.get_events(it)) for it in GOOD_IDS] == [[it] for it in GOOD_IDS]

    def test_what_is_no_category_and_id_is_refused(
        self, store: EventStore, subtests: pytest.Subtests
    ) -> None:
        for aggregate_id in BAD_IDS:
            with subtests.test(aggregate_id=aggregate_id):
                with pytest.raises(InvalidAggregateId):
                    store.append(aggregate_id, moves("a"))
                with pytest.raises(InvalidAggregateId):
                    store.get_events(aggregate_id)

    @pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
    def test_texts_of_any_size_come_back(self, store: EventStore, size: int) -> None:
        sent = ParcelSent(to="é" * size)
        store.append("parcel-1", [sent])
        assert [item.event for item in store.get_events("parcel-1")] == [sent]

    def test_an_event_without_fields_comes_back(self, store: EventStore) -> None:
        store.append("parcel-1", [ParcelDelivered()])
        assert [item.event for item in store.get_events("parcel-1")] == [ParcelDelivered()]

    def test_an_event_that_cannot_be_encoded_is_refused_with_its_whole_append(
        self, store: EventStore
    ) -> None:
        with pytest.raises(CodecError):
            store.append("parcel-1", [ParcelMoved(place="a"), UNREADABLE])
        assert list(store.replay()) == []
        assert store.append("parcel-1", moves("a")).version == 1

    def test_appends_of_one_call_each_have_their_own_result(self, store: EventStore) -> None:
        store.append("parcel-2", moves("old"))
        results = store.append_each(
            [
                Append("parcel-1", moves("a"), expected_version=0),
                Append("parcel-2", moves("b"), expected_version=0),
                Append("parcel-1", moves("c", "d"), expected_version=1),
                Append("parcel-3", [UNREADABLE]),
                Append("parcel-3", moves("e")),
                Append("parcel-1", moves("f"), expected_version=1),
            ]
        )
        assert [outcome(result) for result in results] == [
            ("parcel-1", 1),
            ("parcel-2", "ConcurrencyError"),
            ("parcel-1", 3),
            "UnencodableEvent",
            ("parcel-3", 1),
            ("parcel-1", "ConcurrencyError"),
        ]

    def test_what_was_refused_in_a_call_does_not_disturb_its_neighbours(
        self, store: EventStore
    ) -> None:
        asked: list[Append] = []
        for number in range(100):
            wrong = number % 3 == 0
            asked.append(Append(f"parcel-{number}", moves("a"), expected_version=int(wrong)))
        results = store.append_each(asked)
        assert [isinstance(result, Appended) for result in results] == [
            number % 3 != 0 for number in range(100)
        ]
        assert {item.aggregate_id for item in store.replay()} == {
            f"parcel-{number}" for number in range(100) if number % 3
        }

    def test_results_of_a_call_tell_where_the_events_stand(self, store: EventStore) -> None:
        results = store.append_each([Append(f"parcel-{n % 3}", moves(*"ab")) for n in range(9)])
        for result in results:
            assert isinstance(result, Appended)
            last = store.get_events(result.aggregate_id, result.version, result.version)[0]
            assert (last.position, last.event_id) == (result.position, result.event_ids[-1])

    def test_no_appends_have_no_results(self, store: EventStore) -> None:
        assert store.append_each([]) == []

    def test_an_acknowledged_append_is_seen_by_every_reader_at_once(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        with open_store() as other:
            for version in range(1, 20):
                store.append("parcel-1", moves(str(version)))
                assert len(store.get_events("parcel-1")) == version
                assert len(other.get_events("parcel-1")) == version

    def test_positions_of_an_aggregate_grow(self, store: EventStore) -> None:
        done = [store.append("parcel-1", moves(*"abc")).position for _ in range(5)]
        recorded = [item.position for item in store.get_events("parcel-1")]
        assert recorded == sorted(set(recorded))
        assert done == recorded[2::3]

    def test_an_event_handed_in_is_not_changed(self, store: EventStore) -> None:
        events: Sequence[Event] = tuple(moves("a", "b"))
        store.append("parcel-1", events)
        assert list(events) == moves("a", "b")


def outcome(result: object) -> object:
    """Return an append's result in short: where it stands, or why it does not."""
    match result:
        case Appended():
            return result.aggregate_id, result.version
        case ConcurrencyError():
            return result.aggregate_id, type(result).__name__
        case _:
            return type(result).__name__
