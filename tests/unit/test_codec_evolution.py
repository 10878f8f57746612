"""Every event ever written stays readable, whatever became of its class since."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import pytest
from pydantic import AliasChoices, BaseModel, Field

from eventkit.errors import IncompatibleSchema, UnknownEventType, UnknownSchema
from eventkit.events import Event
from tests.unit.codec_kit import Kept, event_class


class Circle(BaseModel):
    size: float


class Disc(BaseModel):
    size: float


class Stage(StrEnum):
    OPEN = "open"
    DONE = "done"


class Renamed(Enum):
    OPEN = "open"


class Level(IntEnum):
    LOW = 1


def read_as(later: type[Event], event: Event) -> Any:
    """Write an event, and read it as the class of a later program."""
    kept = Kept()
    data = kept.write(event)
    return kept.reader(later).decode("Thing", data)


def thing(**fields: Any) -> Any:
    """Return a class of the recorded type Thing."""
    return event_class("Thing", **fields)


def test_a_field_that_was_added_gets_its_default() -> None:
    later = thing(a=int, b=(str, "new"), c=(list[int], Field(default_factory=list)))
    assert read_as(later, thing(a=int)(a=1)) == later(a=1)


def test_a_default_counts_as_not_set() -> None:
    later = thing(a=int, b=(str, "new"))
    assert read_as(later, thing(a=int)(a=1)).model_fields_set == {"a"}


def test_each_event_gets_a_default_of_its_own() -> None:
    kept, later = Kept(), thing(a=int, b=(list[int], []))
    data, reader = kept.write(thing(a=int)(a=1)), kept.reader(later)
    changed: Any = reader.decode("Thing", data)
    changed.b.append(1)
    assert reader.decode("Thing", data) == later(a=1, b=[])


def test_a_default_may_be_made_of_earlier_fields() -> None:
    later = thing(a=int, b=(int, Field(default_factory=lambda data: data["a"] * 2)))
    assert read_as(later, thing(a=int)(a=4)) == later(a=4, b=8)


def test_a_validated_default_obeys_its_constraints() -> None:
    later = thing(a=int, b=(int, Field(-1, gt=0, validate_default=True)))
    with pytest.raises(IncompatibleSchema, match="greater than 0"):
        read_as(later, thing(a=int)(a=4))


def test_a_default_is_validated_where_the_class_says_so() -> None:
    later = thing(a=int, b=(int, Field("5", validate_default=True)))
    assert read_as(later, thing(a=int)(a=4)) == later(a=4, b=5)


def test_a_field_that_was_removed_is_dropped() -> None:
    later = thing(a=int)
    assert read_as(later, thing(a=int, b=str)(a=1, b="x")) == later(a=1)


def test_fields_may_change_places() -> None:
    later = thing(b=str, a=int)
    back = read_as(later, thing(a=int, b=str)(a=1, b="x"))
    assert list(back.model_dump()) == ["b", "a"]


def test_a_renamed_field_is_found_by_its_alias() -> None:
    later = thing(title=(str, Field(validation_alias=AliasChoices("title", "name"))))
    assert read_as(later, thing(name=str)(name="x")).title == "x"


def test_an_alias_does_not_take_what_another_field_has() -> None:
    later = thing(a=(int, Field(5, alias="b")), b=int)
    assert read_as(later, thing(b=int)(b=1)).model_dump() == {"a": 5, "b": 1}


@pytest.mark.parametrize(
    ("before", "value", "after", "expected"),
    [
        (int, 3, float, 3.0),
        (int, 3, Decimal, Decimal(3)),
        (int, 1, Level, Level.LOW),
        (int, 3, int | None, 3),
        (int, 3, str | int, 3),
        (int, 3, float | None, 3.0),
        (str, "x", str | int | None, "x"),
        (int | None, 3, int, 3),
        (bool | str, "x", str, "x"),
        (UUID, UUID(int=1), str, str(UUID(int=1))),
        (Stage, Stage.OPEN, str, "open"),
        (Stage, Stage.OPEN, Renamed, Renamed.OPEN),
        (Level, Level.LOW, int, 1),
        (list[int], [1, 2], list[float], [1.0, 2.0]),
        (list[int], [1, 2], tuple[int, ...], (1, 2)),
        (set[int], {1}, list[int], [1]),
        (dict[str, int], {"a": 1}, dict[str, float], {"a": 1.0}),
        (Circle, Circle(size=1), Circle | Disc, Circle(size=1)),
        (Circle | Disc, Disc(size=1), Disc | Circle | str, Disc(size=1)),
        (Circle | Disc, Disc(size=1), Disc, Disc(size=1)),
        (Circle | None, Circle(size=1), Disc | None, Disc(size=1)),
    ],
)
def test_a_type_may_widen(before: Any, value: Any, after: Any, expected: Any) -> None:
    # A second field that comes and goes gives the two a fingerprint each.
    back = read_as(thing(x=after), thing(x=before, y=int)(x=value, y=1))
    assert back.x == expected
    assert type(back.x) is type(expected)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (int, 3, datetime),
        (int, 3, timedelta),
        (timedelta, timedelta(1), int),
        (datetime, datetime(2024, 1, 1, tzinfo=UTC), str),
        (int, 3, str),
        (int, 2**60 + 1, float),
        (float, 1.5, int),
        (int | None, None, int),
        (str, "no such", Stage),
        (str, "x", UUID),
        (str, "5", Any),
        (list[int], [1, 1], set[int]),
        (list[int], [1], tuple[int, int]),
        (list[int], [1], dict[str, int]),
        (dict[str, int], {"a": 1}, list[int]),
        (dict[str, int], {"a": 1}, dict[UUID, int]),
        (dict[UUID, int], {UUID(int=1): 1}, dict[str, int]),
        (Circle, Circle(size=1), str),
        (Circle | Disc, Circle(size=1), Disc),
        (Circle | Disc, Circle(size=1), Disc | None),
        (str, "x", Circle),
        (int, 1, Stage),
        (int, 1, IPv4Address),
        (float, 1.5, dict[str, Any]),
    ],
)
def test_a_type_that_changed_its_meaning_is_refused(before: Any, value: Any, after: Any) -> None:
    with pytest.raises(IncompatibleSchema, match="field x: ") as caught:
        read_as(thing(x=after), thing(x=before, y=int)(x=value, y=1))
    assert caught.value.event_type == "Thing"


def test_only_the_value_that_no_longer_fits_is_refused() -> None:
    kept, later = Kept(), thing(x=int)
    cls = thing(x=int | None, y=int)
    present, missing = kept.write(cls(x=1, y=1)), kept.write(cls(x=None, y=1))
    reader = kept.reader(later)
    assert reader.decode("Thing", present) == later(x=1)
    with pytest.raises(IncompatibleSchema):
        reader.decode("Thing", missing)


def test_a_new_field_without_default_is_refused_by_name() -> None:
    kept = Kept()
    data = kept.write(thing(a=int)(a=1))
    with pytest.raises(IncompatibleSchema) as caught:
        kept.reader(thing(a=int, owner=str)).decode("Thing", data)
    assert caught.value.event_type == "Thing"
    assert caught.value.fingerprint == data[2:10].hex()
    assert caught.value.reason == "field owner: it was not written then and has no default now"


def test_nested_models_change_like_events() -> None:
    before = event_class("Part", a=int, gone=str)
    after = event_class("Part", a=float, new=(int, 7))
    later = thing(parts=list[after], one=after | None)  # type: ignore[valid-type]
    old = thing(parts=list[before], one=before | None)  # type: ignore[valid-type]
    part = before(a=1, gone="x")
    expected = later(parts=[after(a=1.0)], one=after(a=1.0))
    assert read_as(later, old(parts=[part], one=part)) == expected


def test_a_nested_field_without_default_is_refused_by_its_path() -> None:
    before, after = event_class("Part", a=int), event_class("Part", a=int, b=int)
    old = thing(part=before)
    with pytest.raises(IncompatibleSchema, match=r"field part\.b: "):
        read_as(thing(part=after), old(part=before(a=1)))


def test_a_renamed_class_reads_its_old_type_by_an_alias() -> None:
    class TaskAdded(Event, aliases=("TaskCreated",)):
        title: str

    kept = Kept()
    data = kept.write(event_class("TaskCreated", title=str)(title="x"))
    assert kept.reader(TaskAdded).decode("TaskCreated", data) == TaskAdded(title="x")


def test_a_renamed_class_may_go_on_writing_its_old_type() -> None:
    class TaskAdded(Event, event_type="TaskCreated"):
        title: str

    old = event_class("TaskCreated", title=str)
    assert Kept().write(TaskAdded(title="x")) == Kept().write(old(title="x"))


def test_an_unknown_type_is_named() -> None:
    kept = Kept()
    data = kept.write(thing(a=int)(a=1))
    with pytest.raises(UnknownEventType) as caught:
        kept.reader().decode("Thing", data)
    assert caught.value.event_type == "Thing"


@pytest.mark.parametrize("decode", ["decode", "decode_plain"])
def test_an_unknown_fingerprint_is_named(decode: str) -> None:
    data = Kept().write(thing(a=int)(a=1))
    with pytest.raises(UnknownSchema) as caught:
        getattr(Kept().reader(thing(a=str)), decode)("Thing", data)
    assert (caught.value.fingerprint, caught.value.event_type) == (data[2:10].hex(), "Thing")


def test_a_schema_that_comes_late_is_found() -> None:
    writer, later = Kept(), thing(a=float)
    data = writer.write(thing(a=int)(a=1))
    empty = Kept()
    reader = empty.reader(later)
    with pytest.raises(UnknownSchema):
        reader.decode("Thing", data)
    empty.schemas.update(writer.schemas)
    assert reader.decode("Thing", data) == later(a=1.0)


def test_a_class_defined_again_reads_with_its_new_form() -> None:
    kept = Kept(thing(a=int))
    data = kept.write(thing(a=int)(a=1))
    assert kept.codec.decode("Thing", data).model_dump() == {"a": 1}
    kept.types.bind(thing(a=int, b=(int, 2)))
    assert kept.codec.decode("Thing", data).model_dump() == {"a": 1, "b": 2}


def test_history_is_not_validated_again() -> None:
    later = thing(a=(int, Field(gt=100)), b=(int, 0))
    assert read_as(later, thing(a=int)(a=1)).a == 1
