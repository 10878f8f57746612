"""Writing through the transaction: gathered statements that act as if each ran at once."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from eventkit.errors import InvalidInput
from eventkit.projection.transaction import Statements, Transaction

META = MetaData()


def table(name: str, *items: Any, key: String | None = None) -> Table:
    columns = Column("text", String), Column("amount", Integer)
    return Table(name, META, Column("id", key or String(), primary_key=True), *columns, *items)


PLAIN = table("plain")
UNIQUE = table("unique_text", UniqueConstraint("text"))
CASELESS = table("caseless", key=String(collation="NOCASE"))
INDEPENDENT = table("independent", Index("by_text", "text"), CheckConstraint("text <> ''"))
INDEXED = table("indexed", Index("once", "text", unique=True))
PAIRS = Table(
    "pairs",
    META,
    Column("left", Integer, primary_key=True),
    Column("right", Uuid, primary_key=True),
    Column("amount", Integer),
)
NUMBERED = Table("numbered", META, Column("id", Integer, primary_key=True), Column("text", String))
KEYLESS = Table("keyless", META, Column("text", String))
PARENT = Table("parent", META, Column("id", Integer, primary_key=True))
CHILD = Table(
    "child",
    META,
    Column("id", Integer, primary_key=True),
    Column("parent_id", ForeignKey("parent.id"), nullable=False),
)


class Spy:
    """A database in memory that counts the statements it is sent."""

    def __init__(self) -> None:
        engine = create_engine("sqlite://")
        self.connection = engine.connect()
        self.connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        META.create_all(self.connection)
        self.sent: list[str] = []  # the first word of each statement
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.sent.append(statement.split(maxsplit=1)[0])

    def begin(self, *tables: Table) -> Transaction:
        return Transaction(self.connection, Statements(tables, "sqlite"))

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        found = self.connection.execute(select(table).order_by(*table.c))
        return [tuple(row) for row in found]


@pytest.fixture
def spy() -> Iterator[Spy]:
    spy = Spy()
    yield spy
    spy.connection.close()
    spy.connection.engine.dispose()


def test_the_writes_of_many_rows_need_one_statement_a_kind(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    for number in range(100):
        key = {"id": str(number)}
        tx.insert(PLAIN, {**key, "text": "new", "amount": 0})
        tx.update(PLAIN, key, add={"amount": 1})
        tx.update(PLAIN, key, add={"amount": 2})
        if number != 50:
            tx.delete(PLAIN, key)
    tx.flush()
    assert spy.sent == ["INSERT", "UPDATE", "DELETE"]
    assert spy.rows(PLAIN) == [("50", "new", 3)]


def test_the_order_of_writes_on_one_row_is_kept(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    for text in ("first", "second"):
        tx.insert(PLAIN, {"id": "a", "text": text})
        tx.update(PLAIN, {"id": "a", "amount": 1})
        tx.delete(PLAIN, {"id": "a"})
    tx.insert(PLAIN, {"id": "a", "text": "third"})
    tx.flush()
    assert spy.rows(PLAIN) == [("a", "third", None)]


def test_tables_without_foreign_keys_do_not_interrupt_each_other(spy: Spy) -> None:
    tx = spy.begin(PLAIN, NUMBERED)
    for number in range(10):
        tx.insert(PLAIN, {"id": str(number)})
        tx.insert(NUMBERED, {"text": str(number)})
    tx.flush()
    assert spy.sent == ["INSERT", "INSERT"]
    assert [text for _, text in spy.rows(NUMBERED)] == list("0123456789")


def test_with_foreign_keys_the_order_between_tables_is_kept(spy: Spy) -> None:
    tx = spy.begin(CHILD, PARENT)
    for number in (1, 2):
        tx.insert(PARENT, {"id": number})
        tx.insert(CHILD, {"id": number, "parent_id": number})
    tx.delete(CHILD, {"id": 1})
    tx.delete(PARENT, {"id": 1})
    tx.flush()
    assert (spy.rows(PARENT), spy.rows(CHILD)) == ([(2,)], [(2, 2)])


def test_with_another_unique_column_the_order_between_rows_is_kept(spy: Spy) -> None:
    tx = spy.begin(UNIQUE)
    tx.insert(UNIQUE, {"id": "a", "text": "taken"})
    tx.delete(UNIQUE, {"id": "a"})
    tx.insert(UNIQUE, {"id": "b", "text": "taken"})
    tx.flush()
    assert spy.rows(UNIQUE) == [("b", "taken", None)]


@pytest.mark.parametrize(("table", "statements"), [(INDEPENDENT, 2), (UNIQUE, 4), (INDEXED, 4)])
def test_rows_are_independent_where_nothing_but_the_primary_key_is_unique(
    table: Table, statements: int, spy: Spy
) -> None:
    tx = spy.begin(table)
    for key in ("a", "b"):
        tx.insert(table, {"id": key, "text": key})
        tx.update(table, {"id": key, "amount": 1})
    tx.flush()
    assert len(spy.sent) == statements


def test_keys_that_the_database_holds_for_equal_are_one_row(spy: Spy) -> None:
    tx = spy.begin(CASELESS)
    tx.insert(CASELESS, {"id": "a"})
    tx.delete(CASELESS, {"id": "A"})
    tx.insert(CASELESS, {"id": "a", "text": "second"})
    tx.flush()
    assert spy.rows(CASELESS) == [("a", "second", None)]


def test_a_key_of_another_type_than_its_column_may_be_any_row(spy: Spy) -> None:
    dates = Table("dates", MetaData(), Column("day", Date, primary_key=True))
    dates.create(spy.connection)
    tx = spy.begin(dates, PLAIN)
    tx.insert(PLAIN, {"id": "1"})
    tx.delete(PLAIN, {"id": 1})
    tx.insert(PLAIN, {"id": "1", "text": "second"})
    tx.insert(dates, {"day": date(2020, 1, 1)})
    tx.delete(dates, {"day": date(2020, 1, 1)})
    tx.flush()
    assert (spy.rows(PLAIN), spy.rows(dates)) == ([("1", "second", None)], [])


Kind = Literal["insert", "upsert", "update", "delete", "get"]
_kinds = st.sampled_from(["insert", "upsert", "update", "delete", "get"])
_keys = st.sampled_from("abcd")
_operations = st.lists(
    st.tuples(_kinds, _keys, st.none() | st.text("xy", max_size=2), st.none() | st.integers(0, 9)),
    max_size=40,
)


class Model:
    """The same table as a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def do(self, kind: Kind, key: str, values: Mapping[str, Any], add: Mapping[str, int]) -> None:
        row = self.rows.get(key)
        if kind == "delete":
            self.rows.pop(key, None)
        elif row is not None:
            row.update(values)
            row.update({name: (row[name] or 0) + number for name, number in add.items()})
        elif kind != "update":
            self.rows[key] = {"text": None, "amount": None, **values, **add}


