"""Events, their types and metadata, and what is recorded of them."""

import pickle
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from eventkit import Event, Metadata, Position, RecordedEvent
from eventkit.errors import AmbiguousEventType, InvalidInput, UnknownEventType
from eventkit.events import ALL_EVENT_TYPES, EventTypes, event_type, utc

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


class LampLit(Event):
    watts: int
    until: date | None = None


class LampDimmed(Event, event_type="LampLowered", aliases=["LampDamped"]):
    to: int


class LampBroke(LampDimmed):
    pass


class TestEvent:
    def test_an_event_never_changes(self) -> None:
        lit = LampLit(watts=5)
        with pytest.raises(ValidationError):
            lit.watts = 6  # type: ignore[misc]

    def test_events_are_equal_by_content(self) -> None:
        assert LampLit(watts=5) == LampLit(watts=5)
        assert LampLit(watts=5) != LampLit(watts=6)
        assert hash(LampLit(watts=5)) == hash(LampLit(watts=5))

    def test_an_event_refuses_fields_it_does_not_have(self) -> None:
        with pytest.raises(ValidationError, match="volts"):
            LampLit.model_validate({"watts": 5, "volts": 230})

    def test_the_class_name_is_the_type_unless_another_is_given(self) -> None:
        assert [event_type(it) for it in (LampLit, LampLit(watts=1))] == ["LampLit", "LampLit"]
        assert [event_type(it) for it in (LampDimmed, LampDimmed(to=1))] == ["LampLowered"] * 2

    def test_a_subclass_has_a_type_of_its_own(self) -> None:
        assert event_type(LampBroke) == "LampBroke"
        assert EventTypes().names(LampBroke) == ("LampBroke",)

    def test_aliases_are_a_list(self) -> None:
        with pytest.raises(InvalidInput, match=r"as \('LampOff',\)"):

            class LampOut(Event, aliases="LampOff"):
                pass


class TestEventTypes:
    def test_every_class_is_known_by_its_type_and_aliases(self) -> None:
        names = ("LampLit", "LampLowered", "LampDamped", "LampBroke")
        found = [ALL_EVENT_TYPES.resolve(name) for name in names]
        assert found == [LampLit, LampDimmed, LampDimmed, LampBroke]
        assert ALL_EVENT_TYPES.names(LampDimmed) == ("LampLowered", "LampDamped")

    def test_the_class_name_of_a_renamed_type_is_no_type(self) -> None:
        with pytest.raises(UnknownEventType, match="aliases=\\('LampDimmed',\\)"):
            ALL_EVENT_TYPES.resolve("LampDimmed")

    def test_a_type_that_nobody_reads_is_unknown(self) -> None:
        with pytest.raises(UnknownEventType) as caught:
            EventTypes().resolve("LampLit")
        assert caught.value.event_type == "LampLit"

    def test_classes_that_were_bound_come_before_those_of_the_parent(self) -> None:
        def shadow() -> type[Event]:
            class LampLit(Event):
                pass

            return LampLit

        parent, shade = EventTypes(), shadow()
        parent.bind(LampLit)
        types = EventTypes(parent)
        assert types.resolve("LampLit") is LampLit
        types.bind(shade)
        assert types.resolve("LampLit") is shade
        parent.bind(shade)
        with pytest.raises(AmbiguousEventType) as caught:
            EventTypes(parent).resolve("LampLit")
        assert caught.value.claimants == (
            f"{__name__}.LampLit",
            f"{__name__}.TestEventTypes.{shade.__qualname__.partition('.')[2]}",
        )
        del ALL_EVENT_TYPES._claims["LampLit"][caught.value.claimants[1]]

    def test_a_class_defined_again_replaces_itself(self) -> None:
        def define() -> type[Event]:
            class LampTurned(Event):
                pass

            return LampTurned

        types = EventTypes()
        first, second = define(), define()
        types.bind_all([first, second])
        assert types.resolve("LampTurned") is second

    def test_the_bound_classes_can_be_listed(self) -> None:
        types = EventTypes()
        types.bind_all([LampLit, LampDimmed, LampLit])
        assert set(types) == {LampLit, LampDimmed}


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, _moment: datetime | None) -> timedelta | None:
        return None

    dst = utcoffset

    def tzname(self, _moment: datetime | None) -> str | None:
        return None


