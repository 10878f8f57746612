"""CloudEvents in JSON, as events come in and go out."""

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime, field_validator

from eventkit.cloudevents import CloudEventReader, json_bytes, moment_of, write_cloudevent
from eventkit.errors import InvalidCloudEvent, InvalidInput
from eventkit.events import Event, EventTypes, Metadata, Position, event_type
from eventkit.store import Append, PlainEvent
from tests.unit.codec_kit import Kept, identical

ID = UUID("31de7dfa-3af1-52d2-a074-82c6b05c9b13")


class Moved(Event):
    to: str
    seats: int = 1


class Strict(Event):
    model_config = ConfigDict(strict=True)

    seats: int
    at: datetime | None = None


class Fussy(Event):
    word: str

    @field_validator("word")
    @classmethod
    def _look_up(cls, word: str) -> str:
        return {"known": word}[word]


class Blob(BaseModel):
    default: bytes


class Sent(Event):
    model_config = ConfigDict(val_json_bytes="hex")

    content: bytes
    parts: tuple[Blob, ...] = ()


class Colour(Enum):
    RED = "red"
    DARK_RED = "dark red"


class Level(IntEnum):
    LOW = 1
    HIGH = 3


class Inner(BaseModel):
    number: int
    inner: "Inner | None" = None


class Other(BaseModel):
    text: str


class Exotic(Event):
    text: str
    number: int
    real: float
    flag: bool
    data: bytes
    amount: Decimal
    key: UUID
    day: date
    instant: AwareDatetime
    wall_clock: NaiveDatetime
    clock: time
    length: timedelta
    colour: Colour
    level: Level
    maybe: int | None
    many: list[int | None]
    some: set[date]
    pair: tuple[int, int]
    named: dict[str, Decimal]
    counted: dict[int, bytes]
    inner: Inner
    either: Inner | Other
    blobs: list[Blob]


def reader(*classes: type[Event]) -> CloudEventReader:
    types = EventTypes()
    types.bind_all(classes or (Moved, Strict, Fussy, Sent, Exotic))
    return CloudEventReader(types)


def line(**changes: Any) -> bytes:
    """Return a line; `...` leaves an attribute out."""
    attributes = {
        "specversion": "1.0",
        "id": str(ID),
        "source": "/desk",
        "type": "Moved",
        "subject": "guest-7",
        "time": "2010-10-01T00:00:00.020+02:00",
        "data": {"to": "room 4"},
    } | changes
    return json.dumps({name: it for name, it in attributes.items() if it is not ...}).encode()


def refusal(content: bytes) -> str:
    """Return why a line is refused."""
    with pytest.raises(InvalidCloudEvent) as caught:
        reader().read(content)
    return str(caught.value)


def plain(event: Event, metadata: Metadata) -> PlainEvent:
    """Return an event as a store without its class would return it."""
    kept = Kept(type(event))
    data = kept.codec.decode_plain(event_type(event), kept.write(event))
    return PlainEvent(ID, "guest-7", 3, event_type(event), data, metadata, Position("events", 0, 9))


def test_a_line_becomes_an_append_of_one_event() -> None:
    content = line(workspaceid="north", causedbyuser="ann", causationid="c", correlationid="d")
    assert reader().read(content) == Append(
        "guest-7",
        [Moved(to="room 4")],
        metadata=Metadata(
            timestamp=datetime(2010, 9, 30, 22, 0, 0, 20_000, UTC),
            workspace_id="north",
            caused_by_user="ann",
            causation_id="c",
            correlation_id="d",
            extra={"source": "/desk"},
        ),
        event_ids=[ID],
    )


def test_an_id_that_is_no_uuid_becomes_one_of_its_source_and_id() -> None:
    (event_id,) = reader().read(line(id="17")).event_ids or ()
    assert event_id == uuid5(uuid5(NAMESPACE_URL, "/desk"), "17")


def test_the_same_id_of_two_sources_names_two_events() -> None:
    one, other = (reader().read(line(id="17", source=source)) for source in ("/a", "/b"))
    assert one.event_ids != other.event_ids