@given(operations=_operations)
def test_gathered_writes_lead_where_each_at_once_would(
    operations: list[tuple[Kind, str, str | None, int | None]],
) -> None:
    spy, model = Spy(), Model()
    tx = spy.begin(PLAIN)
    for kind, key, text, count in operations:
        row = {"id": key}
        values = {} if text is None else {"text": text}
        add = {} if count is None else {"amount": count}
        there = model.rows.get(key)
        if kind == "get":
            found = tx.get(PLAIN, row)
            assert (None if found is None else found._asdict()) == (there and {**row, **there})
        elif kind == "delete":
            tx.delete(PLAIN, row)
            model.do(kind, key, {}, {})
        elif kind == "insert":
            if there is None:
                tx.insert(PLAIN, {**row, **values, **add})
                model.do(kind, key, {**values, **add}, {})
        elif kind == "upsert" or values or add:
            write = tx.upsert if kind == "upsert" else tx.update
            write(PLAIN, {**row, **values}, add=add)
            model.do(kind, key, values, add)
    tx.flush()
    expected = [(key, row["text"], row["amount"]) for key, row in sorted(model.rows.items())]
    assert spy.rows(PLAIN) == expected
    spy.connection.close()
    spy.connection.engine.dispose()


def test_a_handler_reads_what_it_wrote(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    tx.insert(PLAIN, {"id": "a", "amount": 1})
    assert tx.scalar(select(PLAIN.c.amount)) == 1
    tx.update(PLAIN, {"id": "a"}, add={"amount": 1})
    row = tx.get(PLAIN, {"id": "a"})
    assert row is not None
    assert row.amount == 2
    tx.execute(update(PLAIN).values(amount=PLAIN.c.amount * 10))
    assert tx.execute(select(PLAIN.c.amount)).scalars().all() == [20]
    tx.update(PLAIN, {"id": "a", "text": "x"})
    assert tx.connection.execute(select(PLAIN.c.text)).scalar_one() == "x"


def test_reading_a_row_sends_only_what_may_have_changed_it(spy: Spy) -> None:
    tx = spy.begin(PLAIN, NUMBERED)
    tx.insert(PLAIN, {"id": "a"})
    tx.insert(NUMBERED, {"text": "x"})
    tx.get(PLAIN, {"id": "b"})
    assert spy.sent == ["SELECT"]
    tx.get(PLAIN, {"id": "a"})
    assert spy.sent == ["SELECT", "INSERT", "SELECT"]
    found = tx.get(NUMBERED, {"id": 1})
    assert found is not None
    assert found.text == "x"


def test_reading_a_row_by_a_key_that_may_be_any_sends_all_of_its_table(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    tx.insert(PLAIN, {"id": "1"})
    assert tx.get(PLAIN, {"id": 1}) is not None


def test_a_row_that_is_not_there_is_none(spy: Spy) -> None:
    assert spy.begin(PLAIN).get(PLAIN, {"id": "a"}) is None


def test_execute_takes_many_rows_as_sqlalchemy_does(spy: Spy) -> None:
    spy.begin(PLAIN).execute(insert(PLAIN), [{"id": "a"}, {"id": "b"}])
    assert spy.sent == ["INSERT"]


def test_a_key_of_several_columns_may_be_given_in_any_order(spy: Spy) -> None:
    tx = spy.begin(PAIRS)
    one, two = UUID(int=1), UUID(int=2)
    tx.upsert(PAIRS, {"left": 1, "right": one}, add={"amount": 1})
    tx.upsert(PAIRS, {"right": one, "left": 1}, add={"amount": 1})
    tx.upsert(PAIRS, {"left": 1, "right": two}, add={"amount": 5})
    tx.delete(PAIRS, {"right": two, "left": 1})
    found = tx.get(PAIRS, {"right": one, "left": 1})
    assert found is not None
    assert tuple(found) == (1, one, 2)


def test_an_upsert_of_the_key_alone_leaves_a_row_as_it_is(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    tx.insert(PLAIN, {"id": "a", "text": "x"})
    tx.upsert(PLAIN, {"id": "a"})
    tx.upsert(PLAIN, {"id": "b"})
    tx.flush()
    assert spy.rows(PLAIN) == [("a", "x", None), ("b", None, None)]


def test_a_row_may_be_changed_after_it_was_handed_over(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    row = {"id": "a", "text": "x"}
    tx.insert(PLAIN, row)
    row["text"] = "y"
    tx.flush()
    assert spy.rows(PLAIN) == [("a", "x", None)]


@pytest.mark.parametrize("kind", ["upsert", "update", "delete", "get"])
def test_a_row_is_found_by_its_whole_primary_key(kind: str, spy: Spy) -> None:
    tx = spy.begin(PAIRS, KEYLESS)
    with pytest.raises(InvalidInput, match=r"its primary key \(left, right\), and got left"):
        getattr(tx, kind)(PAIRS, {"left": 1})
    with pytest.raises(InvalidInput, match="it has none"):
        getattr(tx, kind)(KEYLESS, {"text": "x"})


@pytest.mark.parametrize("kind", ["delete", "get"])
def test_delete_and_get_take_the_key_alone(kind: str, spy: Spy) -> None:
    with pytest.raises(InvalidInput, match="takes the primary key of 'plain' alone: id"):
        getattr(spy.begin(PLAIN), kind)(PLAIN, {"id": "a", "text": "x"})


def test_a_column_that_the_table_does_not_have_is_refused(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    with pytest.raises(InvalidInput, match="no column 'txet'; it has id, text, amount"):
        tx.insert(PLAIN, {"id": "a", "txet": "x"})
    with pytest.raises(InvalidInput, match="no column 'number'"):
        tx.update(PLAIN, {"id": "a"}, add={"number": 1})


def test_an_update_that_sets_nothing_is_refused(spy: Spy) -> None:
    with pytest.raises(InvalidInput, match="update of 'plain' sets nothing"):
        spy.begin(PLAIN).update(PLAIN, {"id": "a"})


@pytest.mark.parametrize("column", ["id", "amount"])
def test_a_column_is_given_or_added_to_but_not_both(column: str, spy: Spy) -> None:
    with pytest.raises(InvalidInput, match=f"'{column}' of 'plain' cannot be added to"):
        spy.begin(PLAIN).upsert(PLAIN, {"id": "a", "amount": 1}, add={column: 1})


def test_a_table_of_others_is_refused(spy: Spy) -> None:
    with pytest.raises(InvalidInput, match="'pairs' is not a table of this projection"):
        spy.begin(PLAIN).insert(PAIRS, {"left": 1})


def test_a_handler_cannot_swallow_the_error_of_a_gathered_write(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    tx.insert(PLAIN, {"id": "a"})
    tx.insert(PLAIN, {"id": "a"})
    with pytest.raises(IntegrityError):
        tx.get(PLAIN, {"id": "a"})
    with pytest.raises(SQLAlchemyError):
        tx.flush()


def test_a_flush_with_nothing_to_send_sends_nothing(spy: Spy) -> None:
    tx = spy.begin(PLAIN)
    tx.flush()
    tx.insert(PLAIN, {"id": "a"})
    tx.flush()
    tx.flush()
    assert spy.sent == ["INSERT"]
