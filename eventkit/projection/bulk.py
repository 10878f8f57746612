"""Many rows at once into PostgreSQL: by COPY, and for all but inserts through a staging table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Dialect,
    Enum,
    Executable,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
    UpdateBase,
    Uuid,
)
from sqlalchemy.types import TypeEngine

Row = dict[str, Any]
Merge = Callable[[Table], UpdateBase]

_FEWEST = 50
"""Rows for which COPY pays: below, the steps around it take longer than the rows."""

_NULL = type(None)
_TAKES: tuple[tuple[type[TypeEngine[Any]], frozenset[type]], ...] = (
    (Integer, frozenset({int, _NULL})),
    (Float, frozenset({float, int, _NULL})),
    (Numeric, frozenset({Decimal, int, _NULL})),
    (Boolean, frozenset({bool, _NULL})),
    (DateTime, frozenset({datetime, _NULL})),
    (Date, frozenset({date, _NULL})),
    (Time, frozenset({time, _NULL})),
    (Interval, frozenset({timedelta, _NULL})),
    (LargeBinary, frozenset({bytes, _NULL})),
    (Uuid, frozenset({UUID, _NULL})),
    (String, frozenset({str, _NULL})),
)
"""What COPY stores exactly as a statement does. Other values (a number in a text column, say) are
cast by the statement, in ways that COPY does not: they go by statements, be they few or many, so
that what a read model holds never depends on how many events came together."""


class Shape(NamedTuple):
    """Which rows: of a table, with these columns, some of them added to; found by the key."""

    kind: str
    table: Table
    columns: tuple[str, ...]
    added: tuple[str, ...]
    key: tuple[str, ...]


class Bulk:
    """Sends the rows of one statement.

    Parameters:
        shape: the rows; their parameters are named `p0`, `p1`, ... in the order of its columns.
        statement: writes one row.
        merge: makes the statement that writes all rows of a staging table.
    """

    def __init__(self, shape: Shape, statement: Executable, merge: Merge) -> None:
        self._kind, self._table, *_ = shape
        self._statement = statement
        self._merge = merge
        names = (*shape.columns, *shape.added)
        self._columns = [self._table.c[name] for name in names]
        self._added = [f"p{names.index(name)}" for name in shape.added]
        self._sums = all(isinstance(self._table.c[name].type, Integer) for name in shape.added)
        keys = [f"p{names.index(name)}" for name in shape.key if name in names]
        self._key = itemgetter(*keys) if keys else _no_key
        self._copying = _can_be_copied(self._table, self._columns)
        self._copies: _Copies | None = None

    def send(self, connection: Connection, rows: Sequence[Row], *, exact: bool) -> None:
        """Write the rows, in order.

        Parameters:
            connection: in a transaction.
            rows: values by parameter.
            exact: whether two rows are the same one only where their keys are equal in Python.
        """
        if len(rows) < _FEWEST or not self._copying or not (exact or self._kind == "insert"):
            connection.execute(self._statement, rows)
            return
        if self._copies is None:
            self._copies = _Copies(self._table, self._columns, connection.dialect, self._merge)
        for some in self._rounds(rows):
            if len(some) < _FEWEST or not self._copies.takes(some):
                connection.execute(self._statement, some)
            elif self._kind == "insert":
                self._copies.insert(connection, some)
            else:
                self._copies.merge(connection, some)

    def _rounds(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Rows that can be written together: within a round, no row is written twice."""
        if self._kind in {"insert", "delete"}:
            return [list(rows)]
        if self._sums and all({type(row[p]) for row in rows} == {int} for p in self._added):
            return [self._summed(rows)]
        rounds: list[list[Row]] = []
        seen: dict[Any, int] = {}
        for row in rows:
            key = self._key(row)
            number = seen[key] = seen.get(key, -1) + 1
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(row)
        return rounds

    def _summed(self, rows: Sequence[Row]) -> list[Row]:
        """One row each: the newest values, and the sum of what is added.

        Whole numbers only: fractions would be rounded otherwise than one by one. In the order of
        the keys, so that workers who meet at the same rows seldom wait for each other in a ring.
        """
        newest: dict[Any, Row] = {}
        for row in rows:
            key = self._key(row)
            before = newest.get(key)
            newest[key] = (
                row if before is None else row | {p: before[p] + row[p] for p in self._added}
            )
        return [newest[key] for key in sorted(newest)]


