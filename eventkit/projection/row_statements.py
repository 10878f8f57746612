"""The SQL of writing and reading single rows by primary key."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Executable,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    Unicode,
    UnicodeText,
    UpdateBase,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from eventkit.errors import InvalidInput
from eventkit.projection.bulk_sqlite import SqliteBulk
from eventkit.projection.writes import ANY_ROW, RowStatement, Sender

Kind = Literal["insert", "upsert", "update", "delete", "get"]
Values = Mapping[str, Any]

_EXACT: dict[type, type] = {
    Integer: int, BigInteger: int, SmallInteger: int,
    String: str, Text: str, Unicode: str, UnicodeText: str,
    Uuid: UUID,
}  # fmt: skip
"""Key columns of these types hold values that are the same row exactly where Python says equal."""


class TableStatements:
    """The statements of one table.

    Parameters:
        table: one of the projection's.
        dialect: name of the database's dialect, `sqlite` or `postgresql`.
        linked: whether foreign keys make the order between rows matter.
    """

    def __init__(self, table: Table, dialect: str, *, linked: bool) -> None:
        self._table = table
        self._postgresql = dialect == "postgresql"
        self._made: dict[tuple[Kind, tuple[str, ...], tuple[str, ...]], RowStatement] = {}
        self._key = tuple(column.key for column in table.primary_key)
        self._exact = None if linked or _has_other_keys(table) else _exact_types(table)

    def key_of(self, row: Values) -> Hashable:
        """What tells the row apart from others, or ANY_ROW."""
        if self._exact is None:
            return ANY_ROW
        key = tuple(map(row.get, self._key))
        return key if tuple(map(type, key)) == self._exact else ANY_ROW

    def get(self, kind: Kind, row: Values, add: Values) -> RowStatement:
        """The statement for a row with these columns; the same object for the same columns.

        Raises:
            InvalidInput: a column that the table does not have, or a part of the key is missing.
        """
        shape = (kind, tuple(row), tuple(add))
        made = self._made.get(shape)
        if made is None:
            self._check(*shape)
            made = self._made[shape] = self._make(*shape)
        return made

    def _check(self, kind: Kind, columns: tuple[str, ...], added: tuple[str, ...]) -> None:
        name = self._table.name
        unknown = [column for column in (*columns, *added) if column not in self._table.c]
        if unknown:
            there = ", ".join(self._table.c.keys())
            raise InvalidInput(f"table {name!r} has no column {unknown[0]!r}; it has {there}")
        key = ", ".join(self._key)
        if kind != "insert" and not (self._key and set(self._key) <= set(columns)):
            raise InvalidInput(
                f"{kind} finds the row of {name!r} by its primary key ({key or 'it has none'}), "
                f"and got {', '.join(columns) or 'nothing'}"
            )
        if kind in {"delete", "get"} and set(columns) != set(self._key):
            raise InvalidInput(f"{kind} takes the primary key of {name!r} alone: {key}")
        if kind == "update" and not added and set(columns) == set(self._key):
            raise InvalidInput(
                f"this update of {name!r} sets nothing; it got its primary key alone"
            )
        twice = set(added) & {*columns, *self._key}
        if twice:
            raise InvalidInput(
                f"{min(twice)!r} of {name!r} cannot be added to: it is given as well"
            )

    def _make(self, kind: Kind, columns: tuple[str, ...], added: tuple[str, ...]) -> RowStatement:
        table = self._table
        names = {name: f"p{i}" for i, name in enumerate((*columns, *added))}
        given = {
            name: bindparam(parameter, type_=table.c[name].type)
            for name, parameter in names.items()
        }
        statement: Executable
        match kind:
            case "insert":
                statement = insert(table).values(given)
            case "upsert":
                statement = self._upsert(self._insert().values(given), given, added)
            case "update" | "delete":
                statement = self._change(kind, given, added)
            case _:
                statement = select(table).where(*self._is(given))
        return RowStatement(
            statement, tuple(names.values()), self._bulk(kind, columns, added, statement)
        )

    def _bulk(
        self,
        kind: Kind,
        columns: tuple[str, ...],
        added: tuple[str, ...],
        statement: Executable,
    ) -> Sender | None:
        """What sends many such rows at once."""
        if kind == "get":
            return None
        if not self._postgresql:
            types = [self._table.c[name].type for name in (*columns, *added)]
            return SqliteBulk(
                cast("UpdateBase", statement), {f"p{i}": it for i, it in enumerate(types)}
            )
        # Only here: SQLite's users need no PostgreSQL client.
        from eventkit.projection.bulk import Bulk, Shape  # noqa: PLC0415

        def merge(stage: Table) -> UpdateBase:
            names = (*columns, *added)
            given = {name: stage.c[self._table.c[name].name] for name in names}
            if kind != "upsert":
                return self._change(kind, given, added)
            rows = select(*given.values())
            every = self._insert().from_select(list(names), rows, include_defaults=False)
            return self._upsert(every, given, added)

        return Bulk(Shape(kind, self._table, columns, added, self._key), statement, merge)

    def _change(
        self, kind: Kind, given: Mapping[str, ColumnElement[Any]], added: Iterable[str]
    ) -> UpdateBase:
        where = self._is(given)
        if kind == "delete":
            return delete(self._table).where(*where)
        return update(self._table).where(*where).values(self._set(given, added))

    def _insert(self) -> sqlite.Insert:
        # The two classes have the same methods and no common base that says so.
        kind = cast("type[sqlite.Insert]", postgresql.Insert if self._postgresql else sqlite.Insert)
        return kind(self._table)

    def _upsert(
        self, statement: sqlite.Insert, given: Iterable[str], added: Iterable[str]
    ) -> UpdateBase:
        changed = self._set({name: statement.excluded[name] for name in given}, added)
        key = [*self._table.primary_key]
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=key)
        return statement.on_conflict_do_update(index_elements=key, set_=changed)

    def _set(
        self, values: Mapping[str, ColumnElement[Any]], added: Iterable[str]
    ) -> dict[str, ColumnElement[Any]]:
        changed = {name: value for name, value in values.items() if name not in self._key}
        for name in added:
            changed[name] = func.coalesce(self._table.c[name], literal_column("0")) + values[name]
        return changed

    def _is(self, given: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[bool]]:
        return [self._table.c[name] == given[name] for name in self._key]


def _has_other_keys(table: Table) -> bool:
    """Whether something besides the primary key must be unique: then rows depend on each other."""
    local = (PrimaryKeyConstraint, CheckConstraint)
    return any(not isinstance(item, local) for item in table.constraints) or any(
        index.unique for index in table.indexes
    )


def _exact_types(table: Table) -> tuple[type, ...] | None:
    found = [
        None if getattr(column.type, "collation", None) else _EXACT.get(type(column.type))
        for column in table.primary_key
    ]
    exact = tuple(item for item in found if item is not None)
    return exact if exact and len(exact) == len(found) else None
