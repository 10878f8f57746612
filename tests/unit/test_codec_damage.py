"""Damaged bytes give an error of the codec, whatever they are, and never another one."""

from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventkit.codec import AvroCodec
from eventkit.errors import CodecError, IncompatibleSchema, UndecodableEvent
from tests.unit.codec_kit import Kept, event_class


class Colour(Enum):
    RED = "red"


class Stage(StrEnum):
    OPEN = "is open"


class Part(BaseModel):
    number: int
    text: str | None = None


class Chain(BaseModel):
    next: "Chain | None" = None
    others: list["Chain"] = []


CLASS = event_class(
    "Thing",
    a=str, b=int, c=bytes, d=datetime, e=UUID | None, f=Colour, g=Stage, h=Decimal, i=list[Part],
    j=Part | int | None, k=dict[str, date], l=dict[UUID, float], m=dict[str, Any], n=Chain | None,
)  # fmt: skip
KEPT = Kept(CLASS)
DATA = KEPT.write(
    CLASS.model_validate(
        {
            "a": "some text", "b": 77, "c": b"\x00\xff", "d": "2024-01-01T00:00:00Z",
            "e": UUID(int=5), "f": "red", "g": "is open", "h": "1.50", "i": [{"number": 1}],
            "j": {"number": 2, "text": "x"}, "k": {"a": "2024-01-01"}, "l": {UUID(int=1): 1.5},
            "m": {"x": [1, None]}, "n": {"next": {"others": [{}]}},
        }
    )
)  # fmt: skip
HEADER, BODY = DATA[:10], DATA[10:]


def decode_all_ways(codec: AvroCodec, data: bytes) -> None:
    """Decode in every way there is; an error of the codec is as good as a value."""
    for decode in (codec.decode, codec.decode_plain):
        with suppress(CodecError):
            decode("Thing", data)


def test_every_truncation_is_noticed() -> None:
    for size in range(len(DATA)):
        with pytest.raises(CodecError):
            KEPT.codec.decode("Thing", DATA[:size])
        with pytest.raises(CodecError):
            KEPT.codec.decode_plain("Thing", DATA[:size])


@given(st.binary(min_size=1, max_size=20))
def test_bytes_after_the_end_are_noticed(rest: bytes) -> None:
    with pytest.raises(UndecodableEvent, match="bytes follow the last field"):
        KEPT.codec.decode("Thing", DATA + rest)


@given(st.binary(max_size=200))
def test_random_bytes_give_no_other_error(data: bytes) -> None:
    decode_all_ways(KEPT.codec, data)


@given(st.binary(max_size=200))
def test_a_random_body_gives_no_other_error(body: bytes) -> None:
    decode_all_ways(KEPT.codec, HEADER + body)


@given(st.integers(0, len(BODY) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_no_other_error(place: int, value: int) -> None:
    body = bytearray(BODY)
    body[place] = value
    decode_all_ways(KEPT.codec, HEADER + bytes(body))


@given(st.binary(max_size=60))
def test_a_random_body_read_by_a_later_class_gives_no_other_error(body: bytes) -> None:
    later = event_class("Thing", b=float, z=(int, 1), i=list[Part], j=Part | None, g=str)
    decode_all_ways(KEPT.reader(later), HEADER + body)


def test_bytes_that_nest_without_end_are_refused() -> None:
    cls = event_class("Nested", x=Chain)
    kept = Kept(cls)
    header = kept.write(cls(x=Chain()))[:10]
    with pytest.raises(UndecodableEvent, match="nested too deeply"):
        kept.codec.decode("Nested", header + b"\x00" * 0 + b"\x02" * 100_000)


def test_the_error_names_type_fingerprint_and_reason() -> None:
    with pytest.raises(UndecodableEvent) as caught:
        KEPT.codec.decode("Thing", DATA[:-1])
    assert caught.value.event_type == "Thing"
    assert caught.value.fingerprint == DATA[2:10].hex()
    assert caught.value.reason


def test_a_text_that_is_no_value_is_refused_by_its_field() -> None:
    cls = event_class("Thing", x=Decimal)
    kept = Kept(cls)
    data = kept.write(cls(x=Decimal("1.5"))).replace(b"1.5", b"abc")
    with pytest.raises(IncompatibleSchema, match="field x"):
        kept.codec.decode("Thing", data)
