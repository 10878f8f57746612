"""Makes the connection of a store fail where a test wants it to."""

import sqlite3
from collections.abc import Callable
from typing import Any

from eventkit.sqlite import SqliteStore


def failure(code: int) -> sqlite3.OperationalError:
    """Return what sqlite3 raises for an error code."""
    error = sqlite3.OperationalError("made to fail")
    error.sqlite_errorcode = code
    return error


class Faults:
    """Stands between the writer of a store and its connection.

    `before` and `after` are called with each statement; what they raise, the writer meets.
    """

    def __init__(self, store: SqliteStore) -> None:
        writer = store._group._commit.__self__  # type: ignore[attr-defined]
        self._connection: sqlite3.Connection = writer._connection
        writer._connection = self
        self.before: Callable[[str], None] = lambda _sql: None
        self.after: Callable[[str], None] = lambda _sql: None

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.before(sql)
        cursor = self._connection.execute(sql, parameters)
        self.after(sql)
        return cursor

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def fail_before(self, begin: str, error: BaseException) -> None:
        """Raise an error instead of the next statement that begins so."""
        self.before = self._once(begin, error, "before")

    def fail_after(self, begin: str, error: BaseException) -> None:
        """Raise an error when the next statement that begins so is done."""
        self.after = self._once(begin, error, "after")

    def _once(self, begin: str, error: BaseException, when: str) -> Callable[[str], None]:
        def check(sql: str) -> None:
            if sql.startswith(begin):
                setattr(self, when, lambda _sql: None)
                raise error

        return check
