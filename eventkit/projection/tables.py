"""Copies of a projection's tables under other names, for builds that are not the live one."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, MetaData, Table
from sqlalchemy.schema import sort_tables
from sqlalchemy.sql.elements import quoted_name

from eventkit.projection.projection import Projection, tables_of

_LONGEST = 63
"""Bytes in a name; PostgreSQL cuts what is longer."""

Names = Mapping[str, str]
"""The names that tables have in the database, by the names that the code gives them."""


def ordered_tables(projection: Projection) -> list[Table]:
    """The tables of a projection, each after those that it refers to."""
    return list(sort_tables(tables_of(projection).values()))


def with_suffix(name: str, suffix: str) -> str:
    """The name with a suffix; a long one is cut, and stays different from others."""
    whole = name + suffix
    if len(whole.encode()) <= _LONGEST:
        return whole
    end = f"_{hashlib.sha256(name.encode()).hexdigest()[:8]}{suffix}"
    start = name.encode()[: _LONGEST - len(end.encode())].decode(errors="ignore")
    return start + end


def names_with(tables: Iterable[str], suffix: str) -> dict[str, str]:
    """Names with a suffix for tables, which may be written `schema.table`."""
    found = {}
    for full in tables:
        schema, dot, name = full.rpartition(".")
        found[full] = f"{schema}{dot}{with_suffix(name, suffix)}"
    return found


def copied_tables(tables: Iterable[Table], names: Names, suffix: str) -> dict[str, Table]:
    """Copies that refer to each other as the tables do, by the names that the code gives them.

    Parameters:
        tables: all of a projection.
        names: what each copy is called.
        suffix: for what a database keeps in one room with tables: indexes and named keys.
    """
    tables, metadata = list(tables), MetaData()
    copies = {table.fullname: table.to_metadata(metadata) for table in tables}
    for table in tables:
        for key in table.foreign_keys:
            if key.column.table.fullname not in metadata.tables:  # somebody else's
                key.column.table.to_metadata(metadata)
    for table in copies.values():
        for key in table.foreign_keys:
            _ = key.column  # found by the name, so before the name changes
    for full, table in copies.items():
        schema, _, name = names[full].rpartition(".")
        table.name, table.fullname = quoted_name(name, None), names[full]
        assert (schema or None) == table.schema  # noqa: S101 - names differ in the last part alone
        _rename_parts(table, suffix)
    return copies


def _rename_parts(table: Table, suffix: str) -> None:
    if not suffix:
        return
    for index in table.indexes:
        if index.name is not None:
            index.name = quoted_name(with_suffix(index.name, suffix), None)
    for constraint in table.constraints:
        own_room = isinstance(constraint, ForeignKeyConstraint | CheckConstraint)
        if isinstance(constraint.name, str) and not own_room:
            constraint.name = with_suffix(constraint.name, suffix)


def bound(projection: Projection, names: Names) -> Projection:
    """The projection with its tables under these names; the same one where they are its own."""
    if all(name == full for full, name in names.items()):
        return projection
    tables = tables_of(projection)
    copies = copied_tables(tables.values(), names, "")
    other = copy.copy(projection)
    other.__dict__.update({name: copies[table.fullname] for name, table in tables.items()})
    return other
