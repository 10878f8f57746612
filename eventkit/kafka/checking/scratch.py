"""A temporary database for what grows with the log."""

from __future__ import annotations

import sqlite3


def scratch(table: str) -> sqlite3.Connection:
    """An empty database with one table; SQLite keeps it in memory while small, and deletes it."""
    connection = sqlite3.connect("", isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(table)
    return connection
