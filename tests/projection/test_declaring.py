"""What a projection class must be like, and what it is told otherwise."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import Event
from eventkit.errors import InvalidProjection
from eventkit.projection import Projection, on
from tests.projection.accounts import Balances, Opened


def table(name: str = "things") -> Table:
    return Table(name, MetaData(), Column("id", String, primary_key=True))


def handler(_self: Projection, _recorded: object, _tx: object) -> None:
    """A handler with nothing to do."""


def declared(**attributes: Any) -> type[Projection]:
    """A projection class that is right but for these attributes; one that is `...` is left out."""
    body = {"name": "things", "things": table(), "handle": on(Opened)(handler), **attributes}
    return type("Things", (Projection,), {k: v for k, v in body.items() if v is not ...})


@pytest.mark.parametrize("name", ["", "two words", "1st", "a" * 101, "a.b", None, 7])
def test_a_name_that_cannot_be_typed_as_a_command_is_refused(name: object) -> None:
    with pytest.raises(InvalidProjection, match=r"Things: name = .* is no name"):
        declared(name=name)


@pytest.mark.parametrize("name", ["things", "open-things", "Things_2", "a" * 100])
def test_a_name_of_letters_digits_and_dashes_is_taken(name: str) -> None:
    assert declared(name=name)().name == name


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, True, None])
def test_a_version_that_does_not_count_from_1_is_refused(version: object) -> None:
    with pytest.raises(InvalidProjection, match="Things: version is 1, 2, 3"):
        declared(version=version)


@pytest.mark.parametrize("categories", ["task", [], ()])
def test_categories_that_are_no_list_are_refused(categories: object) -> None:
    with pytest.raises(InvalidProjection, match=r"Things: categories is a list of names"):
        declared(categories=categories)


@pytest.mark.parametrize("category", ["", "a-b", "with space"])
def test_a_category_that_no_aggregate_can_have_is_refused(category: str) -> None:
    with pytest.raises(InvalidProjection, match=r"Things: .* is no category"):
        declared(categories=[category])


def test_a_projection_needs_a_table() -> None:
    with pytest.raises(InvalidProjection, match="Things has no table"):
        declared(things=...)


def test_a_projection_needs_a_handler() -> None:
    with pytest.raises(InvalidProjection, match="Things handles no event"):
        declared(handle=...)


def test_two_tables_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidProjection, match="has the table 'things' twice"):
        declared(others=table())


def test_the_names_of_our_own_tables_are_refused() -> None:
    with pytest.raises(InvalidProjection, match="rename 'eventkit_things'"):
        declared(things=table("eventkit_things"))


def test_a_class_without_a_name_is_a_base_for_others() -> None:
    base = declared(name=...)
    with pytest.raises(InvalidProjection, match="Things has no name"):
        base()
    derived = type("Derived", (base,), {"name": "derived"})
    assert repr(derived()) == "<Derived derived v1>"


def test_on_needs_an_event_class() -> None:
    with pytest.raises(InvalidProjection, match="@on needs an event class"):
        on()


@pytest.mark.parametrize("wrong", [int, "Opened", Opened(owner="ann"), handler])
def test_on_refuses_what_is_no_event_class(wrong: Any) -> None:
    with pytest.raises(InvalidProjection, match="@on takes event classes"):
        on(Opened, wrong)


def test_on_used_without_brackets_is_told() -> None:
    with pytest.raises(InvalidProjection, match="@on takes event classes"):

        @on  # type: ignore[arg-type]
        def handle(_self: Projection, _recorded: object, _tx: object) -> None: ...


async def coroutine(_self: Projection, _recorded: object, _tx: object) -> None: ...


def generator(_self: Projection, _recorded: object, _tx: object) -> Iterator[None]:
    yield


async def async_generator(_self: Projection, _recorded: object, _tx: object) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    "method", [coroutine, generator, async_generator, staticmethod(handler), Balances]
)
def test_a_handler_is_a_plain_method(method: Any) -> None:
    with pytest.raises(InvalidProjection, match="@on marks plain methods"):
        on(Opened)(method)


@pytest.mark.parametrize("method", [lambda _self: None, lambda _self, _recorded: None])
def test_a_handler_takes_the_recorded_event_and_the_transaction(method: Any) -> None:
    with pytest.raises(InvalidProjection, match=r"def <lambda>\(self, recorded, tx\)"):
        on(Opened)(method)


def test_the_tables_are_on_the_instance_so_that_it_can_be_pointed_at_copies() -> None:
    balances, other = Balances(), Balances()
    balances.accounts = Table("copy", MetaData(), Column("account", Integer, primary_key=True))
    assert (other.accounts, Balances.accounts.name) == (Balances.accounts, "accounts")


def test_an_event_class_may_be_a_base_of_others() -> None:
    class Moved(Event):
        pass

    assert declared(handle=on(Moved)(handler))().name == "things"
