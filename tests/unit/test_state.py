"""The typed fields of an aggregate."""

import dataclasses
import logging
import threading
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Optional

import pytest
from pydantic import BaseModel, Field, PrivateAttr

from eventkit import Aggregate
from eventkit.aggregate import state_model, state_of, undeclared_state
from eventkit.errors import AggregateError


class Address(BaseModel):
    street: str


class Person(Aggregate):
    LIMIT: ClassVar[int] = 3

    name: str
    age: int = 30
    tags: list[str] = []  # noqa: RUF012 - each aggregate gets its own copy
    notes: dict[str, str] = Field(default_factory=dict)
    friends: set[str] = dataclasses.field(default_factory=set)
    home: Address = Address(street="none")
    score: Decimal = Field(default=Decimal("1.5"))
    plain: int = dataclasses.field(default=7)
    nickname: str = Field()
    surname: str = dataclasses.field()
    later: Optional["Defined"] = None
    _hidden: int = 0


class Defined(BaseModel):
    day: date


class Employee(Person):
    age: int = 40
    salary: int = 0


def test_a_new_aggregate_has_the_defaults_of_its_fields() -> None:
    assert state_of(Person()) == {
        "age": 30,
        "tags": [],
        "notes": {},
        "friends": set(),
        "home": Address(street="none"),
        "score": Decimal("1.5"),
        "plain": 7,
        "later": None,
    }


def test_a_field_without_a_default_does_not_exist_until_it_is_set() -> None:
    person = Person()
    with pytest.raises(AttributeError):
        _ = person.name
    assert not any(hasattr(person, name) for name in ("name", "nickname", "surname"))
    person.name = "Ada"
    assert state_of(person)["name"] == "Ada"


def test_defaults_that_can_change_are_not_shared() -> None:
    one, two = Person(), Person()
    one.tags.append("a")
    one.notes["a"] = "b"
    one.friends.add("Bob")
    one.home.street = "Elm Street"
    assert state_of(two) == state_of(Person())
    assert (Person.tags, Person.home) == ([], Address(street="none"))


NONE: list[str] = []


class Door(Aggregate):
    opened: list[str] = NONE
    closed: list[str] = NONE


def test_fields_with_one_default_object_do_not_share_it() -> None:
    door = Door()
    door.opened.append("a")
    assert state_of(door) == {"opened": ["a"], "closed": []}
    assert NONE == []


def test_class_variables_and_private_names_are_no_state() -> None:
    assert "LIMIT" not in state_model(Person).model_fields
    assert "_hidden" not in state_model(Person).model_fields


class Frozen(BaseModel, frozen=True):
    grams: int = 1


class Crate(Aggregate):
    weight: int = 0
    _seen: set[str] = set()  # noqa: RUF012 - each aggregate gets its own copy
    _notes: dict[str, list[int]] = PrivateAttr(default_factory=dict)
    _flags: list[object] = dataclasses.field(default_factory=lambda: [True])
    _least: Frozen = Frozen()
    _shared: ClassVar[list[str]] = []
    _LADDER = ["a", "b"]  # noqa: RUF012 - a constant
    _log: logging.Logger = logging.getLogger("crate")


class BigCrate(Crate):
    _shared = ["b"]  # noqa: RUF012 - a class variable of the base
    _seen = {"b"}  # noqa: RUF012 - a field of the base


def test_private_defaults_that_can_change_are_not_shared() -> None:
    one, two = Crate(), Crate()
    one._seen.add("a")
    one._notes["a"] = [1]
    one._flags.append(1)
    assert (two._seen, two._notes, two._flags) == (set(), {}, [True])
    assert (Crate()._seen, Crate._seen, BigCrate()._seen) == (set(), set(), {"b"})
    assert one._shared is two._shared


def test_private_fields_are_undeclared_state_as_soon_as_they_are_changed() -> None:
    crate = Crate()
    assert undeclared_state(crate) == undeclared_state(BigCrate()) == set()
    crate._seen.add("a")
    assert undeclared_state(crate) == {"_seen"}
    crate._seen.clear()
    crate._flags[0] = 1
    assert crate._flags == Crate()._flags
    assert undeclared_state(crate) == {"_flags"}
    crate._flags[0] = lambda: None
    assert undeclared_state(crate) == {"_flags"}


class Mixin:
    tags: list[str] = []  # noqa: RUF012 - this is refused


@pytest.mark.parametrize(
    ("bases", "body", "name"),
    [
        ((Aggregate,), {"tags": []}, "Bad.tags"),
        ((Aggregate,), {"_seen": set()}, "Bad._seen"),
        ((Aggregate,), {"home": Address(street="none")}, "Bad.home"),
        ((Mixin, Aggregate), {}, "Mixin.tags"),
    ],
)
def test_what_all_aggregates_would_share_by_mistake_is_refused(
    bases: tuple[type, ...], body: dict[str, object], name: str
) -> None:
    with pytest.raises(
        AggregateError, match=rf"all aggregates of Bad would share the \w+ {name}\."
    ):
        type("Bad", bases, dict(body))


def test_a_private_default_that_cannot_be_copied_is_refused() -> None:
    body = {"__annotations__": {"_lock": Any}, "_lock": threading.Lock()}
    with pytest.raises(
        AggregateError, match=r"cannot copy the default of '_lock'.*_lock: ClassVar"
    ):
        type("Bad", (Aggregate,), body)


def test_a_subclass_has_the_fields_of_its_base_first() -> None:
    names = list(state_model(Employee).model_fields)
    assert names == [*state_model(Person).model_fields, "salary"]
    assert (Employee().age, Person().age) == (40, 30)


def test_the_model_has_the_types_and_defaults_of_the_fields() -> None:
    fields = state_model(Person).model_fields
    assert {name for name, field in fields.items() if field.is_required()} == {
        "name", "nickname", "surname"
    }  # fmt: skip
    assert (fields["age"].annotation, fields["age"].default) == (int, 30)
    values = {"name": "", "nickname": "", "surname": "", "later": {"day": "2024-02-29"}}
    made = state_model(Person).model_validate(values)
    assert vars(made)["later"] == Defined(day=date(2024, 2, 29))


def test_the_model_is_made_once() -> None:
    assert state_model(Person) is state_model(Person)
    assert state_model(Person) is not state_model(Employee)


@pytest.mark.parametrize(
    "name",
    ["version", "aggregate_id", "pending_events", "record", "apply", "replay_from", "_pending"],
)
def test_the_names_of_an_aggregate_itself_are_taken(name: str) -> None:
    with pytest.raises(AggregateError, match=f"cannot have a field called '{name}'"):
        type("Odd", (Aggregate,), {"__annotations__": {name: int}, name: 0})


class Unreadable(Aggregate):
    thing: "Unheard"  # type: ignore[name-defined]  # noqa: F821


class Opaque:
    pass


class NotPydantic(Aggregate):
    thing: Opaque


@pytest.mark.parametrize("cls", [Unreadable, NotPydantic])
def test_a_field_whose_type_cannot_be_kept_is_told_when_the_model_is_needed(
    cls: type[Any],
) -> None:
    assert cls().version == 0
    with pytest.raises(AggregateError, match=f"the fields of {cls.__name__} cannot be read"):
        state_model(cls)
