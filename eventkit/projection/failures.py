"""What the errors of a read-model database mean to its user."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from eventkit.errors import ReadModelBusy, ReadModelError, ReadModelUnavailable

_PRIMARY = 0xFF
"""Extended result codes keep the primary one in their low byte: sqlite.org/rescode.html."""

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_READ_ONLY = (
    "is read-only for this user. Make the file and its folder writable; programs that only read "
    "do so through ReadModels.connect()."
)
_DAMAGED = (
    "is damaged, or its disk fails. Read models can always be built again: remove the file and "
    "run the projections."
)
_UNAVAILABLE = {
    sqlite3.SQLITE_FULL: "cannot grow: the disk, or a limit set for the file, is full. Nothing of "
    "this batch was written; make room and run again.",
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: does its folder exist, and may this user read and "
    "write it?",
    sqlite3.SQLITE_NOTADB: "is no SQLite file; nothing was changed.",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_IOERR: _DAMAGED,
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn errors of the database itself into ours, with `where` (its address) in the message."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        failure = translate(error, where)
        if failure is None:
            raise
        raise failure from error


def translate(error: BaseException, where: str) -> ReadModelError | None:
    """Our error where the database is the cause, None where the statement is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = (getattr(cause, "sqlite_errorcode", 0) or 0) & _PRIMARY
    if code in _BUSY:
        return ReadModelBusy(
            f"{where} stayed locked by another process for longer than the time-out; nothing of "
            "this batch was written. Run again, or find the process that holds it."
        )
    if code in _UNAVAILABLE:
        return ReadModelUnavailable(f"{where} {_UNAVAILABLE[code]} ({cause})")
    return None
