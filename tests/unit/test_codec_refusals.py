"""What cannot be kept exactly is refused, with a word on what to write instead."""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeAliasType, TypedDict

from eventkit.codec.binary import MAX_DEPTH
from eventkit.errors import UnencodableEvent, UnsupportedType
from eventkit.events import Event
from tests.unit.codec_kit import Kept, event_class

T = TypeVar("T")


class Shape(BaseModel):
    size: int


class Round(Shape):
    radius: int


class Empty(BaseModel):
    pass


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Loose(BaseModel):
    model_config = ConfigDict(use_enum_values=True)


class Box(BaseModel, Generic[T]):
    content: T


class Mixed(Enum):
    ONE = 1
    TWO = "two"


Endless = TypeAliasType("Endless", "list[Endless]")


class Number(Enum):
    ONE = "one"


class Pair(NamedTuple):
    one: int


class Typed(TypedDict):
    one: int


@dataclasses.dataclass
class Data:
    one: int


class Chain(BaseModel):
    next: "Chain | None" = None


UNSUPPORTED = {
    "set without item type": (set, "write list, set, tuple, dict or a pydantic model"),
    "abstract type": (Sequence[int], "write list, set, tuple, dict or a pydantic model"),
    "items that are nothing": (list[None], "write an int"),
    "items without fields": (list[Empty], "write an int"),
    "tuple of several types": (tuple[int, str], "write a model with a named field for each"),
    "named tuple": (Pair, "write it as a pydantic model"),
    "typed dict": (Typed, "write it as a pydantic model"),
    "dataclass": (Data, "write it as a pydantic model"),
    "two texts": (str | UUID, "wrap one of them in a model"),
    "two numbers": (int | datetime, "wrap one of them in a model"),
    "two lists": (list[int] | list[str], "wrap one of them in a model"),
    "two lists, one of anything": (list[int] | list[Any], "wrap one of them in a model"),
    "callable": (Callable[[int], int], "write list, set, tuple, dict or a pydantic model"),
    "enum of several types": (Mixed, "neither all text nor all whole numbers"),
    "model with any field": (Open, "give them one"),
    "model with enum values": (Loose, "leave it out"),
    "type variable": (Box, "write the parameter"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_type_that_cannot_be_kept_is_refused_with_advice(name: str) -> None:
    annotation, advice = UNSUPPORTED[name]
    with pytest.raises(UnsupportedType) as caught:
        Kept().codec.schema_of(event_class("Refused", x=annotation))
    assert advice in caught.value.reason


def test_the_field_of_an_unsupported_type_is_named() -> None:
    with pytest.raises(UnsupportedType) as caught:
        Kept().codec.schema_of(event_class("Refused", fine=int, wrong=tuple[int, str]))
    assert caught.value.type_name == "Refused.wrong: tuple[int, str]"


def test_a_field_name_that_is_no_avro_name_is_refused() -> None:
    with pytest.raises(UnsupportedType, match=r"Refused\.größe"):
        Kept().codec.schema_of(event_class("Refused", größe=int))


def test_an_alias_that_holds_itself_is_refused() -> None:
    cls = event_class("Refused", x=Endless)
    with pytest.raises(UnsupportedType, match=r"Refused\.x"):
        Kept().codec.schema_of(cls)


def test_a_class_that_is_not_complete_is_refused() -> None:
    class Unfinished(Event):
        other: "NowhereDefined"  # type: ignore[name-defined]  # noqa: F821 - that is the case

    with pytest.raises(UnsupportedType, match="not defined"):
        Kept().codec.schema_of(Unfinished)


nested_list: Any = []
for _ in range(200):
    nested_list = [nested_list]

UNENCODABLE: dict[str, tuple[Any, Any, str]] = {
    "64 bits exceeded": (int, 2**63, "field x: 9223372036854775808 does not fit in 64 bits"),
    "64 bits exceeded below": (int | None, -(2**63) - 1, "does not fit in 64 bits"),
    "64 bits exceeded in a union": (int | str, 2**63, "field x: 9223372036854775808 does not fit"),
    "64 bits exceeded in a list": (list[int], [1, 2**70], "field x.1: "),
    "naive datetime": (datetime, datetime(2024, 1, 1), "has no time zone"),  # noqa: DTZ001 - that is the case
    "naive optional datetime": (datetime | None, datetime(2024, 1, 1), "has no time zone"),  # noqa: DTZ001
    "datetime beyond UTC": (
        datetime,
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        "OverflowError",
    ),
    "aware time": (time, time(1, tzinfo=UTC), "has a time zone"),
    "long timedelta": (timedelta, timedelta.max, "64 bits of microseconds"),
    "half a character": (str, "a\ud800", "field x: 'a\\ud800' holds half a character"),
    "half a character in JSON": (dict[str, Any], {"a": "\ud800"}, "holds half a character"),
    "not a number in JSON": (Any, [float("nan")], "not JSON compliant"),
    "tuple in JSON": (Any, {"a": (1, 2)}, "is no JSON"),
    "number as key in JSON": (Any, {1: 2}, "the key 1 is no text"),
    "deep JSON": (Any, nested_list, "nested more than 100 levels"),
    "subclass of a model": (Shape, Round(size=1, radius=2), "it holds a Round"),
    "subclass of a model in a union": (Shape | Empty, Round(size=1, radius=2), "it holds a Round"),
    "secret": (pydantic.SecretStr, pydantic.SecretStr("x"), "does not come back"),
}


@pytest.mark.parametrize("name", UNENCODABLE)
def test_a_value_that_cannot_be_kept_is_refused(name: str) -> None:
    annotation, value, reason = UNENCODABLE[name]
    event = event_class("Refused", x=annotation)(x=value)
    with pytest.raises(UnencodableEvent) as caught:
        Kept().write(event)
    assert caught.value.event_type == "Refused"
    assert reason in caught.value.reason
    assert caught.value.reason.startswith("field x")


UNCHECKED: dict[str, tuple[Any, Any]] = {
    "float for int": (int, 1.5),
    "bool for int": (int, True),
    "text for int": (int, "1"),
    "None for text": (str, None),
    "number for bool": (bool, 1),
    "text for float": (float, "1.5"),
    "inexact float": (float, 2**60 + 1),
    "text for UUID": (UUID, "x"),
    "datetime for date": (date, datetime(2024, 1, 1, tzinfo=UTC)),
    "text for enum": (Number, "one"),
    "text for datetime": (pydantic.AwareDatetime, "2024-01-01"),
    "list for tuple": (tuple[int, ...], [1]),
    "list for set": (set[int], [1]),
    "text for list": (list[str], "abc"),
    "keys that are no text": (dict[str, int], {1: 1}),
    "dict for model": (Shape, {"size": 1}),
    "list for dict": (dict[str, int], [1]),
    "list for dict by number": (dict[int, int], [1]),
    "list for JSON object": (dict[str, Any], [1]),
    "moment with a zone": (pydantic.NaiveDatetime, datetime(2024, 1, 1, tzinfo=UTC)),
    "bool for bytes": (bytes, False),
    "value of no member": (int | str, 1.5),
    "bool in a union of int": (int | str, True),
}


@pytest.mark.parametrize("name", UNCHECKED)
def test_a_value_that_escaped_validation_is_refused_when_it_is_written(name: str) -> None:
    annotation, value = UNCHECKED[name]
    with pytest.raises(UnencodableEvent, match="field x"):
        Kept().write(event_class("Refused", x=annotation).model_construct(x=value))


def chain(levels: int) -> Any:
    """Return an event with a model that is nested so many times."""
    link = Chain()
    for _ in range(levels - 1):
        link = Chain(next=link)
    return event_class("Deep", x=Chain)(x=link)


def test_models_may_nest_to_a_depth() -> None:
    event = chain(MAX_DEPTH - 1)
    assert Kept().back(event) == event


@pytest.mark.parametrize("levels", [MAX_DEPTH, 400])
def test_models_that_nest_deeper_are_refused(levels: int) -> None:
    with pytest.raises(UnencodableEvent, match="nested"):
        Kept().write(chain(levels))


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(UnencodableEvent, match="field x: it has no value"):
        Kept().write(event_class("Refused", x=int).model_construct())


def test_a_wrong_value_is_refused_after_right_ones_too() -> None:
    kept, cls = Kept(), event_class("Refused", x=int, y=str)
    kept.write(cls(x=1, y="a"))
    with pytest.raises(UnencodableEvent, match="field x"):
        kept.write(cls(x=1, y="a").model_copy(update={"x": 1.5}))


@pytest.mark.parametrize(("annotation", "default"), [(float, 0), (Decimal, 0), (float | None, 1)])
def test_a_whole_number_as_default_of_another_number_is_written(
    annotation: Any, default: int
) -> None:
    event = event_class("Defaulted", x=(annotation, default))()
    assert Kept().back(event) == event
