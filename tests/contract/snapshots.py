"""Snapshots and time travel: state(snapshot + tail) == state(all events), always."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from eventkit import Aggregate, AggregateNotFound, Event, EventStore, Metadata, Repository, apply
from eventkit.errors import InvalidInput
from eventkit.store import Snapshot
from tests.contract.base import Contract
from tests.contract.domain import (
    OpenStore,
    Parcel,
    ParcelDelivered,
    ParcelMoved,
    ParcelReturned,
    ParcelSent,
    moves,
)
from tests.contract.variants import CHANGES, crate

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(
            [ParcelSent(to="Ada"), *moves("a", "b"), ParcelDelivered(), ParcelReturned()]
        ),
        st.integers(0, 6),  # minutes after the start, in no order
        st.booleans(),  # whether somebody loads the aggregate now
    ),
    min_size=1,
    max_size=12,
)


class Box(BaseModel):
    """A state of some other aggregate."""

    items: list[str]
    moment: datetime
    note: str | None = None


BOX: dict[str, object] = {"items": ["a", "é"], "moment": START, "note": None}


def snapshot_of(store: EventStore, aggregate_id: str) -> Snapshot:
    snapshot = store.snapshots.load_snapshot(aggregate_id)
    assert snapshot is not None
    return snapshot


class SnapshotContract(Contract):
    @pytest.fixture
    def first_read(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Collect from which version on each aggregate was read."""
        found: list[int] = []
        get_events = store.get_events

        def spy(aggregate_id: str, from_version: int = 1, **bounds: Any) -> object:
            found.append(from_version)
            return get_events(aggregate_id, from_version, **bounds)

        monkeypatch.setattr(store, "get_events", spy)
        return found

    def test_an_aggregate_has_no_snapshot_at_first(self, store: EventStore) -> None:
        assert store.snapshots.load_snapshot("parcel-1") is None

    def test_a_snapshot_comes_back_as_it_was_saved(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        moment = START + timedelta(microseconds=1)
        snapshot = Snapshot("parcel-1", 7, bytes(range(256)), moment, "fold")
        store.snapshots.save_snapshot(snapshot)
        assert store.snapshots.load_snapshot("parcel-1") == snapshot
        assert store.snapshots.load_snapshot("parcel-2") is None
        with open_store() as other:
            assert other.snapshots.load_snapshot("parcel-1") == snapshot

    def test_the_newest_snapshot_is_kept(self, store: EventStore) -> None:
        for version in (5, 9, 3):
            store.snapshots.save_snapshot(Snapshot("parcel-1", version, b"x", START, "fold"))
        assert snapshot_of(store, "parcel-1").version == 9

    def test_a_snapshot_of_other_code_is_replaced_even_by_an_older_one(
        self, store: EventStore
    ) -> None:
        store.snapshots.save_snapshot(Snapshot("parcel-1", 9, b"x", START, "former"))
        store.snapshots.save_snapshot(Snapshot("parcel-1", 3, b"x", START, "today"))
        assert snapshot_of(store, "parcel-1").version == 3

    def test_a_state_comes_back_by_the_model_that_wrote_it(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        data = store.snapshots.encode_state(Box, BOX)
        assert store.snapshots.decode_state(Box, data) == BOX
        with open_store() as other:
            assert other.snapshots.decode_state(Box, data) == BOX

    def test_a_state_of_another_model_is_none_of_ours(self, store: EventStore) -> None:
        class Other(BaseModel):
            items: list[str]

        data = store.snapshots.encode_state(Box, BOX)
        assert store.snapshots.decode_state(Other, data) is None

    def test_a_snapshot_is_kept_when_enough_events_were_folded(
        self, store: EventStore, first_read: list[int]
    ) -> None:
        repository = Repository(store, Parcel, snapshot_every=3)
        for version, at_snapshot in [(2, None), (3, 3), (5, 3), (6, 6), (20, 20)]:
            add(store, version)
            repository.get("parcel-1")
            snapshot = store.snapshots.load_snapshot("parcel-1")
            assert (snapshot and snapshot.version) == at_snapshot
        assert first_read == [1, 1, 4, 4, 7]

    def test_without_a_policy_no_snapshot_is_kept_or_used(
        self, store: EventStore, first_read: list[int]
    ) -> None:
        add(store, 10)
        Repository(store, Parcel, snapshot_every=1).get("parcel-1")
        Repository(store, Parcel).get("parcel-1")
        assert first_read == [1, 1]

    def test_a_snapshot_speaks_for_the_events_it_replaces(self, store: EventStore) -> None:
        repository = Repository(store, Parcel, snapshot_every=1)
        store.append("parcel-1", [ParcelSent(to="Ada"), *moves("a", "b"), ParcelDelivered()])
        folded = repository.get("parcel-1")
        assert snapshot_of(store, "parcel-1").version == 4
        assert repository.get("parcel-1") == folded
        store.append("parcel-1", [ParcelReturned(), *moves("c")])
        assert repository.get("parcel-1") == Parcel.replay_from(store.get_events("parcel-1"))

    def test_an_aggregate_from_a_snapshot_can_be_edited_and_saved(self, store: EventStore) -> None:
        repository = Repository(store, Parcel, snapshot_every=2)
        add(store, 4)
        repository.get("parcel-1")
        with repository.edit("parcel-1") as parcel:
            parcel.move("new")
        assert repository.get("parcel-1").places == ["1", "2", "3", "4", "new"]

    def test_what_is_done_to_an_aggregate_does_not_reach_its_snapshot(
        self, store: EventStore
    ) -> None:
        repository = Repository(store, Parcel, snapshot_every=1)
        add(store, 2)
        for _ in range(3):
            repository.get("parcel-1").places.append("not an event")
        assert repository.get("parcel-1").places == ["1", "2"]

    histories: ClassVar[int] = 40

    def test_a_snapshot_and_its_tail_make_the_state_that_all_events_make(
        self, store: EventStore
    ) -> None:
        @settings(max_examples=self.histories)
        @given(history=HISTORIES, every=st.integers(1, 4))
        def check(history: list[tuple[Event, int, bool]], every: int) -> None:
            self.see_that_snapshots_change_nothing(store, history, every)

        check()

    def see_that_snapshots_change_nothing(
        self, store: EventStore, history: list[tuple[Event, int, bool]], every: int
    ) -> None:
        aggregate_id = f"parcel-{uuid4()}"
        repository = Repository(store, Parcel, snapshot_every=every)
        for event, minute, load in history:
            metadata = Metadata(timestamp=START + minute * MINUTE)
            store.append(aggregate_id, [event], metadata=metadata)
            if load:
                repository.get(aggregate_id)
        plain = Repository(store, Parcel)
        assert repository.get(aggregate_id) == plain.get(aggregate_id)
        for version in range(1, len(history) + 1):
            expected = Parcel.replay_from([it[0] for it in history[:version]], aggregate_id)
            assert repository.get(aggregate_id, version=version) == expected
        for minute in range(7):
            moment = START + minute * MINUTE
            assert found_at(repository, aggregate_id, moment) == found_at(
                plain, aggregate_id, moment
            )

    def test_an_earlier_version_is_not_read_from_a_later_snapshot(
        self, store: EventStore, first_read: list[int]
    ) -> None:
        repository = Repository(store, Parcel, snapshot_every=5)
        add(store, 10)
        repository.get("parcel-1")
        assert repository.get("parcel-1", version=9).places == [str(n) for n in range(1, 10)]
        assert repository.get("parcel-1", version=10).version == 10
        assert first_read == [1, 1, 11]

    def test_an_earlier_moment_is_not_read_from_a_later_snapshot(
        self, store: EventStore, first_read: list[int]
    ) -> None:
        repository = Repository(store, Parcel, snapshot_every=1)
        for minute in (0, 5, 2):
            metadata = Metadata(timestamp=START + minute * MINUTE)
            store.append("parcel-1", moves(str(minute)), metadata=metadata)
        repository.get("parcel-1")
        assert snapshot_of(store, "parcel-1").timestamp == START + 5 * MINUTE
        assert repository.get("parcel-1", as_of=START + 4 * MINUTE).places == ["0"]
        assert repository.get("parcel-1", as_of=START + 5 * MINUTE).places == ["0", "5", "2"]
        assert first_read == [1, 1, 4]

    def test_time_travel_keeps_no_snapshot(self, store: EventStore) -> None:
        repository = Repository(store, Parcel, snapshot_every=1)
        add(store, 5)
        repository.get("parcel-1", version=4)
        repository.get("parcel-1", as_of=datetime.now(UTC))
        assert store.snapshots.load_snapshot("parcel-1") is None

    def test_there_is_no_aggregate_before_its_first_event(self, store: EventStore) -> None:
        repository = Repository(store, Parcel, snapshot_every=1)
        store.append("parcel-1", moves("a"), metadata=Metadata(timestamp=START))
        repository.get("parcel-1")
        with pytest.raises(AggregateNotFound, match="had no events at"):
            repository.get("parcel-1", as_of=START - MINUTE)
        with pytest.raises(AggregateNotFound, match="no version 2"):
            repository.get("parcel-1", version=2)
        with pytest.raises(AggregateNotFound, match="has no events"):
            repository.get("parcel-2")
        with pytest.raises(InvalidInput):
            repository.get("parcel-1", version=0)

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_snapshot_of_other_code_is_ignored_and_replaced(
        self, store: EventStore, open_store: OpenStore, change: str
    ) -> None:
        before, after = crate(), crate(change)
        store.append("crate-1", [before["CrateFilled"](items=n) for n in (5, 7)])
        Repository(store, before["Crate"], snapshot_every=1).get("crate-1")
        former = snapshot_of(store, "crate-1")
        with open_store() as other:
            other.types.bind(after["CrateFilled"])
            repository = Repository(other, after["Crate"], snapshot_every=1)
            folded = after["Crate"].replay_from(other.get_events("crate-1"))
            assert repository.get("crate-1") == folded
            assert snapshot_of(other, "crate-1").fold != former.fold
            assert repository.get("crate-1") == folded

    def test_a_snapshot_of_the_same_code_in_another_process_is_used(
        self, store: EventStore, first_read: list[int]
    ) -> None:
        before, same = crate(), crate()
        store.append("crate-1", [before["CrateFilled"](items=n) for n in (5, 7)])
        Repository(store, before["Crate"], snapshot_every=1).get("crate-1")
        Repository(store, same["Crate"], snapshot_every=1).get("crate-1")
        assert first_read == [1, 3]

    @pytest.mark.parametrize("damage", ["empty", "cut", "longer", "garbage", "no header"])
    def test_a_damaged_snapshot_costs_a_fold_and_is_replaced_in_time(
        self, store: EventStore, damage: str
    ) -> None:
        repository = Repository(store, Parcel, snapshot_every=2)
        add(store, 4)
        repository.get("parcel-1")
        good = snapshot_of(store, "parcel-1")
        state = {
            "empty": b"",
            "cut": good.state[:-3],
            "longer": good.state + b"\x01",
            "garbage": good.state[:10] + b"\xff" * 20,
            "no header": good.state[10:],
        }[damage]
        bad = replace(good, version=good.version + 2, state=state)
        store.snapshots.save_snapshot(bad)
        add(store, 6)
        assert repository.get("parcel-1").places == [str(number) for number in range(1, 7)]
        add(store, 9)
        assert repository.get("parcel-1").places == [str(number) for number in range(1, 10)]
        assert snapshot_of(store, "parcel-1").version == 9

    def test_state_outside_the_typed_fields_is_never_lost_by_a_snapshot(
        self, store: EventStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Hidden(Aggregate, category="parcel"):
            shown: int = 0

            @apply
            def _moved(self, event: ParcelMoved) -> None:
                self.shown += 1
                self.hidden = event.place

        repository = Repository(store, Hidden, snapshot_every=1)
        add(store, 3)
        for _ in range(2):
            assert repository.get("parcel-1").hidden == "3"
        assert store.snapshots.load_snapshot("parcel-1") is None
        assert "keeps 'hidden' outside its typed fields" in caplog.text

    def test_an_aggregate_that_is_not_saved_yet_is_no_snapshot(self, store: EventStore) -> None:
        repository = Repository(store, Parcel, snapshot_every=1)
        add(store, 1)
        with suppress(ZeroDivisionError), repository.edit("parcel-1") as parcel:
            parcel.move("2")
            raise ZeroDivisionError
        assert snapshot_of(store, "parcel-1").version == 1
        assert repository.get("parcel-1").places == ["1"]


def add(store: EventStore, version: int) -> None:
    """Append moves to a parcel until it is at a version."""
    head = sum(1 for _ in store.replay(categories=["parcel"]))
    store.append("parcel-1", moves(*(str(number) for number in range(head + 1, version + 1))))


def found_at(repository: Repository[Parcel], aggregate_id: str, moment: datetime) -> Parcel | None:
    """Return the aggregate as of a moment, or None where it had no events."""
    try:
        return repository.get(aggregate_id, as_of=moment)
    except AggregateNotFound:
        return None