class TestUtc:
    @pytest.mark.parametrize(
        "moment",
        [
            NOON,
            NOON.astimezone(timezone(timedelta(hours=14))),
            NOON.astimezone(timezone(timedelta(hours=-9, minutes=-30))),
        ],
    )
    def test_an_instant_is_the_same_in_every_time_zone(self, moment: datetime) -> None:
        assert (utc(moment), utc(moment).tzinfo) == (NOON, UTC)

    @pytest.mark.parametrize(
        "moment",
        [
            NOON.replace(tzinfo=None),
            NOON.replace(tzinfo=Nowhere()),
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
            datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
            "2024-02-29T12:00:00Z",
            date(2024, 2, 29),
            1709208000,
            None,
        ],
    )
    def test_what_names_no_instant_is_refused(self, moment: Any) -> None:
        with pytest.raises(InvalidInput):
            utc(moment)


class TestMetadata:
    def test_metadata_never_changes(self) -> None:
        metadata = Metadata()
        with pytest.raises(ValidationError):
            metadata.workspace_id = "acme"  # type: ignore[misc]

    @pytest.mark.parametrize(
        "values",
        [
            {"timestamp": NOON.replace(tzinfo=None)},
            {"timestamp": "yesterday"},
            {"timestamp": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))},
            {"caused_by_user": 7},
            {"caused_by_user": "\ud800"},
            {"workspace_id": "a\udfff"},
            {"extra": {"size": 3}},
            {"extra": {"\ud800": ""}},
            {"extra": {"": "\ud800"}},
            {"extra": None},
            {"user": "ann"},
        ],
    )
    def test_what_no_store_could_keep_is_refused(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Metadata.model_validate(values)

    def test_ids_may_be_uuids(self) -> None:
        uuid = UUID(int=7)
        metadata = Metadata.model_validate(
            {"causation_id": uuid, "correlation_id": uuid, "extra": {"request": uuid}}
        )
        assert metadata == Metadata(
            causation_id=str(uuid), correlation_id=str(uuid), extra={"request": str(uuid)}
        )

    def test_two_metadata_do_not_share_what_is_extra(self) -> None:
        assert Metadata().extra is not Metadata().extra


RECORDED = RecordedEvent(
    UUID(int=1),
    "lamp-1",
    3,
    "LampLit",
    LampLit(watts=5),
    Metadata(timestamp=NOON),
    Position("events", 0, 9),
)


class TestRecordedEvent:
    @pytest.mark.parametrize("name", ["version", "event", "timestamp", "anything"])
    def test_a_recorded_event_never_changes(self, name: str) -> None:
        with pytest.raises(AttributeError):
            setattr(RECORDED, name, None)
        with pytest.raises(AttributeError):
            delattr(RECORDED, name)

    def test_recorded_events_are_equal_by_all_their_parts(self) -> None:
        def copy(**changes: Any) -> RecordedEvent:
            parts = {name: getattr(RECORDED, name) for name in RecordedEvent.__match_args__}
            return RecordedEvent(**{**parts, **changes})

        assert copy() == RECORDED
        assert hash(copy()) == hash(RECORDED)
        assert copy(version=4) != RECORDED
        assert copy(metadata=Metadata(timestamp=NOON, workspace_id="a")) != RECORDED
        assert RECORDED != "lamp-1"

    def test_a_recorded_event_can_be_sent_to_another_process(self) -> None:
        assert pickle.loads(pickle.dumps(RECORDED)) == RECORDED  # noqa: S301 - our own

    def test_a_recorded_event_can_be_matched(self) -> None:
        match RECORDED:
            case RecordedEvent(version=3, event=LampLit(watts=watts)):
                assert watts == 5
            case _:
                pytest.fail("not matched")

    def test_its_text_shows_all_its_parts(self) -> None:
        text = repr(RECORDED)
        assert [name for name in RecordedEvent.__match_args__ if f"{name}=" not in text] == []

    def test_it_tells_its_time(self) -> None:
        assert RECORDED.timestamp == NOON

    def test_positions_of_a_partition_are_in_order_and_shown_short(self) -> None:
        assert Position("events", 0, 9) < Position("events", 0, 10)
        assert str(Position("events", 0, 9)) == "events/0/9"
