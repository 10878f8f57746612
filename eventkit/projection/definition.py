"""What a table is made of, in a form that can be kept and compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Dialect, Table, inspect

Definition = dict[str, Any]
"""JSON: `columns` by name, and `rest`, which is keys and indexes."""


def definition_of(table: Table, dialect: Dialect) -> Definition:
    """Columns, keys and indexes of a table, as the database would be told."""
    columns = {
        column.name: " ".join(
            [
                column.type.compile(dialect),
                *(["NOT NULL"] if not column.nullable else []),
                *(["PRIMARY KEY"] if column.primary_key else []),
            ]
        )
        for column in table.columns
    }
    rest = [
        f"{type(item).__name__} {', '.join(column.name for column in item.columns)}"
        for item in table.constraints
        if hasattr(item, "columns")
    ]
    for index in table.indexes:
        kind = "unique index" if index.unique else "index"
        rest.append(f"{kind} {index.name} {', '.join(map(str, index.columns))}")
    return {"columns": columns, "rest": sorted(rest)}


def difference(table: str, was: Definition, now: Definition) -> str | None:
    """In words, how a table's definition differs from an earlier one; None where it does not."""
    old, new = was["columns"], now["columns"]
    for name in new:
        if name not in old:
            return f"its table {table!r} has a new column {name!r}"
        if new[name] != old[name]:
            return f"column {name!r} of its table {table!r} was {old[name]} and is {new[name]} now"
    for name in old:
        if name not in new:
            return f"its table {table!r} has no column {name!r} any more"
    return None if was["rest"] == now["rest"] else f"keys or indexes of its table {table!r} changed"


def missing(connection: Connection, definitions: Mapping[str, Definition]) -> str | None:
    """In words, what somebody else took out of the database; None where all is there."""
    inspector = inspect(connection)
    for table, definition in definitions.items():
        schema, _, name = table.rpartition(".")
        if not inspector.has_table(name, schema or None):
            return f"its table {table!r} is missing in the database"
        there = {column["name"] for column in inspector.get_columns(name, schema or None)}
        gone = sorted(set(definition["columns"]) - there)
        if gone:
            return f"its table {table!r} has no column {gone[0]!r} in the database"
    return None