class _Copies:
    """COPY into a table, or into a staging table and from there into the table."""

    def __init__(
        self, table: Table, columns: Sequence[Column[Any]], dialect: Dialect, merge: Merge
    ) -> None:
        quoted = dialect.identifier_preparer
        names = _plain(", ".join(quoted.quote(column.name) for column in columns))
        target = _plain(quoted.format_table(table))
        types = [column.type.compile(dialect) for column in columns]
        sign = hashlib.sha256(f"{target}|{names}|{types}".encode()).hexdigest()[:16]
        stage = Table(
            f"eventkit_stage_{sign}", MetaData(), *(Column(c.name, c.type) for c in columns)
        )
        self._insert = f"COPY {target} ({names}) FROM STDIN"
        self._stage = (
            # Of this session alone; what it holds ends with the transaction. All names are quoted.
            f"CREATE TEMP TABLE IF NOT EXISTS {stage.name} ON COMMIT DELETE ROWS AS "  # noqa: S608
            f"SELECT {names} FROM {target} WITH NO DATA"
        )
        self._fill = f"COPY pg_temp.{stage.name} ({names}) FROM STDIN"
        self._empty = f"DELETE FROM pg_temp.{stage.name}"  # noqa: S608 - a name of ours
        compiled = merge(stage).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        self._merge = _plain(str(compiled))
        self._types = [_takes(column.type) for column in columns]
        self._processors = {
            index: processor
            for index, column in enumerate(columns)
            if (processor := _processor(column, dialect)) is not None
        }

    def takes(self, rows: Sequence[Row]) -> bool:
        """Whether COPY stores all values as the statement would."""
        return all(
            types is None or types.issuperset(map(type, values))
            for types, values in zip(
                self._types, zip(*(row.values() for row in rows), strict=True), strict=True
            )
        )

    def insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Add rows to the table."""
        with _cursor(connection) as cursor:
            self._copy(cursor, self._insert, rows)

    def merge(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Write rows that are different ones."""
        with _cursor(connection) as cursor:
            cursor.execute(self._stage.encode())
            self._copy(cursor, self._fill, rows)
            # Planned anew each time: a plan for a table that was small when a rebuild began would
            # read all of it for each batch later on.
            cursor.execute(self._merge.encode(), prepare=False)
            cursor.execute(self._empty.encode())

    def _copy(self, cursor: psycopg.Cursor[Any], statement: str, rows: Sequence[Row]) -> None:
        processors = self._processors
        with cursor.copy(statement.encode()) as copy:
            for row in rows:
                values = list(row.values())
                for index, processor in processors.items():
                    values[index] = processor(values[index])
                copy.write_row(values)


@contextmanager
def _cursor(connection: Connection) -> Iterator[psycopg.Cursor[Any]]:
    """The driver's own cursor; SQLAlchemy is told when the session is lost."""
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise


def _plain(statement: str) -> str:
    """As it is sent without parameters: SQLAlchemy doubles each `%` for a statement with some."""
    return statement.replace("%%", "%")


def _no_key(row: Row) -> int:
    return id(row)


def _can_be_copied(table: Table, columns: Sequence[Column[Any]]) -> bool:
    """Whether the rows need nothing that SQLAlchemy does in Python alone."""
    given = {column.name for column in columns}
    filled = any(
        column.default is not None or column.onupdate is not None
        for column in table.columns
        if column.name not in given
    )
    return bool(given) and not filled and all(_known(column.type) for column in columns)


def _known(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, (JSON, Enum)) or _takes(kind) is not None


def _takes(kind: TypeEngine[Any]) -> frozenset[type] | None:
    """The types of values; None where it is not known, or where SQLAlchemy checks them itself."""
    if isinstance(kind, Enum) or (isinstance(kind, Uuid) and not kind.as_uuid):
        return None
    return next((types for known, types in _TAKES if isinstance(kind, known)), None)


def _processor(column: Column[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    kind = column.type
    if isinstance(kind, DateTime) and not kind.timezone:
        return _without_zone
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _without_zone(value: datetime | None) -> datetime | None:
    """In a column without a time zone: UTC, as the session's time zone makes it of a parameter."""
    if value is None or value.tzinfo is None:
        return value
    return value.astimezone(UTC).replace(tzinfo=None)
