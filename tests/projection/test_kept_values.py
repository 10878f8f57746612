"""Read models in PostgreSQL whose columns fit values in their way, compared with a rebuild."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    CHAR,
    REAL,
    Column,
    Float,
    MetaData,
    Numeric,
    String,
    Table,
    insert,
    update,
)
from sqlalchemy.types import TypeEngine

from eventkit import RecordedEvent
from eventkit.projection import Projection, ReadModels, Runner, Transaction, on
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Opened
from tests.projection.test_verifying import verify

pytestmark = pytest.mark.filterwarnings("ignore:Dialect sqlite.*Decimal:Warning")

NAN = float("nan")
COLUMNS: dict[str, tuple[TypeEngine[Any], Any]] = {
    "code": (CHAR(10), "abc"),
    "amount": (Numeric(10, 2), Decimal("1.255")),
    "cents": (Numeric(10, 2, asdecimal=False), 2.675),
    "whole": (Numeric(10), Decimal("2.5")),
    "exact": (Numeric(), Decimal("0.1")),
    "long": (Numeric(20, 4), Decimal("1234567890123456.7891")),
    "single": (REAL(), 0.1234567891),
    "short": (Float(24), 0.1234567891),
    "double": (Float(), 0.1234567891),
    "nan": (Float(), NAN),
    "some_nan": (Numeric(10, 2), Decimal("NaN")),
}


class Fitted(Projection):
    """One value of each column."""

    name = "fitted"
    fitted = Table(
        "fitted",
        MetaData(),
        Column("key", CHAR(12), primary_key=True),
        Column("owner", String),
        *(Column(name, kind, nullable=False) for name, (kind, _) in COLUMNS.items()),
    )

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        values: dict[str, Any] = {name: value for name, (_, value) in COLUMNS.items()}
        tx.insert(self.fitted, {"key": recorded.aggregate_id, "owner": "x", **values})


def fill(store: SqliteStore, models: ReadModels) -> None:
    for number in range(60):  # by COPY too
        store.append(f"account-{number}", [Opened(owner="x")])
    Runner(Fitted(), store, models).run()


def test_what_the_columns_made_of_the_values_is_no_difference(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, models)
    told = verify(Fitted(), store, models)
    assert told.findings == []
    assert all("fitted.long beyond 15 digits" in it for it in told.remarks)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("code", "abd"),
        ("code", " abc"),
        ("amount", Decimal("1.25")),
        ("cents", 2.67),
        ("whole", Decimal(2)),
        ("exact", Decimal("0.10000000001")),
        ("long", Decimal("1234567890123457.7891")),
        ("single", 0.1234568),
        ("short", 0.1234568),
        ("double", 0.12345678910001),
        ("nan", 0.0),
        ("some_nan", Decimal(0)),
        ("owner", "x "),
    ],
)
def test_what_a_column_can_hold_is_a_difference(
    store: SqliteStore, database: str, column: str, value: object
) -> None:
    with ReadModels(database) as models:
        fill(store, models)
        changed = update(Fitted.fitted).where(Fitted.fitted.c.key == "account-3")
        with models.writing() as connection:
            connection.execute(changed.values({column: value}))
        (finding,) = verify(Fitted(), store, models).findings
    assert f"row key 'account-3': {column} is " in finding.problem


class Nullable(Projection):
    name = "nullable"
    table = Table(
        "nullable", MetaData(), Column("key", String, primary_key=True), Column("nan", Float)
    )

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.execute(insert(self.table).values(key=recorded.aggregate_id, nan=NAN))


def test_null_is_not_the_same_as_nan(store: SqliteStore, database: str) -> None:
    store.append("account-1", [Opened(owner="x")])
    with ReadModels(database) as models:
        Runner(Nullable(), store, models).run()
        assert verify(Nullable(), store, models).findings == []
        with models.writing() as connection:
            connection.execute(update(Nullable.table).values(nan=None))
        (finding,) = verify(Nullable(), store, models).findings
    assert finding.problem.endswith("nan is None, in a rebuild 'NaN'")
