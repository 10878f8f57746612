"""Every type that is accepted comes back exactly."""

import ipaddress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, IntFlag, StrEnum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue, RootModel
from typing_extensions import TypeAliasType

from eventkit.codec import AvroCodec, binary
from eventkit.codec.classes import codec_of
from eventkit.events import Event, EventTypes, Metadata
from tests.unit.codec_kit import Kept, event_class, identical

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Stage(StrEnum):
    IN_PROGRESS = "in progress"
    DONE = "done"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Right(IntFlag):
    READ = 1
    WRITE = 2


class Street(BaseModel):
    name: str
    number: int = 1


class Point(BaseModel, frozen=True):
    x: int
    y: int


class Circle(BaseModel):
    kind: Literal["circle"] = "circle"
    size: float


class Disc(BaseModel):
    kind: Literal["circle"] = "circle"
    size: float


class Square(BaseModel):
    kind: Literal["square"] = "square"
    size: float


class Node(BaseModel):
    value: int
    children: list["Node"] = []
    parent: "Node | None" = None


class Box(BaseModel, Generic[T]):
    content: T


class Tags(RootModel[list[str]]):
    pass


CustomerId = NewType("CustomerId", UUID)
Names = TypeAliasType("Names", list[str])
Pairs = TypeAliasType("Pairs", list[tuple[T, T]], type_params=(T,))

int64 = st.integers(-(2**63), 2**63 - 1)
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)  # noqa: DTZ001
decimals = st.decimals(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
streets = st.builds(Street, name=st.text(), number=int64)
circles, discs, squares = (st.builds(c, size=st.floats()) for c in (Circle, Disc, Square))
nodes = st.recursive(
    st.builds(Node, value=int64),
    lambda inner: st.builds(
        Node, value=int64, children=st.lists(inner, max_size=2), parent=st.none() | inner
    ),
    max_leaves=6,
)

TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (str, st.text()),
    "int": (int, int64),
    "float": (float, st.floats()),
    "bool": (bool, st.booleans()),
    "bytes": (bytes, st.binary()),
    "None": (NoneType, st.none()),
    "Optional": (str | None, st.none() | st.text()),
    "Optional datetime": (datetime | None, st.none() | moments),
    "UUID": (UUID, st.uuids()),
    "Decimal": (Decimal, decimals),
    "bounded Decimal": (
        Annotated[Decimal, Field(max_digits=8, decimal_places=2)],
        st.decimals(-9999, 9999, places=2),
    ),
    "date": (date, st.dates()),
    "time": (time, st.times()),
    "timedelta": (
        timedelta,
        st.timedeltas(timedelta(days=-100_000_000), timedelta(days=100_000_000)),
    ),
    "datetime": (datetime, moments),
    "AwareDatetime": (pydantic.AwareDatetime, moments),
    "NaiveDatetime": (pydantic.NaiveDatetime, st.datetimes()),
    "PastDate": (pydantic.PastDate, st.dates(max_value=date(2020, 1, 1))),
    "Enum": (Colour, st.sampled_from(Colour)),
    "StrEnum with spaces": (Stage, st.sampled_from(Stage)),
    "IntEnum": (Level, st.sampled_from(Level)),
    "IntFlag": (Right, st.sampled_from([Right.READ, Right.READ | Right.WRITE, Right(0)])),
    "Literal": (Literal["a", "b"], st.sampled_from(["a", "b"])),
    "Literal of several types": (Literal["a", 1] | None, st.sampled_from(["a", 1, None])),
    "Literal of an enum": (Literal[Colour.RED], st.just(Colour.RED)),
    "list": (list[int], st.lists(int64)),
    "list of lists": (list[list[str]], st.lists(st.lists(st.text(), max_size=3), max_size=3)),
    "set": (set[str], st.sets(st.text())),
    "frozenset": (frozenset[date], st.frozensets(st.dates())),
    "tuple": (tuple[int, ...], st.lists(int64).map(tuple)),
    "pair": (tuple[float, float], st.tuples(st.floats(), st.floats())),
    "dict": (dict[str, int], st.dictionaries(st.text(), int64)),
    "dict by UUID": (dict[UUID, Street], st.dictionaries(st.uuids(), streets, max_size=3)),
    "dict by enum": (dict[Colour, Decimal], st.dictionaries(st.sampled_from(Colour), decimals)),
    "dict by model": (
        dict[Point, str],
        st.dictionaries(st.builds(Point, x=int64, y=int64), st.text(), max_size=3),
    ),
    "dict by pair": (
        dict[tuple[int, int], bool],
        st.dictionaries(st.tuples(int64, int64), st.booleans(), max_size=3),
    ),
    "dict of dicts by int": (
        dict[int, dict[int, str]],
        st.dictionaries(int64, st.dictionaries(int64, st.text(), max_size=2), max_size=2),
    ),
    "model": (Street, streets),
    "list of models": (list[Street], st.lists(streets, max_size=3)),
    "optional model": (Street | None, st.none() | streets),
    "union of models": (Circle | Disc, circles | discs),
    "discriminated union": (
        Annotated[Circle | Square, Field(discriminator="kind")],
        circles | squares,
    ),
    "union of a model and a dict": (Street | dict[str, int], streets | st.just({"number": 1})),
    "list of unions": (
        list[Circle | Square | str],
        st.lists(circles | squares | st.text(), max_size=4),
    ),
    "bool | int | str": (bool | int | str, st.booleans() | int64 | st.text()),
    "int | float | None": (int | float | None, int64 | st.floats() | st.none()),
    "str | enum": (str | Colour, st.text() | st.sampled_from(Colour)),
    "date | datetime": (date | datetime, st.dates() | moments),
    "recursive model": (Node, nodes),
    "generic model": (Box[int | None], st.builds(Box[int | None], content=st.none() | int64)),
    "root model": (Tags, st.lists(st.text()).map(Tags)),
    "NewType": (CustomerId, st.uuids()),
    "type alias": (Names, st.lists(st.text())),
    "generic type alias": (Pairs[int], st.lists(st.tuples(int64, int64))),
    "list of annotated": (list[Annotated[int, Field(gt=0)]], st.lists(st.integers(1, 9))),
    "optional duration": (timedelta | None, st.none() | st.just(timedelta(days=1))),
    "constrained": (Annotated[int, Field(gt=0, description="How many.")], st.integers(1, 99)),
    "Any": (Any, json_values),
    "JsonValue": (JsonValue, json_values),
    "dict of anything": (dict[str, Any], st.dictionaries(st.text(), json_values, max_size=3)),
    "list of anything": (list[Any], st.lists(json_values, max_size=3)),
    "bare dict": (dict, st.dictionaries(st.text(), json_values, max_size=3)),
    "IP address": (ipaddress.IPv4Address, st.ip_addresses(v=4)),
    "path": (Path, st.just(Path("a/b"))),
    "URL": (pydantic.HttpUrl, st.just(pydantic.HttpUrl("https://example.org/?q=é"))),
}


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=25)
@given(data=st.data())
def test_a_value_comes_back_exactly(name: str, data: st.DataObject) -> None:
    annotation, values = TYPES[name]
    cls = CLASSES.setdefault(name, event_class("Something", x=annotation))
    event = cls(x=data.draw(values))
    assert identical(Kept().back(event), event)


