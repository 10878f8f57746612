"""What a snapshot would make another of."""

from functools import cached_property
from typing import Any

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
    fields: Any = {name: (annotation, ...) for name, annotation in types.items()}
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
