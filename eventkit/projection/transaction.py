"""What handlers write with: the open transaction of the read model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable, Row, Table

from eventkit.errors import InvalidInput
from eventkit.projection.row_statements import Kind, TableStatements, Values
from eventkit.projection.writes import Writes

_NOTHING: Mapping[str, Any] = {}


class Statements:
    """The row statements of a projection's tables, kept from one transaction to the next."""

    def __init__(self, tables: Sequence[Table], dialect: str) -> None:
        self.linked = any(table.foreign_keys for table in tables)
        self._tables = {
            table: TableStatements(table, dialect, linked=self.linked) for table in tables
        }

    def of(self, table: Table) -> TableStatements:
        """The statements of one table.

        Raises:
            InvalidInput: the table is not one of the projection's.
        """
        found = self._tables.get(table)
        if found is None:
            raise InvalidInput(
                f"{getattr(table, 'name', table)!r} is not a table of this projection; reach its "
                "tables as self.<table>, and make each a class attribute"
            )
        return found


class Transaction:
    """The open transaction of a read model, as handlers get it.

    `insert`, `upsert`, `update` and `delete` write one row, found by its primary key. They are
    gathered and sent together, which makes a rebuild many times faster than one statement an
    event; the order of the writes on one row is kept, and whatever reads through this transaction
    sees them. `execute` runs any other SQLAlchemy statement, at once.

    There is no commit: rows and checkpoint are committed together, after the batch.
    """

    def __init__(self, connection: Connection, statements: Statements) -> None:
        self._connection = connection
        self._statements = statements
        self._writes: dict[Table | None, Writes] = {}
        self._failure: BaseException | None = None

    def insert(self, table: Table, row: Values) -> None:
        """Add a row.

        Parameters:
            table: one of the projection's.
            row: values by column.
        """
        self._write("insert", table, row, _NOTHING)

    def upsert(self, table: Table, row: Values, add: Values = _NOTHING) -> None:
        """Add a row, or set these columns of the row that has its primary key.

        Parameters:
            table: one of the projection's.
            row: values by column, with the whole primary key.
            add: numbers to add to other columns; a new row starts with them.
        """
        self._write("upsert", table, row, add)

    def update(self, table: Table, row: Values, add: Values = _NOTHING) -> None:
        """Set these columns of the row that has this primary key; without such a row, nothing.

        Parameters:
            table: one of the projection's.
            row: values by column, with the whole primary key.
            add: numbers to add to other columns.
        """
        self._write("update", table, row, add)

    def delete(self, table: Table, key: Values) -> None:
        """Remove the row that has this primary key; without such a row, nothing.

        Parameters:
            table: one of the projection's.
            key: the primary key, by column.
        """
        self._write("delete", table, key, _NOTHING)

    def get(self, table: Table, key: Values) -> Row[Any] | None:
        """The row that has this primary key, or None.

        Parameters:
            table: one of the projection's.
            key: the primary key, by column.
        """
        statements = self._statements.of(table)
        statement, names, _ = statements.get("get", key, _NOTHING)
        writes = self._writes_of(table)
        if writes.touch(statements.key_of(key)):
            self._send(writes)
        parameters = dict(zip(names, key.values(), strict=True))
        return self._connection.execute(statement, parameters).one_or_none()

    def execute(
        self, statement: Executable, parameters: Values | Sequence[Values] | None = None
    ) -> CursorResult[Any]:
        """Run a statement now, as `sqlalchemy.Connection.execute` does."""
        self.flush()
        return self._connection.execute(statement, parameters)

    def scalar(
        self, statement: Executable, parameters: Values | Sequence[Values] | None = None
    ) -> Any:
        """Run a statement now; the first column of its first row, or None."""
        return self.execute(statement, parameters).scalar()

    @property
    def connection(self) -> Connection:
        """The connection itself, for what else it can do; never commit on it."""
        self.flush()
        return self._connection

    def flush(self) -> None:
        """Send the gathered writes; reading through this transaction does so by itself."""
        self._send(*self._writes.values())

    def _send(self, *queues: Writes) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            for writes in queues:
                writes.flush(self._connection)
        except BaseException as error:
            self._failure = error  # the batch is lost, even where a handler swallows this
            raise

    def _write(self, kind: Kind, table: Table, row: Values, add: Values) -> None:
        statements = self._statements.of(table)
        write = statements.get(kind, row, add)
        values = (*row.values(), *add.values()) if add else row.values()
        self._writes_of(table).add(
            write, dict(zip(write.parameters, values, strict=True)), statements.key_of(row)
        )

    def _writes_of(self, table: Table) -> Writes:
        # Tables that refer to each other share one order; others have one each.
        queue = None if self._statements.linked else table
        writes = self._writes.get(queue)
        if writes is None:
            writes = self._writes[queue] = Writes()
        return writes
