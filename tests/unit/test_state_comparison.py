"""What a snapshot would make another of."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, PrivateAttr, create_model

from eventkit.codec import AvroCodec
from eventkit.state_comparison import loss
from tests.unit.codec_kit import Kept

CODEC: AvroCodec = Kept().codec


class Line(BaseModel):
    sku: str = "a"
    tags: list[str] = []
    _seen: list[str] = PrivateAttr(default_factory=list)


class Sku(BaseModel, frozen=True):
    text: str = "a"

    @cached_property
    def letters(self) -> str:
        return self.text.upper()


class Box(BaseModel, frozen=True):
    lines: list[Line] = []


def loss_of(values: dict[str, Any], **types: Any) -> str | None:
    """Return what the codec makes another of, in a state with fields of these types."""
    fields: Any = {name: (annotation, None) for name, annotation in types.items()}
    model = create_model("State", **fields)
    back = CODEC.decode_state(model, CODEC.encode_state(model, values))
    assert back is not None
    return loss(values, back)


def test_a_state_of_separate_parts_comes_back_as_it_is() -> None:
    values = {"lines": [Line(), Line()], "names": ["a"], "others": ["a"], "sets": {"x": {1, 2}}}
    assert loss_of(
        values, lines=list[Line], names=list[str], others=list[str], sets=dict[str, set[int]]
    ) is None  # fmt: skip


def test_what_cannot_change_may_be_in_many_places() -> None:
    sku, pair, text = Sku(), (1, 2), "long"
    assert sku.letters == "A"
    values = {"one": sku, "many": [sku, sku], "pairs": [pair, pair], "texts": [text, text]}
    assert loss_of(
        values, one=Sku, many=list[Sku], pairs=list[tuple[int, ...]], texts=list[str]
    ) is None  # fmt: skip


LIST: list[str] = []
LINE = Line()
BOX = Box(lines=[LINE])


@pytest.mark.parametrize(
    ("values", "types", "expected"),
    [
        ({"a": LIST, "b": LIST}, {"a": list[str], "b": list[str]}, "one list is in 'a' and in 'b'"),
        ({"a": [LIST, LIST]}, {"a": list[list[str]]}, "one list is twice in 'a'"),
        ({"a": {"x": LIST, "y": LIST}}, {"a": dict[str, list[str]]}, "one list is twice in 'a'"),
        ({"a": [(LIST,), (LIST,)]}, {"a": list[tuple[list[str], ...]]}, "one list is twice"),
        ({"a": {1: LINE, 2: LINE}}, {"a": dict[int, Line]}, "one Line is twice in 'a'"),
        ({"a": LINE, "b": BOX}, {"a": Line, "b": Box}, "one Line is in 'a' and in 'b'"),
        ({"a": BOX, "b": BOX}, {"a": Box, "b": Box}, "one list is in 'a' and in 'b'"),
        ({"a": {"x": LIST}, "b": LIST}, {"a": Any, "b": list[str]}, "one list is in 'a' and in"),
    ],
)
def test_one_object_in_two_places_would_be_two(
    values: dict[str, Any], types: dict[str, Any], expected: str
) -> None:
    found = loss_of(values, **types)
    assert found is not None
    assert found.startswith(expected)
    assert "keep a copy" in found
    assert ("or freeze Line" in found) == ("one Line" in expected)


def test_a_private_attribute_would_be_lost() -> None:
    line = Line()
    assert loss_of({"line": line}, line=Line) is None
    line._seen.append("x")
    found = loss_of({"lines": [line]}, lines=list[Line])
    assert found == (
        "'lines' holds a Line with the private attribute '_seen', which a snapshot does not keep; "
        "make it a field"
    )


def test_a_private_attribute_may_share_what_a_field_holds() -> None:
    line = Line()
    line.tags = line._seen
    assert "one list is twice in 'line'" in str(loss_of({"line": line}, line=Line))


class Status(StrEnum):
    OPEN = "open"


class Level(IntEnum):
    LOW = 1


class Size(Enum):
    SMALL = "small"


class Money(BaseModel):
    amount: Decimal = Decimal(0)


NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (4, int), (4.0, float), (-0.0, float), (float("nan"), float), (float("inf"), float),
        (Decimal("1.50"), Decimal), (Decimal("NaN"), Decimal), ("a", str), (Status.OPEN, Status),
        (Level.LOW, Level), (Size.SMALL, Size), (NOON, datetime), (time(1, 2), time), (b"a", bytes),
        (NOON.replace(tzinfo=ZoneInfo("UTC")), datetime), (date(2024, 2, 29), date),
        (timedelta(1), timedelta), (UUID(int=1), UUID), (IPv4Address("10.0.0.1"), IPv4Address),
        ({1, 2, 3}, set[int]), ({"b": 1, "a": 2}, dict[str, int]), ((1, 2), tuple[int, ...]),
        ({"a": [1, 1.0, None, True]}, Any),
        ({(1, 2): [NOON]}, dict[tuple[int, ...], list[datetime]]),
        (frozenset({Sku(text="a"), Sku(text="b")}), frozenset[Sku]),
        (Money(amount=Decimal("1.50")), Money),
    ],
)  # fmt: skip
def test_values_of_the_type_of_their_field_come_back_as_they_are(
    value: Any, annotation: Any
) -> None:
    assert loss_of({"a": value}, a=annotation) is None


@pytest.mark.parametrize(
    ("value", "annotation", "words"),
    [
        (4, float, "4 (int) in 'a' would become 4.0 (float)"),
        (0, Decimal, "0 (int) in 'a' would become Decimal('0') (Decimal)"),
        (Status.OPEN, str, "<Status.OPEN: 'open'> (Status) in 'a' would become 'open' (str)"),
        (Level.LOW, int, "<Level.LOW: 1> (Level) in 'a' would become 1 (int)"),
        ([1.0, 2], list[float], "2 (int) in 'a' would become 2.0 (float)"),
        ({"x": 2}, dict[str, float], "2 (int) in 'a' would become 2.0 (float)"),
        ({2: "x"}, dict[float, str], "2 (int) in 'a' would become 2.0 (float)"),
        ({2}, set[float], "2 (int) in 'a' would become 2.0 (float)"),
        (2, float | None, "2 (int) in 'a' would become 2.0 (float)"),
        (
            Money.model_validate({}).model_copy(update={"amount": 1}),
            Money,
            "1 (int) in 'a' would become Decimal('1')",
        ),
    ],
)
def test_a_value_would_become_one_of_another_type(value: Any, annotation: Any, words: str) -> None:
    found = loss_of({"a": value}, a=annotation)
    assert found is not None
    assert found.startswith(words)
    assert found.endswith(
        "; set values of the very type of the field, or type the field as they are"
    )


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=2)), ZoneInfo("Europe/London")])
def test_a_moment_would_lose_its_time_zone(zone: Any) -> None:
    found = loss_of({"a": NOON.astimezone(zone)}, a=datetime)
    assert found is not None
    assert found.endswith("; keep it in UTC")


def test_what_does_not_come_back_at_all_is_a_loss() -> None:
    assert "1 (int) in 'a' would become nothing" in str(loss({"a": 1}, {}))
    assert "[1] (list) in 'a' would become [] (list)" in str(loss({"a": [1]}, {"a": []}))
    assert "would become" in str(loss({"a": {1}}, {"a": {2}}))


class Rude:
    def __repr__(self) -> str:
        raise ZeroDivisionError("rude")


def test_values_that_cannot_be_compared_are_a_loss() -> None:
    assert loss({"a": Rude()}, {"a": Rude()}) == "it could not be compared: ZeroDivisionError: rude"
