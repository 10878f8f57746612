"""Many rows at once into SQLite: what is stored is what statements one by one would store."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, create_engine, select
from sqlalchemy.exc import IntegrityError

from eventkit.projection import bulk_sqlite
from eventkit.projection.transaction import Statements, Transaction
from tests.projection.test_bulk import DEFAULTS, ODD, TYPES

META = MetaData()
KINDS = {it: TYPES[it] for it in TYPES if it not in {"jsonb", "list"}}  # those of PostgreSQL
VALUES = [(name, value) for name, (_, values) in KINDS.items() for value in [*values, None]]
TYPED = Table(
    "typed",
    META,
    Column("id", Integer, primary_key=True),
    *(Column(name, kind) for name, (kind, _) in KINDS.items()),
)
MANY = 30


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        META.create_all(connection)
        for table in (ODD, DEFAULTS):
            table.create(connection)
        yield connection
    engine.dispose()


def stored(connection: Connection, table: Table, rows: list[dict[str, Any]], fewest: int) -> Any:
    """What the table holds after upserts and updates of these rows, or the error they end with."""
    with connection.begin_nested() as undo, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_sqlite, "_FEWEST", fewest)
        tx = Transaction(connection, Statements([table], "sqlite"))
        try:
            for kind in (tx.insert, tx.upsert, tx.update):
                for row in rows:
                    kind(table, row)
            tx.flush()
            found: Any = list(connection.execute(select(table).order_by(*table.primary_key)))
        except Exception as error:  # noqa: BLE001 - compared
            found = type(error)
        undo.rollback()
    return found


@pytest.mark.parametrize(("name", "value"), VALUES, ids=lambda it: f"{it}"[:20])
def test_each_value_is_stored_as_one_statement_stores_it(
    connection: Connection, name: str, value: object
) -> None:
    rows = [{"id": number, name: value} for number in range(MANY)]
    alone = stored(connection, TYPED, rows, fewest=1_000)
    assert stored(connection, TYPED, rows, fewest=1) == alone


def test_names_that_need_quotes_are_quoted(connection: Connection) -> None:
    rows = [{"id": str(number), "amount": number} for number in range(MANY)]
    found = stored(connection, ODD, rows, fewest=1)
    assert len(found) == MANY
    assert found == stored(connection, ODD, rows, fewest=1_000)


def test_defaults_are_filled_in(connection: Connection) -> None:
    tx = Transaction(connection, Statements([DEFAULTS], "sqlite"))
    for number in range(MANY):
        tx.insert(DEFAULTS, {"id": number})
    tx.flush()
    assert {tuple(it)[1:] for it in connection.execute(select(DEFAULTS))} == {
        ("in Python", "in the database")
    }


def test_what_is_added_is_summed_also_where_nothing_was(connection: Connection) -> None:
    tx = Transaction(connection, Statements([ODD], "sqlite"))
    tx.insert(ODD, {"id": "a"})
    for number in range(MANY):
        tx.upsert(ODD, {"id": "ab"[number % 2]}, add={"amount": 2})
    tx.flush()
    assert list(connection.execute(select(ODD).order_by(*ODD.primary_key))) == [
        ("a", MANY),
        ("b", MANY),
    ]


def test_an_error_is_that_of_a_statement(connection: Connection) -> None:
    tx = Transaction(connection, Statements([ODD], "sqlite"))
    for _ in range(MANY):
        tx.insert(ODD, {"id": "a"})
    with pytest.raises(IntegrityError, match="UNIQUE"):
        tx.flush()
