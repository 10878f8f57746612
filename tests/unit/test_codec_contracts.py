"""Contracts: one file a schema, in step with the classes, each record and field described."""

import json
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, Field

from eventkit.codec import AvroSchema, check_contracts, undocumented, write_contracts
from eventkit.events import Event
from tests.unit.codec_kit import Kept, event_class


class Colour(Enum):
    """What it looks like."""

    RED = "red"


class Part(BaseModel):
    """A piece."""

    colour: Colour = Field(description="Of its surface.")


class Described(Event):
    """All of it is described."""

    parts: list[Part] = Field(description="What it is made of.")


def schemas(*classes: type[BaseModel]) -> list[AvroSchema]:
    """Return the schemas of the classes."""
    return [Kept().codec.schema_of(cls) for cls in classes]


def test_a_contract_is_the_whole_schema_as_readable_json(tmp_path: Path) -> None:
    (path,) = write_contracts(schemas(Described), tmp_path / "new")
    text = path.read_text()
    assert path.name == "Described.avsc"
    assert text == json.dumps(json.loads(schemas(Described)[0].json), indent=2) + "\n"


def test_contracts_do_not_depend_on_the_order_of_classes(tmp_path: Path) -> None:
    classes = (Described, event_class("Another", a=int))
    first = write_contracts(schemas(*classes), tmp_path)
    assert write_contracts(schemas(*reversed(classes)), tmp_path) == first
    assert [path.name for path in first] == ["Another.avsc", "Described.avsc"]


def test_contracts_that_were_just_written_are_in_step(tmp_path: Path) -> None:
    write_contracts(schemas(Described), tmp_path)
    assert check_contracts(schemas(Described), tmp_path) == []


def test_contracts_out_of_step_are_named(tmp_path: Path) -> None:
    write_contracts(schemas(event_class("One", a=int), event_class("Two", a=int)), tmp_path)
    today = schemas(event_class("Two", a=str), event_class("Three", a=int))
    assert check_contracts(today, tmp_path) == [
        "One.avsc belongs to no schema",
        "Three.avsc is missing",
        "Two.avsc differs from its class",
    ]


def test_writing_removes_the_contracts_of_classes_that_went(tmp_path: Path) -> None:
    write_contracts(schemas(event_class("One", a=int)), tmp_path)
    (tmp_path / "README.md").write_text("stays")
    write_contracts(schemas(Described), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Described.avsc", "README.md"]


def test_what_nobody_described_is_named() -> None:
    class Bare(BaseModel):
        x: int

    assert undocumented(schemas(Described)[0]) == []
    cls = event_class("Thing", a=int, bare=list[Bare])
    assert undocumented(schemas(cls)[0]) == ["Thing", "Thing.a", "Thing.bare", "Bare", "Bare.x"]
