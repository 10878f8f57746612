"""Many rows at once into SQLite: as the driver takes them, which saves steps in Python for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, UpdateBase
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Row = dict[str, Any]
Processor = Callable[[Any], Any]

_FEWEST = 10
"""Rows for which it pays."""


class SqliteBulk:
    """Sends the rows of one statement.

    Parameters:
        statement: writes one row.
        types: the type of each of its parameters.
    """

    def __init__(self, statement: UpdateBase, types: Mapping[str, TypeEngine[Any]]) -> None:
        self._statement = statement
        dialect: Dialect = sqlite.dialect(paramstyle="named")
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._is_plain = _is_plain(compiled, types)
        self._processors = {
            name: processor
            for name, kind in types.items()
            if (processor := kind.dialect_impl(dialect).bind_processor(dialect)) is not None
        }

    def send(self, connection: Connection, rows: Sequence[Row], *, exact: bool) -> None:  # noqa: ARG002 - they come in order, whichever they are
        """Write the rows, in order."""
        if len(rows) < _FEWEST or not self._is_plain:
            connection.execute(self._statement, rows)
            return
        bound = [self._bound(it) for it in rows] if self._processors else [*rows]
        connection.exec_driver_sql(self._sql, bound)

    def _bound(self, row: Row) -> Row:
        bound = dict(row)
        for name, processor in self._processors.items():
            bound[name] = processor(bound[name])
        return bound


def _is_plain(compiled: Any, types: Mapping[str, TypeEngine[Any]]) -> bool:
    """Whether the parameters are those of the row, and SQLAlchemy adds nothing in Python."""
    return (
        isinstance(compiled, SQLCompiler)
        and isinstance(compiled.statement, UpdateBase)
        and compiled.binds.keys() == types.keys()
        and not (compiled.insert_prefetch or compiled.update_prefetch)
    )
