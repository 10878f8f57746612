"""Many rows at once into PostgreSQL: what is stored is what statements one by one would store."""

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
    UniqueConstraint,
    Uuid,
    event,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import SQLAlchemyError

from eventkit.projection import ReadModels, bulk
from eventkit.projection.transaction import Statements, Transaction


class Colour(enum.Enum):
    RED = "r"


META = MetaData()
ITEMS = Table(
    "items",
    META,
    Column("id", Integer, primary_key=True),
    Column("text", String),
    Column("amount", Integer),
    Column("share", Float),
)
ODD = Table(
    "odd %s name",
    META,
    Column("the key", String, key="id", primary_key=True),
    Column('100% "of" it', Integer, key="amount"),
)
UNIQUE = Table(
    "once",
    META,
    Column("id", Integer, primary_key=True),
    Column("text", String),
    UniqueConstraint("text"),
)
DEFAULTS = Table(
    "defaults",
    META,
    Column("id", Integer, primary_key=True),
    Column("made", String, default="in Python"),
    Column("given", String, server_default="in the database"),
)
TYPES: dict[str, tuple[Any, list[Any]]] = {
    "whole": (Integer, [1, -5, True, 2.0, "7", Decimal(3)]),
    "exact": (Numeric(10, 2), [Decimal("1.25"), 3, 1.1, Decimal("1.005")]),
    "float": (Float, [1.5, 2, 0.1 + 0.2, Decimal("1.1"), float("inf")]),
    "text": (
        String,
        ["", "tab\t line\n \\N \\ ünï", 5, 1.0, True, datetime(2026, 1, 2, tzinfo=UTC)],
    ),
    "short": (String(3), ["abc"]),
    "yes": (Boolean, [True, False]),
    "moment": (
        DateTime,
        [
            datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - as handlers may have them
            datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=9))),
        ],
    ),
    "zoned": (
        DateTime(timezone=True),
        [
            datetime(2026, 1, 2, 3),  # noqa: DTZ001 - as handlers may have them
            datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=9))),
        ],
    ),
    "day": (Date, [date(2026, 1, 2), datetime(2026, 1, 2, 23, tzinfo=UTC)]),
    "hour": (Time, [time(3, 4, 5, 6)]),
    "long": (Interval, [timedelta(days=2, microseconds=3)]),
    "bytes": (LargeBinary, [b"\x00\\x\xff"]),
    "uuid": (Uuid, [UUID(int=5)]),
    "uuid text": (Uuid(as_uuid=False), [str(UUID(int=5))]),
    "json": (JSON, [{"a": [1, None]}, None, "text"]),
    "jsonb": (JSONB, [{"a": "ü\t"}, 5]),
    "enum": (Enum(Colour), [Colour.RED, "RED"]),
    "list": (ARRAY(String), [["a", "b, c"], []]),
}
VALUES = [(name, value) for name, (_, values) in TYPES.items() for value in [*values, None]]
TYPED = Table(
    "typed",
    META,
    Column("id", Integer, primary_key=True),
    *(Column(name, kind) for name, (kind, _) in TYPES.items()),
)

Operation = tuple[Literal["insert", "upsert", "update", "delete"], dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def connection(postgres: str) -> Iterator[Connection]:
    from tests.projection.plugin import Database  # noqa: PLC0415 - not as a plugin

    with (
        Database(postgres) as database,
        ReadModels(database.url) as models,
        models.writing() as connection,
    ):
        META.create_all(connection)
        yield connection


def stored(
    connection: Connection, table: Table, operations: list[Operation], *, at_once: bool
) -> list[Any]:
    """What the table holds after these operations, gathered or one by one; nothing stays."""
    with connection.begin_nested() as undo, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "_FEWEST", 1 if at_once else 1_000_000)
        transaction = Transaction(connection, Statements([table], "postgresql"))
        for kind, row, add in operations:
            write = getattr(transaction, kind)
            write(table, row, add) if kind in {"upsert", "update"} else write(table, row)
            if not at_once:
                transaction.flush()
        transaction.flush()
        rows = connection.execute(select(table).order_by(*table.primary_key)).all()
        undo.rollback()
    return [tuple(row) for row in rows]


def same(connection: Connection, table: Table, operations: list[Operation]) -> list[Any]:
    gathered = stored(connection, table, operations, at_once=True)
    assert repr(gathered) == repr(stored(connection, table, operations, at_once=False))
    return gathered


