"""Which file a name leads to, and connections to that file alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from eventkit.errors import StoreError
from eventkit.sqlite.failures import translated

FileNumber = tuple[int, int]
"""Device and inode."""


def number_at(path: Path, known: FileNumber | None) -> FileNumber | None:
    """The number of the file that is there, None for none; the known one where nobody can tell."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return known
    return found.st_dev, found.st_ino


def connect_to_same(
    connect: Callable[[], sqlite3.Connection], check: Callable[[], None], where: str
) -> sqlite3.Connection:
    """A connection that counts, for the name led to the same file before and after.

    After means after its first question, by which SQLite opens the write-ahead log, again by name.

    Parameters:
        connect: opens it by the name.
        check: raises where the name leads elsewhere.
        where: what messages call the file.

    Raises:
        StoreError: what `check` raises, or the file cannot be opened.
    """
    check()
    try:
        connection = connect()
    except StoreError:
        check()
        raise
    try:
        with translated(where):
            connection.execute("PRAGMA user_version").fetchone()
        check()
    except BaseException:
        connection.close()
        raise
    return connection