def test_unknown_attributes_are_kept_as_text() -> None:
    metadata = reader().read(line(traceparent="00-1", attempt=2, dry=True, none=None)).metadata
    assert metadata is not None
    assert metadata.extra == {
        "source": "/desk",
        "traceparent": "00-1",
        "attempt": "2",
        "dry": "true",
    }


def test_the_class_decides_what_the_fields_are() -> None:
    assert reader().read(line(data={"to": "x", "seats": "12"})).events == [Moved(to="x", seats=12)]
    assert reader().read(line(data={"to": "x", "seats": 12.0})).events == [Moved(to="x", seats=12)]


def test_a_strict_class_takes_dates_from_text_and_no_number_from_text() -> None:
    strict = {"type": "Strict"}
    append = reader().read(line(**strict, data={"seats": 1, "at": "2010-10-01T00:00:00Z"}))
    assert append.events == [Strict(seats=1, at=datetime(2010, 10, 1, tzinfo=UTC))]
    assert refusal(line(**strict, data={"seats": "1"})).startswith("data.seats: ")


def test_an_alias_reads_lines_of_the_former_type() -> None:
    types = EventTypes()

    class Relocated(Event, aliases=("Moved",)):
        to: str

    types.bind(Relocated)
    assert CloudEventReader(types).read(line()).events == [Relocated(to="room 4")]