IDS = st.integers(0, 6)
SHARES = st.sampled_from([0.1, 0.2, 0.7, 1e16, None])
CHANGES: st.SearchStrategy[Any] = st.one_of(
    st.tuples(
        st.just("upsert"),
        st.fixed_dictionaries({"id": IDS, "text": st.sampled_from(["a", "b", None])}),
        st.one_of(
            st.just({}),
            st.fixed_dictionaries({"amount": st.integers(-9, 9)}),
            st.fixed_dictionaries({"amount": st.one_of(st.none(), st.integers(-9, 9))}),
            st.fixed_dictionaries({"share": SHARES}),
        ),
    ),
    st.tuples(st.just("upsert"), st.fixed_dictionaries({"id": IDS}), st.just({})),
    st.tuples(
        st.just("update"),
        st.fixed_dictionaries({"id": IDS}),
        st.fixed_dictionaries({"amount": st.integers(-9, 9), "share": SHARES}),
    ),
    st.tuples(st.just("delete"), st.fixed_dictionaries({"id": IDS}), st.just({})),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(CHANGES, min_size=20, max_size=60))
def test_gathered_writes_leave_what_single_ones_leave(
    operations: list[Operation], connection: Connection
) -> None:
    same(connection, ITEMS, operations)


@pytest.mark.parametrize(("column", "value"), VALUES)
@pytest.mark.parametrize("kind", ["insert", "upsert"])
def test_each_value_is_stored_as_one_statement_stores_it(
    kind: Literal["insert", "upsert"], column: str, value: Any, connection: Connection
) -> None:
    operations: list[Operation] = [(kind, {"id": n, column: value}, {}) for n in range(5)]
    try:
        expected = stored(connection, TYPED, operations, at_once=False)
    except SQLAlchemyError:
        with pytest.raises((SQLAlchemyError, psycopg.Error)):
            stored(connection, TYPED, operations, at_once=True)
    else:
        assert repr(stored(connection, TYPED, operations, at_once=True)) == repr(expected)


def test_names_that_need_quotes_are_quoted(connection: Connection) -> None:
    operations: list[Operation] = [("insert", {"id": f"a{n}", "amount": n}, {}) for n in range(9)]
    operations += [("upsert", {"id": f"a{n % 3}"}, {"amount": 100}) for n in range(9)]
    operations += [("update", {"id": f"a{n}", "amount": 5}, {}) for n in range(4, 9)]
    operations += [("delete", {"id": f"a{n}"}, {}) for n in range(5, 9)]
    amounts = [300, 301, 302, 3, 5]
    assert same(connection, ODD, operations) == [(f"a{n}", amounts[n]) for n in range(5)]


def test_rows_that_depend_on_each_other_keep_their_order(connection: Connection) -> None:
    operations: list[Operation] = [("insert", {"id": n, "text": f"{n}"}, {}) for n in range(9)]
    operations += [("update", {"id": n, "text": f"{n + 1}"}, {}) for n in reversed(range(9))]
    assert len(same(connection, UNIQUE, operations)) == 9


def test_defaults_are_filled_in(connection: Connection) -> None:
    operations: list[Operation] = [("insert", {"id": n}, {}) for n in range(9)]
    operations += [("upsert", {"id": n, "made": "here"}, {}) for n in range(5, 12)]
    found = same(connection, DEFAULTS, operations)
    assert found[0] == (0, "in Python", "in the database")
    assert found[11] == (11, "here", "in the database")


def test_many_rows_need_few_statements(connection: Connection) -> None:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    operations: list[Operation] = [("upsert", {"id": n % 50, "text": "x"}, {}) for n in range(500)]
    stored(connection, ITEMS, operations, at_once=True)
    event.remove(connection, "before_cursor_execute", note)
    assert [one for one in sent if one.startswith("INSERT")] == []


def test_a_staging_table_is_empty_for_the_next_batch(connection: Connection) -> None:
    operations: list[Operation] = [("upsert", {"id": n, "text": "x"}, {}) for n in range(9)]
    more: list[Operation] = [("delete", {"id": n}, {}) for n in range(9)]
    operations += more + [("upsert", {"id": n, "text": "y"}, {}) for n in range(3, 9)]
    assert [row[:2] for row in same(connection, ITEMS, operations)] == [
        (n, "y") for n in range(3, 9)
    ]
    assert connection.execute(text("SELECT count(*) FROM items")).scalar() == 0
