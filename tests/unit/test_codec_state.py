"""States of aggregates: kept exactly, and ignored as soon as their model is another one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, create_model

from eventkit.codec import AvroCodec
from eventkit.errors import UnencodableEvent, UnsupportedType
from eventkit.events import EventTypes
from tests.unit.codec_kit import Kept

CODEC = Kept().codec


def state(**fields: Any) -> type[BaseModel]:
    """Return the model of a state."""
    return create_model("LoanState", **fields)


LOAN = state(
    amount=(Decimal, ...),
    due=(datetime | None, None),
    lines=(dict[UUID, int], {}),
    free=(Any, None),
    seen=(set[str], set()),
)
VALUES = {
    "amount": Decimal("1.50"),
    "due": datetime(2024, 1, 1, tzinfo=UTC),
    "lines": {UUID(int=1): 2},
    "free": {"a": [1]},
    "seen": {"x"},
}


def test_a_state_comes_back() -> None:
    assert CODEC.decode_state(LOAN, CODEC.encode_state(LOAN, VALUES)) == VALUES


def test_a_field_that_no_event_has_set_stays_away() -> None:
    values: dict[str, Any] = {"due": None, "lines": {}, "free": None, "seen": set()}
    assert CODEC.decode_state(LOAN, CODEC.encode_state(LOAN, values)) == values


def test_a_required_field_of_any_type_may_be_absent() -> None:
    model = state(free=(Any, ...), optional=(int | None, ...))
    for values in ({}, {"free": None, "optional": None}, {"free": "x", "optional": 5}):
        assert CODEC.decode_state(model, CODEC.encode_state(model, values)) == values


@pytest.mark.parametrize(
    "other",
    [
        state(amount=(Decimal, ...)),
        state(amount=(int, ...), due=(datetime | None, None)),
    ],
)
def test_the_state_of_another_model_is_ignored(other: type[BaseModel]) -> None:
    assert CODEC.decode_state(other, CODEC.encode_state(LOAN, VALUES)) is None


@pytest.mark.parametrize(
    ("before", "after"), [(int, timedelta), (timedelta, int), (timedelta, datetime)]
)
def test_a_state_whose_meaning_changed_is_ignored(before: Any, after: Any) -> None:
    values = {"x": 5 if before is int else timedelta(seconds=5)}
    data = CODEC.encode_state(state(x=(before, ...)), values)
    assert CODEC.decode_state(state(x=(after, ...)), data) is None


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda _: b""]
)
def test_a_damaged_state_is_ignored(change: Any) -> None:
    assert CODEC.decode_state(LOAN, change(CODEC.encode_state(LOAN, VALUES))) is None


def test_a_state_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(UnencodableEvent, match="LoanState cannot be written: field amount"):
        CODEC.encode_state(LOAN, {**VALUES, "amount": "1.50"})
    with pytest.raises(UnsupportedType, match=r"LoanState\.x"):
        CODEC.encode_state(state(x=(tuple[int, str], ...)), {})


def test_the_schema_of_a_state_can_be_kept_in_the_store() -> None:
    schema = CODEC.state_schema_of(LOAN)
    data = CODEC.encode_state(LOAN, VALUES)
    reader = AvroCodec(EventTypes(), {schema.fingerprint: schema.json}.get)
    assert reader.decode_plain("LoanState", data)["amount"] == "1.50"