REFUSED = {
    "not JSON": (b"{", "not JSON: EOF while parsing an object at column 1"),
    "half a line": (line()[:-9], "not JSON: EOF while parsing a string at column 184"),
    "two objects": (b"{} {}", "not JSON: trailing characters at column 4"),
    "no object": (b"[1]", "the line is a list, not a JSON object"),
    "a text": (b'"x"', "the line is a text, not a JSON object"),
    "null": (b"null", "the line is null, not a JSON object"),
    "a number": (b"17", "the line is a number, not a JSON object"),
    "true": (b"true", "the line is true, not a JSON object"),
    "deep nesting": (b"[" * 9_999, "not JSON: recursion limit exceeded at column 202"),
    "bytes that are no UTF-8": (b'{"id": "\xe9"}', "not UTF-8: byte 0xe9 at column 9"),
    "a NUL": (
        b'{"id": "\x00"}',
        "not JSON: control character (\\u0000-\\u001F) found while parsing a string at column 9",
    ),
    "no id": (line(id=...), "missing: id"),
    "no time, no subject": (line(time=..., subject=...), "missing: subject, time"),
    "no data": (line(data=...), "missing: data"),
    "bytes": (
        line(data=..., data_base64="AA=="),
        "data_base64 holds bytes; an event needs its fields in data",
    ),
    "an empty id": (line(id=""), "id is empty"),
    "an id that is a number": (line(id=17), "id is a number, not a text"),
    "another specversion": (line(specversion="0.3"), "specversion is '0.3', not '1.0'"),
    "a name in other letters": (
        line(causedByUser="ann"),
        "the attribute 'causedByUser' must be written 'causedbyuser'",
    ),
    "an attribute that is an object": (
        line(trace={}),
        "trace is an object, not a text, a number, true or false",
    ),
    "a user that is a list": (
        line(causedbyuser=["ann"]),
        "causedbyuser is a list, not a text, a number, true or false",
    ),
    "damaged extra": (
        line(eventkitextra="{"),
        "eventkitextra is not the JSON text of an object of texts",
    ),
    "extra that is no object of texts": (
        line(eventkitextra='{"a": 1}'),
        "eventkitextra is not the JSON text of an object of texts",
    ),
    "a time without a zone": (
        line(time="2010-10-01T00:00:00"),
        (
            "time: '2010-10-01T00:00:00' has no time zone; add your offset, for example "
            "2010-10-01T00:00:00+02:00, or Z for UTC: 2010-10-01T00:00:00Z"
        ),
    ),
    "no time": (
        line(time="yesterday"),
        "time: 'yesterday' is no time; write it as 2010-10-01T09:30:00+02:00, or with Z for UTC",
    ),
    "a time before all others": (
        line(time="0001-01-01T00:00:00+02:00"),
        "time: 0001-01-01T00:00:00+02:00 lies before year 1 or after 9999",
    ),
    "a time that is a number": (line(time=1285884000), "time is a number, not a text"),
    "data that is a list": (line(data=[]), "data is a list, not an object with the event's fields"),
    "data that is null": (line(data=None), "data is null, not an object with the event's fields"),
    "a missing field": (line(data={}), "data.to: Field required"),
    "a field of the wrong type": (line(data={"to": 5}), "data.to: Input should be a valid string"),
    "a fraction for an int": (
        line(data={"to": "x", "seats": 1.5}),
        "data.seats: Input should be a valid integer, got a number with a fractional part",
    ),
    "an unknown field": (
        line(data={"to": "x", "by": "train"}),
        "data.by: Extra inputs are not permitted",
    ),
    "many mistakes": (
        line(data={"to": "x", "a": 1, "b": 2, "c": 3, "d": 4}),
        (
            "data.a: Extra inputs are not permitted; data.b: Extra inputs are not permitted; "
            "data.c: Extra inputs are not permitted; and 1 more"
        ),
    ),
    "a class that fails": (
        line(type="Fussy", data={"word": "unknown"}),
        "the class of Fussy failed on it: KeyError: 'unknown'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_used_is_refused_with_the_reason(what: str) -> None:
    content, reason = REFUSED[what]
    assert refusal(content) == reason


def test_an_unknown_type_is_named() -> None:
    assert refusal(line(type="Gone")).startswith("no event class reads the recorded type 'Gone'. ")


@pytest.mark.parametrize(
    "subject", ["guest", "guest-", "-7", "a b-7", "guest-\n", "g" * 201 + "-7"]
)
def test_a_subject_that_is_no_aggregate_id_is_refused(subject: str) -> None:
    assert " is not an aggregate id: " in refusal(line(subject=subject))


def test_a_field_goes_by_its_name_or_its_alias() -> None:
    class Renamed(Event):
        amount: int = Field(alias="AMOUNT_REQ")

    for name in ("amount", "AMOUNT_REQ"):
        append = reader(Renamed).read(line(type="Renamed", data={name: 5}))
        assert append.events == [Renamed(AMOUNT_REQ=5)]


def test_bytes_are_base64_whatever_the_class_says() -> None:
    data = {"content": "__4=", "parts": [{"default": "AAE="}]}
    assert reader().read(line(type="Sent", data=data)).events == [
        Sent(content=b"\xff\xfe", parts=(Blob(default=b"\x00\x01"),))
    ]


def test_a_pydantic_that_would_read_bytes_wrongly_is_not_trusted_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def older(schema: object, config: object) -> None: ...

    monkeypatch.setattr("eventkit.cloudevents.validation.SchemaValidator", older)
    assert refusal(line(type="Sent", data={"content": "AA=="})) == (
        "Sent holds bytes, and to read them from JSON takes pydantic 2.13 or newer"
    )


class Paid(Event):
    amount: Decimal
    named: dict[str, Decimal]
    count: int


class Measured(Event):
    value: float
    either: str | Decimal | None = None


class Gauged(Event):
    model_config = ConfigDict(strict=True, extra="ignore")

    value: float


class Rounded(Event):
    value: float

    @field_validator("value", mode="before")
    @classmethod
    def _round(cls, value: float) -> float:
        return round(value, 2)


def numbered(event_type: str, data: str, more: str = "") -> bytes:
    """Return a line with this text of JSON as its data."""
    return line(type=event_type, data=1).replace(b'"data": 1', f'"data": {data}{more}'.encode())


@pytest.mark.parametrize(
    "number", ["1234567890123456789.55", "0.123456789012345678", "-1e-400", "10000000000000000.10"]
)
def test_decimals_keep_each_digit_of_a_number(number: str) -> None:
    content = numbered(
        "Paid", f'{{"amount":{number},"named":{{"x":{number}}},"count":{2**62 + 1}}}'
    )
    (event,) = reader(Paid).read(content).events
    exact = Decimal(number)
    assert event == Paid(amount=exact, named={"x": exact}, count=2**62 + 1)


@pytest.mark.parametrize(
    "number",
    ["0.30000000000000004", "0.10000000000000001", "0.10000000000000000000", "5e-324",
     "1.7976931348623157e308", "9007199254740992", "9007199254740994.0",
     "0.1000000000000000055511151231257827"],
)  # fmt: skip
@pytest.mark.parametrize("cls", [Measured, Gauged])
def test_floats_take_what_they_give_back(cls: type[Measured | Gauged], number: str) -> None:
    (event,) = reader(cls).read(numbered(cls.__name__, f'{{"value": {number}}}')).events
    assert event == cls(value=float(number))


@pytest.mark.parametrize(
    "number",
    ["0.123456789012345678", "9007199254740993", "9007199254740993.0", "1e400", "1e-400",
     "1" * 400],
)  # fmt: skip
@pytest.mark.parametrize("cls", [Measured, Gauged])
def test_a_float_is_not_given_more_digits_than_it_keeps(cls: type[Event], number: str) -> None:
    with pytest.raises(InvalidCloudEvent, match="cannot be kept as it is") as caught:
        reader(cls).read(numbered(cls.__name__, f'{{"value": {number}}}'))
    assert len(str(caught.value)) < 200


def test_a_number_does_not_become_a_text_to_keep_its_digits() -> None:
    content = numbered("Measured", '{"value": 1, "either": 0.123456789012345678}')
    with pytest.raises(InvalidCloudEvent, match="cannot be kept as it is"):
        reader(Measured).read(content)
    with pytest.raises(InvalidCloudEvent, match=r"data\.to: Input should be a valid string"):
        reader().read(numbered("Moved", '{"to": 0.123456789012345678}'))


def test_code_of_the_user_that_takes_floats_alone_does_not_hide_a_loss() -> None:
    with pytest.raises(InvalidCloudEvent, match="cannot be kept as it is"):
        reader(Rounded).read(numbered("Rounded", '{"value": 0.123456789012345678}'))
    (event,) = reader(Rounded).read(numbered("Rounded", '{"value": 0.30000000000000004}')).events
    assert event == Rounded(value=0.3)


def test_numbers_that_a_class_takes_no_notice_of_may_have_any_digits() -> None:
    content = numbered("Gauged", '{"value": 1.5, "other": 0.123456789012345678}')
    assert reader(Gauged).read(content).events == [Gauged(value=1.5)]


def test_attributes_keep_each_digit_of_a_number() -> None:
    content = numbered("Moved", '{"to": "x"}', ', "rate": 0.123456789012345678')
    metadata = reader().read(content).metadata
    assert metadata is not None
    assert metadata.extra["rate"] == "0.123456789012345678"


def test_a_number_beyond_all_bounds_is_refused() -> None:
    content = numbered("Paid", '{"amount": 1e99999999999999999999}')
    with pytest.raises(InvalidCloudEvent):
        reader(Paid).read(content)


def test_a_recorded_event_becomes_a_line() -> None:
    metadata = Metadata(timestamp=datetime(2010, 9, 30, 22, tzinfo=UTC), caused_by_user="ann")
    assert json.loads(write_cloudevent(plain(Moved(to="x"), metadata))) == {
        "specversion": "1.0",
        "id": str(ID),
        "source": "eventkit",
        "type": "Moved",
        "subject": "guest-7",
        "time": "2010-09-30T22:00:00Z",
        "aggregateversion": 3,
        "causedbyuser": "ann",
        "data": {"to": "x", "seats": 1},
    }


class Told(BaseModel):
    text: str
    at: date


def test_text_that_is_no_unicode_does_not_end_the_output() -> None:
    told = Told.model_construct(text="\ud800", at=date(2024, 1, 2))
    value = {"a\udcff": ["\udcff", 1.5, math.nan, b"\xff", None], "told": (told,)}
    assert json.loads(json_bytes(value)) == {
        "a\\udcff": ["\\udcff", 1.5, "NaN", "_w==", None],
        "told": [{"text": "\\ud800", "at": "2024-01-02"}],
    }


def test_a_line_is_json_for_every_program_also_with_numbers_that_json_lacks() -> None:
    event = plain(Moved(to="x"), Metadata(timestamp=datetime(2010, 1, 1, tzinfo=UTC)))
    odd = event._replace(data={"a": math.nan, "b": math.inf, "c": -math.inf})
    written = json.loads(write_cloudevent(odd), parse_constant=pytest.fail)
    assert written["data"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity"}


EXTRA_KEYS = st.text(max_size=5) | st.sampled_from(
    ["source", "id", "data", "traceparent", "eventkitextra", "aggregateversion", "causedbyuser"]
)
TEXTS = st.text(max_size=5)


@given(
    st.builds(
        Metadata,
        timestamp=st.datetimes(timezones=st.just(UTC)),
        caused_by_user=st.none() | TEXTS,
        causation_id=st.none() | TEXTS,
        correlation_id=st.none() | TEXTS,
        workspace_id=st.none() | TEXTS,
        extra=st.dictionaries(EXTRA_KEYS, TEXTS | st.just("eventkit"), max_size=4),
    )
)
def test_metadata_comes_back_as_it_was(metadata: Metadata) -> None:
    append = reader().read(write_cloudevent(plain(Moved(to="x"), metadata)))
    assert append.metadata == metadata


INNER = st.recursive(
    st.builds(Inner, number=st.integers(-9, 9)),
    lambda inner: st.builds(Inner, number=st.integers(-9, 9), inner=inner),
    max_leaves=3,
)
LONGS = st.integers(-(2**63), 2**63 - 1)
BLOBS = st.builds(Blob, default=st.binary(max_size=9))


@given(
    st.builds(
        Exotic,
        number=LONGS,
        maybe=st.none() | LONGS,
        many=st.lists(st.none() | LONGS, max_size=2),
        pair=st.tuples(LONGS, LONGS),
        real=st.floats(allow_nan=False),
        amount=st.decimals(allow_nan=False, allow_infinity=False),
        data=st.binary(max_size=9),
        instant=st.datetimes(timezones=st.just(UTC)),
        wall_clock=st.datetimes(),
        clock=st.times(),
        length=st.timedeltas(timedelta(days=-100_000_000), timedelta(days=100_000_000)),
        inner=INNER,
        either=INNER | st.builds(Other, text=TEXTS),
        blobs=st.lists(BLOBS, max_size=2),
        counted=st.dictionaries(st.integers(-9, 9), st.binary(max_size=9), max_size=2),
        named=st.dictionaries(
            TEXTS, st.decimals(allow_nan=False, allow_infinity=False), max_size=2
        ),
        some=st.sets(st.dates(), max_size=2),
    )
)
def test_events_of_every_type_come_back_as_they_were(event: Exotic) -> None:
    metadata = Metadata(timestamp=datetime(2010, 1, 1, tzinfo=UTC))
    (read,) = reader().read(write_cloudevent(plain(event, metadata))).events
    assert identical(event, read)


def test_a_moment_keeps_its_microseconds() -> None:
    assert moment_of("2010-10-01T00:00:00.000001Z") == datetime(2010, 10, 1, 0, 0, 0, 1, UTC)


def test_a_date_is_no_moment() -> None:
    with pytest.raises(InvalidInput, match="'2010-10-01' has no time zone; add your offset"):
        moment_of("2010-10-01")


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: str


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


class Adopted(Event):
    pet: Cat | Dog
    weight: float | str


@pytest.mark.parametrize(("weight", "back"), [(1.5, 1.5), ("1.5", "1.5"), (math.inf, "Infinity")])
def test_of_several_types_json_tells_those_that_it_writes_differently(
    weight: float | str, back: float | str
) -> None:
    event = Adopted(pet=Dog(name="x"), weight=weight)
    written = write_cloudevent(plain(event, Metadata(timestamp=datetime(2024, 1, 2, tzinfo=UTC))))
    assert reader(Adopted).read(written).events == [Adopted(pet=Dog(name="x"), weight=back)]