CLASSES: dict[str, Any] = {}


@st.composite
def events(draw: st.DrawFn) -> Any:
    """Draw an event of a class with several fields, some of them with a default."""
    names = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=6, unique=True))
    fields: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for number, name in enumerate(names):
        annotation, strategy = TYPES[name]
        values[f"f{number}"] = draw(strategy)
        fields[f"f{number}"] = (annotation, draw(strategy)) if draw(st.booleans()) else annotation
    given_names = draw(st.sets(st.sampled_from(sorted(values))))
    required = {n for n, f in fields.items() if not isinstance(f, tuple)}
    cls = event_class("Mixed", **fields)
    return cls(**{n: v for n, v in values.items() if n in given_names | required})


@settings(max_examples=60)
@given(event=events())
def test_an_event_of_many_fields_and_defaults_comes_back_exactly(event: Event) -> None:
    assert identical(Kept().back(event), event)


@settings(max_examples=30)
@given(event=events())
def test_a_decoded_event_encodes_to_the_same_bytes(event: Event) -> None:
    kept = Kept()
    assert kept.write(kept.back(event)) == kept.write(event)


def test_an_aware_datetime_comes_back_in_utc() -> None:
    moment = datetime(2024, 5, 6, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    back = Kept().back(event_class(at=datetime)(at=moment))
    assert back.at.isoformat() == "2024-05-06T10:00:00.123456+00:00"


def test_an_event_without_fields_is_its_header_alone() -> None:
    event = event_class("Emptied")()
    assert len(Kept().write(event)) == 10
    assert Kept().back(event) == event


def test_a_value_of_a_subclass_comes_back_as_one_of_the_type() -> None:
    class Moment(datetime):
        """What libraries for time make of it."""

    class Key(UUID):
        """A UUID by another name."""

    cls = event_class(at=datetime, key=UUID, word=str, count=int | str)
    at, plain = (kind(2024, 1, 1, tzinfo=UTC) for kind in (Moment, datetime))
    event = cls.model_construct(at=at, key=Key(int=1), word=Stage.DONE, count=Level.LOW)
    assert identical(Kept().back(event), cls(at=plain, key=UUID(int=1), word="done", count=1))


def test_a_record_is_the_same_without_the_inner_functions_of_fastavro(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cls = event_class(text=str, part=Street | None, shape=Circle | Disc)
    event = cls(text="x", part=Street(name="y"), shape=Disc(size=1))
    fast = Kept().write(event)
    monkeypatch.setattr(binary, "_WRITE_DATA", None)
    monkeypatch.setattr(binary, "_READ_DATA", None)
    codec_of.cache_clear()
    assert Kept().write(event) == fast
    assert Kept().back(event) == event
    codec_of.cache_clear()


def test_a_model_that_is_no_event_has_a_schema() -> None:
    assert Kept().codec.schema_of(Metadata).name == "Metadata"


def test_a_set_gives_the_same_bytes_whatever_its_order() -> None:
    cls = event_class(x=set[str])
    some, others = {"a", "i", "q", "y"}, {"y", "q", "i", "a"}
    assert Kept().write(cls(x=some)) == Kept().write(cls(x=others))
    assert Kept().write(cls(x=some)).endswith(b"\x08\x02a\x02i\x02q\x02y\x00")


def test_annotations_may_be_postponed() -> None:
    namespace: dict[str, Any] = {"Event": Event, "date": date, "__name__": __name__}
    source = (
        "from __future__ import annotations\n"
        "class Postponed(Event):\n"
        "    day: date | None = None\n"
        "    others: list[Postponed] = []\n"
    )
    exec(source, namespace)  # noqa: S102 - the only way to postpone the annotations of one class
    cls = namespace["Postponed"]
    cls.model_rebuild(_types_namespace=namespace)
    event = cls(day=date(2024, 1, 1), others=[cls(day=None)])
    assert identical(Kept().back(event), event)


def test_a_class_defined_in_a_function_is_written() -> None:
    class Inner(BaseModel):
        text: str

    class Outer(Event):
        inner: Inner
        again: list[Inner] = Field(default_factory=list)

    event = Outer(inner=Inner(text="x"), again=[Inner(text="y")])
    assert identical(Kept().back(event), event)


def test_aliases_and_validators_do_not_touch_what_is_stored() -> None:
    class Shouted(Event):
        text: Annotated[str, pydantic.AfterValidator(lambda text: text + "!")] = Field(
            alias="theText"
        )
        due: pydantic.FutureDate | None = None

    event = Shouted(theText="hey").model_copy(update={"due": date(2001, 1, 1)})
    back = Kept().back(event)
    assert (back.text, back.due) == ("hey!", date(2001, 1, 1))


def test_a_private_attribute_and_post_init_work_on_decoded_events() -> None:
    class Counted(Event):
        text: str
        _length: int = pydantic.PrivateAttr(default=0)

        def model_post_init(self, context: Any) -> None:
            super().model_post_init(context)
            self._length = len(self.text)

    back = Kept().back(Counted(text="four"))
    assert back._length == 4


def test_what_is_kept_does_not_depend_on_cached_properties() -> None:
    class Sized(Event):
        text: str

    event = Sized(text="x")
    event.__dict__["cached"] = "not a field"
    assert Kept().back(event) == Sized(text="x")


def test_plain_values_are_read_without_the_class() -> None:
    cls = event_class(
        "Plainly",
        when=timedelta, colour=Colour, shape=Circle | Disc, tags=set[str], by_id=dict[UUID, Level],
        free=dict[str, Any], at=datetime, node=Node, maybe=Decimal | None, grid=dict[Point, int],
        steps=dict[tuple[int, int], str],
    )  # fmt: skip
    at = datetime(2024, 1, 1, tzinfo=UTC)
    event = cls(
        when=timedelta(hours=1), colour=Colour.BLUE, shape=Disc(size=2), tags={"b", "a"},
        by_id={UUID(int=1): Level.HIGH}, free={"a": [1, None]}, at=at,
        node=Node(value=1, children=[Node(value=2)]), maybe=Decimal("1.50"),
        grid={Point(x=1, y=2): 3}, steps={(1, 2): "a"},
    )  # fmt: skip
    kept = Kept()
    data = kept.write(event)
    plain = AvroCodec(EventTypes(), kept.schemas.get).decode_plain("Plainly", data)
    assert plain == {
        "when": timedelta(hours=1),
        "colour": "blue",
        "shape": {"kind": "circle", "size": 2.0},
        "tags": ["a", "b"],
        "by_id": {UUID(int=1): 2},
        "free": {"a": [1, None]},
        "at": at,
        "node": {
            "value": 1,
            "children": [{"value": 2, "children": [], "parent": None}],
            "parent": None,
        },
        "maybe": "1.50",
        "grid": {(("x", 1), ("y", 2)): 3},
        "steps": {(1, 2): "a"},
    }
