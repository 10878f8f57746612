"""Schemas and fingerprints: what names a schema, and what it is not told apart by."""

import json
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from eventkit.codec import AvroSchema, check_same_meaning, fingerprint_of
from eventkit.codec.names import avro_full_name, avro_name, is_avro_name
from eventkit.errors import CodecError, IncompatibleSchema, UnsupportedType
from eventkit.events import Event
from tests.unit.codec_kit import Kept, event_class

RECORD = '{"type": "record", "name": "foo", "fields": [{"name": "f1", "type": "boolean"}]}'


def schema_of(cls: type[BaseModel]) -> AvroSchema:
    """Return the schema of a class."""
    return Kept().codec.schema_of(cls)


def body(cls: type[BaseModel]) -> Any:
    """Return the schema of a class as JSON."""
    return json.loads(schema_of(cls).json)


# From the test data of the Avro project (share/test/data/schema-tests.txt): canonical form, signed.
VECTORS = {
    RECORD: 7843277075252814651,
    '{"type":"record", "name":"foo", "fields":[{"name":"f1", "type":"boolean"},'
    '{"name":"f2", "type":"int"}]}': -4860222112080293046,
}


@pytest.mark.parametrize("schema", VECTORS)
def test_a_fingerprint_is_that_of_the_avro_project(schema: str) -> None:
    expected = VECTORS[schema].to_bytes(8, "little", signed=True)
    assert AvroSchema.of(schema).fingerprint == expected


def test_a_record_begins_with_the_marker_and_its_fingerprint() -> None:
    kept, cls = Kept(), event_class("Thing", a=int)
    data = kept.write(cls(a=-1))
    assert data == b"\xc3\x01" + kept.codec.schema_of(cls).fingerprint + b"\x01"
    assert fingerprint_of(data) == kept.codec.schema_of(cls).fingerprint


@pytest.mark.parametrize("data", [b"", b"\xc3", b"\xc3\x01" + b"x" * 7, b"{}" + b"x" * 20])
def test_other_bytes_have_no_fingerprint(data: bytes) -> None:
    with pytest.raises(CodecError, match=f"{len(data)} bytes"):
        fingerprint_of(data)


@pytest.mark.parametrize("text", ["", "{", "5", '{"type":"record"}', '"string"'])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(CodecError, match="not an Avro schema"):
        AvroSchema.of(text)


def test_a_schema_is_what_its_json_says() -> None:
    schema = schema_of(event_class("Thing", a=(str | None, None)))
    assert AvroSchema.of(schema.json) == schema


def test_the_name_and_documentation_of_a_class_are_in_its_schema() -> None:
    class TaskCreated(Event):
        """Somebody wants something done.

        Not for recurring ones.
        """

        title: str = Field(description="What is to be done.")
        due: datetime | None = None

    assert body(TaskCreated) == {
        "type": "record",
        "name": "TaskCreated",
        "doc": "Somebody wants something done.",
        "fields": [
            {"name": "title", "doc": "What is to be done.", "type": "string"},
            {
                "name": "due",
                "doc": "due of TaskCreated (no description given)",
                "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}],
                "default": None,
            },
        ],
    }


