"""Events that are read equal those that validation would make, in every respect."""

import copy
import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr

from eventkit.events import Event
from tests.unit.codec_kit import Kept


class Part(BaseModel):
    number: int
    tags: tuple[str, ...] = ()


class Flat(Event):
    title: str
    count: int
    ratio: float = 0.5
    done: bool = False
    note: str | None = None


class Nested(Event):
    part: Part
    parts: tuple[Part, ...] = ()
    _cache: dict[str, Any] = PrivateAttr(default_factory=dict)


KEPT = Kept(Flat, Nested)
parts = st.builds(Part, number=st.integers(0, 9), tags=st.lists(st.text(max_size=3)).map(tuple))
flats = st.builds(
    Flat,
    title=st.text(),
    count=st.integers(-(2**63), 2**63 - 1),
    ratio=st.floats(allow_nan=False),
    done=st.booleans(),
    note=st.none() | st.text(),
)
nesteds = st.builds(Nested, part=parts, parts=st.lists(parts, max_size=3).map(tuple))


@given(flats | nesteds)
def test_a_decoded_event_is_what_validation_makes(event: Event) -> None:
    decoded = KEPT.back(event)
    validated = type(event).model_validate(event.model_dump())
    assert decoded == validated == event
    assert decoded.__dict__ == validated.__dict__
    assert decoded.__pydantic_extra__ == validated.__pydantic_extra__
    assert decoded.__pydantic_private__ == validated.__pydantic_private__
    assert decoded.model_fields_set == validated.model_fields_set
    assert repr(decoded) == repr(validated)


@given(flats)
def test_a_decoded_event_hashes_as_the_one_that_was_written(event: Flat) -> None:
    assert hash(KEPT.back(event)) == hash(event)


@given(flats | nesteds)
def test_a_decoded_event_can_be_dumped_and_copied(event: Event) -> None:
    decoded = KEPT.back(event)
    assert decoded.model_dump() == event.model_dump()
    assert decoded.model_dump_json() == event.model_dump_json()
    assert decoded.model_copy() == event
    assert decoded.model_copy(deep=True) == event
    assert copy.deepcopy(decoded) == event
    assert pickle.loads(pickle.dumps(decoded)) == event  # noqa: S301 - pickled a moment ago


def test_decoded_events_share_nothing() -> None:
    event = Nested(part=Part(number=1))
    one, other = KEPT.back(event), KEPT.back(event)
    one._cache["key"] = 1
    one.model_fields_set.clear()
    assert (other._cache, other.model_fields_set) == ({}, {"part", "parts"})


def test_a_decoded_event_is_frozen() -> None:
    decoded = KEPT.back(Flat(title="x", count=1))
    try:
        decoded.title = "y"  # type: ignore[misc]
    except ValueError as error:
        assert "frozen" in str(error)  # noqa: PT017 - pydantic's own error, not ours
    assert decoded.title == "x"
