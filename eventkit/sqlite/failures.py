"""What SQLite's errors mean to a user of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventkit.errors import (
    EventkitError,
    NotAnEventStore,
    StoreBusy,
    StoreCorrupted,
    StoreError,
    StoreUnavailable,
)

FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What the sqlite3 module raises; the second where text in the file is damaged."""

_PRIMARY = 0xFF
"""Extended result codes keep the primary one in their low byte: sqlite.org/rescode.html."""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, with `where` (the file) in the message."""
    try:
        yield
    except EventkitError:
        raise
    except FAILURES as error:
        raise translate(error, where) from error


def translate(error: Exception, where: str) -> StoreError:
    """Our error for one of `FAILURES`."""
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & _PRIMARY
    if isinstance(error, UnicodeDecodeError) or "Could not decode" in str(error):
        code = sqlite3.SQLITE_CORRUPT
    kind, text = _MEANINGS.get(code, (StoreUnavailable, "{where}: {error}."))
    hindrance = _hindrance(Path(where)) if code == sqlite3.SQLITE_CANTOPEN else ""
    return kind(" ".join(text.split()).format(where=where, error=error, hindrance=hindrance))


def _hindrance(path: Path) -> str:
    """Why a file cannot be opened; SQLite does not say."""
    try:
        if path.is_dir():
            return "it is a folder; name a file in it."
        if not path.parent.is_dir():
            return f"there is no folder {path.parent}; make it first."
    except OSError as error:
        return f"{error.strerror}; name a file that this user may use."
    return "may this user read and write it and its folder, and are there not too many files open?"


_LOCKED = (
    StoreBusy,
    """{where} stayed locked by another process for longer than the time-out; nothing was written.
    Try again, or find the process that holds it.""",
)
_NOT_WRITABLE = (
    StoreUnavailable,
    """{where} is read-only for this user; nothing was written. Make the file and its folder
    writable.""",
)
_MEANINGS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_AUTH: _NOT_WRITABLE,
    sqlite3.SQLITE_FULL: (
        StoreUnavailable,
        """no room to write {where}: the disk, or a limit set for the file, is full. Nothing of
        this append was written, everything before it is safe; make room and try again.""",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreUnavailable,
        "{where} cannot be opened: {hindrance}",
    ),
    sqlite3.SQLITE_NOTADB: (
        NotAnEventStore,
        "{where} is no SQLite file, or its beginning is damaged. Nothing was changed.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreCorrupted,
        """{where} is damaged ({error}). Nothing was changed; restore it from a backup, or save
        what is readable with `sqlite3 FILE .recover`.""",
    ),
    sqlite3.SQLITE_IOERR: (
        StoreUnavailable,
        "the disk failed while reading or writing {where}: {error}.",
    ),
}