def test_defaults_are_in_the_schema_as_avro_wants_them() -> None:
    class Part(BaseModel):
        number: int

    class Colour(Enum):
        RED = "red"

    cls = event_class(
        "Defaulted",
        moment=(datetime, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        duration=(timedelta, timedelta(milliseconds=1)),
        raw=(bytes, b"\xff"),
        part=(Part, Part(number=3)),
        parts=(list[Part], [Part(number=4)]),
        colour=(Colour | None, Colour.RED),
        second=(str | int, 5),
        numbers=(dict[str, float], {"a": 1.5}),
        made=(list[int], Field(default_factory=list)),
    )
    defaults = {field["name"]: field["default"] for field in body(cls)["fields"]}
    assert defaults == {
        "moment": 1_000_000,
        "duration": 1_000,
        "raw": "ÿ",
        "part": {"number": 3},
        "parts": [{"number": 4}],
        "colour": "red",
        "second": 5,
        "numbers": {"a": 1.5},
        "made": [],
    }


@pytest.mark.parametrize(
    "default",
    [
        (float, float("nan")),
        (str, None),
        (int, Field(default_factory=lambda: 5)),
    ],
)
def test_a_default_that_json_cannot_say_is_left_out(default: Any) -> None:
    assert "default" not in body(event_class("Thing", x=default))["fields"][0]


def test_a_default_stands_first_in_its_union() -> None:
    cls = event_class("Thing", a=(int | str, "x"), b=int | str)
    assert [field["type"] for field in body(cls)["fields"]] == [
        ["string", "long"],
        ["long", "string"],
    ]


def test_an_enum_has_no_default_symbol() -> None:
    class Colour(Enum):
        RED = "red"

    assert "default" not in body(event_class("Thing", c=Colour))["fields"][0]["type"]


def test_documentation_and_defaults_do_not_change_the_fingerprint() -> None:
    plain, described = (
        event_class("Thing", a=int),
        event_class("Thing", a=(int, Field(5, description="x"))),
    )
    assert schema_of(plain).fingerprint == schema_of(described).fingerprint
    check_same_meaning(schema_of(plain).json, schema_of(described), "Thing")


MEANINGS = [
    (int, datetime, "field x was long and is timestamp-micros (long) now"),
    (datetime, timedelta, "field x was timestamp-micros (long) and is duration-micros (long) now"),
    (list[int], list[datetime], "field x was array and is array now"),
    (
        int | None,
        datetime | None,
        "field x was long or null and is timestamp-micros (long) or null now",
    ),
]


@pytest.mark.parametrize(("before", "after", "reason"), MEANINGS)
def test_a_type_that_only_its_logical_type_changed_is_refused(
    before: Any, after: Any, reason: str
) -> None:
    old, new = event_class("Thing", x=before), event_class("Thing", x=after)
    assert schema_of(old).fingerprint == schema_of(new).fingerprint
    with pytest.raises(IncompatibleSchema) as caught:
        check_same_meaning(schema_of(old).json, schema_of(new), "Thing")
    assert reason in caught.value.reason


def test_a_changed_logical_type_is_refused_when_an_event_is_written() -> None:
    kept = Kept()
    kept.write(event_class("Thing", x=int)(x=1))
    with pytest.raises(IncompatibleSchema, match="field x was long"):
        kept.write(event_class("Thing", x=datetime)(x=datetime.now(UTC)))


def test_a_changed_logical_type_is_refused_when_an_event_is_read() -> None:
    kept = Kept()
    data = kept.write(event_class("Thing", x=int)(x=1))
    with pytest.raises(IncompatibleSchema, match="field x was long"):
        kept.reader(event_class("Thing", x=datetime)).decode("Thing", data)


def test_another_schema_under_the_same_fingerprint_is_refused() -> None:
    other = schema_of(event_class("Other", y=str))
    with pytest.raises(IncompatibleSchema, match="it was Other with other fields"):
        check_same_meaning(other.json, schema_of(event_class("Thing", x=int)), "Thing")


def test_a_type_that_is_no_avro_name_gets_one() -> None:
    class Completed(Event, event_type="W_Completeren aanvraag"):
        pass

    assert schema_of(Completed).name == "W_Completeren_x20_aanvraag"
    kept = Kept(Completed)
    assert kept.back(Completed()) == Completed()


def test_dots_in_a_type_are_a_namespace_that_holds_for_all_within() -> None:
    class Part(BaseModel):
        child: "Part | None" = None

    class Received(Event, event_type="nl.acme.Received"):
        part: Part | str

    assert schema_of(Received).name == "nl.acme.Received"
    assert body(Received)["fields"][0]["type"][0]["name"] == "nl.acme.Part"
    event = Received(part=Part(child=Part()))
    assert Kept().back(event) == event


@given(st.text(min_size=1))
def test_every_text_gives_a_valid_name(text: str) -> None:
    assert is_avro_name(avro_name(text))
    assert all(map(is_avro_name, avro_full_name(text).split(".")))


names = st.text(st.sampled_from("_x20f "), min_size=1, max_size=8)


@given(names, names)
def test_two_texts_never_share_a_name(one: str, other: str) -> None:
    assert (avro_name(one) == avro_name(other)) == (one == other)


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9]*", fullmatch=True))
def test_a_valid_name_stays_as_it_is(text: str) -> None:
    assert avro_name(text) == text


def test_two_nested_classes_of_one_name_are_told_apart_by_their_module() -> None:
    class Part(BaseModel):
        number: int

    here, there = (
        Part,
        type("Part", (BaseModel,), {"__annotations__": {"text": str}, "__module__": "there"}),
    )
    cls = event_class("Thing", one=here | None, other=there | None, either=here | there)
    names = [field["type"][0]["name"] for field in body(cls)["fields"][:2]]
    assert len(set(names)) == 2
    assert names[1] == "there_x2e_Part"
    event = cls(one=here(number=1), other=there(text="x"), either=there(text="y"))
    assert Kept().back(event) == event


def test_a_nested_class_that_got_a_namesake_still_reads_its_records() -> None:
    class Part(BaseModel):
        number: int

    there = type("Part", (BaseModel,), {"__annotations__": {"text": str}, "__module__": "there"})
    kept = Kept()
    data = kept.write(event_class("Thing", x=Part | str)(x=Part(number=1)))
    later = event_class("Thing", x=Part | str, y=(there | None, None))
    assert kept.reader(later).decode("Thing", data) == later(x=Part(number=1))


def test_two_classes_of_one_module_and_name_are_refused() -> None:
    def part(annotation: Any) -> type[BaseModel]:
        return type("Part", (BaseModel,), {"__annotations__": {"x": annotation}})

    with pytest.raises(UnsupportedType, match="two classes of one module and one name"):
        schema_of(event_class("Thing", one=part(int), other=part(str)))
