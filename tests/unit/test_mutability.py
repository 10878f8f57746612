"""Which types hold what can change, and events that are copied because of it."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, NewType, Optional, Union
from uuid import UUID

import pytest
from pydantic import AwareDatetime, BaseModel, Field, JsonValue, PrivateAttr, computed_field
from typing_extensions import TypeAliasType

from eventkit import Event
from eventkit.mutability import can_change, own_copy


class Colour(StrEnum):
    RED = "red"


class Point(BaseModel, frozen=True):
    x: int
    next: Optional["Point"] = None


class Path(BaseModel, frozen=True):
    points: list[Point]


class Place(BaseModel):
    name: str


class Counted(BaseModel, frozen=True):
    _times: list[int] = PrivateAttr(default_factory=list)


Name = NewType("Name", str)
Names = NewType("Names", list[str])
Alias = TypeAliasType("Alias", tuple[Name, ...])


@pytest.mark.parametrize(
    "annotation",
    [
        int, str | None, Optional[Decimal], Union[int, str], Literal["a", 1], Colour, UUID,  # noqa: UP007, UP045 - both forms are found in the wild
        datetime, AwareDatetime, Annotated[str, Field(max_length=3)], Name, Alias,
        tuple[int, str], tuple[Point, ...], frozenset[str], Point, Point | None, None,
    ],
)  # fmt: skip
def test_what_holds_only_values_that_never_change_cannot_change(annotation: Any) -> None:
    assert not can_change(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        list[int], dict[str, int], set[int], list, dict, bytearray, Any, object, JsonValue, Names,
        list[int] | None, tuple[list[int], ...], frozenset[Path], Annotated[list[int], Field()],
        Place, Place | None, Path, Counted,
    ],
)  # fmt: skip
def test_what_may_hold_a_list_or_the_like_can_change(annotation: Any) -> None:
    assert can_change(annotation)


class Drawn(Event):
    text: str
    path: Path
    colour: Colour = Colour.RED
    notes: list[str] = []  # noqa: RUF012 - each event gets its own copy

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def letters(self) -> list[str]:
        return list(self.text)


class Moved(Event):
    to: Point
    at: AwareDatetime | None = None


def test_a_copy_shares_nothing_that_can_change() -> None:
    event = Drawn(text="a b", path=Path(points=[Point(x=1)]))
    assert (event.words, event.letters) == (["a", "b"], ["a", " ", "b"])
    copied = own_copy(event)
    assert (copied, copied.words, type(copied)) == (event, event.words, Drawn)
    assert copied.model_fields_set == {"text", "path"}
    copied.path.points.clear()
    copied.notes.append("x")
    copied.words.clear()
    copied.letters.clear()
    assert event == Drawn(text="a b", path=Path(points=[Point(x=1)]))
    assert (event.words, event.letters) == (["a", "b"], ["a", " ", "b"])


def test_an_event_in_which_nothing_can_change_needs_no_copy() -> None:
    event = Moved(to=Point(x=1))
    assert own_copy(event) is event
