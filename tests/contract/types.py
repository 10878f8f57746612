"""Event types: recorded names, and the classes that read them."""

import pytest

from eventkit import Event, EventStore
from eventkit.errors import AmbiguousEventType, InvalidInput, UnknownEventType
from tests.contract.base import Contract
from tests.contract.domain import OpenStore, moves, unknown


class CrateOpened(Event, event_type="CrateUnlocked"):
    """Renamed in the code; goes on writing the old name."""

    by: str


class CrateSealed(Event, aliases=("CrateShut", "CrateClosed")):
    """Renamed in the log too: reads what was written under its former names."""

    seal: str = "none"


class CrateShut(Event):
    """What is called CrateSealed today."""

    seal: str = "none"


def one() -> type[Event]:
    class CrateStacked(Event):
        on: str

    return CrateStacked


def two() -> type[Event]:
    class CrateStacked(Event):
        on: str
        height: int = 1

    return CrateStacked


NAMESAKES = (one(), two())


class EventTypeContract(Contract):
    def test_the_class_name_is_the_recorded_type(self, store: EventStore) -> None:
        store.append("parcel-1", moves("a"))
        assert [item.type for item in store.get_events("parcel-1")] == ["ParcelMoved"]

    def test_a_renamed_class_may_go_on_writing_its_old_name(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        opened = CrateOpened(by="ann")
        store.append("crate-1", [opened])
        with open_store() as other:
            (recorded,) = other.replay(event_types=[CrateOpened])
            assert (recorded.type, recorded.event) == ("CrateUnlocked", opened)
            assert list(other.replay(event_types=["CrateUnlocked"])) == [recorded]
            assert list(other.replay(event_types=["CrateOpened"])) == []

    def test_a_renamed_class_reads_what_was_written_under_its_former_name(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("crate-1", [CrateShut(seal="wax")])
        store.append("crate-1", [CrateSealed(seal="lead")])
        with open_store() as other:
            other.types.bind(CrateSealed)
            recorded = other.get_events("crate-1")
            assert [item.type for item in recorded] == ["CrateShut", "CrateSealed"]
            assert [item.event for item in recorded] == [
                CrateSealed(seal="wax"),
                CrateSealed(seal="lead"),
            ]

    def test_a_filter_by_class_finds_all_its_names_and_a_filter_by_name_one(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("crate-1", [CrateShut(seal="wax")])
        store.append("crate-1", [CrateSealed(seal="lead")])
        with open_store() as other:
            of_class = [item.type for item in other.replay(event_types=[CrateSealed])]
            of_name = [item.type for item in other.replay(event_types=["CrateShut"])]
        assert (of_class, of_name) == (["CrateShut", "CrateSealed"], ["CrateShut"])

    @pytest.mark.parametrize("namesake", NAMESAKES)
    def test_a_store_reads_with_the_class_it_was_used_with(
        self, store: EventStore, namesake: type[Event]
    ) -> None:
        stacked = namesake.model_validate({"on": "van-1"})
        store.append("crate-1", [stacked])
        assert [item.event for item in store.get_events("crate-1")] == [stacked]

    def test_two_classes_of_one_name_must_be_told_apart(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("crate-1", [NAMESAKES[0].model_validate({"on": "van-1"})])
        with open_store() as other:
            with pytest.raises(AmbiguousEventType) as caught:
                other.get_events("crate-1")
            assert caught.value.event_type == "CrateStacked"
            assert caught.value.claimants == (
                "tests.contract.types.one.<locals>.CrateStacked",
                "tests.contract.types.two.<locals>.CrateStacked",
            )
            other.types.bind(NAMESAKES[0])
            assert len(other.get_events("crate-1")) == 1

    def test_no_second_class_is_written_under_the_name_of_another(self, store: EventStore) -> None:
        """Both would stand in the log under one name: neither could be read again."""
        first, second = (it.model_validate({"on": "van-1"}) for it in NAMESAKES)
        store.append("crate-1", [first])
        with pytest.raises(AmbiguousEventType, match="Give one of them another recorded name"):
            store.append("crate-2", [second])
        assert [item.event for item in store.replay()] == [first]

    def test_an_event_of_no_class_of_its_own_is_refused(self, store: EventStore) -> None:
        with pytest.raises(InvalidInput, match="append events of a class made of it"):
            store.append("crate-1", [Event()])
        assert list(store.replay()) == []

    def test_an_unknown_type_can_be_read_once_its_class_is_known(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("parcel-1", moves("a"))
        with open_store() as other:
            with unknown("ParcelMoved"), pytest.raises(UnknownEventType):
                other.get_events("parcel-1")
            assert [item.event for item in other.get_events("parcel-1")] == moves("a")

    def test_events_of_an_unknown_type_do_not_hinder_appends(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        store.append("crate-1", [CrateOpened(by="ann")])
        with unknown("CrateUnlocked"), open_store() as other:
            assert other.append("crate-1", moves("a"), expected_version=1).version == 2
