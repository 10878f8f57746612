"""The embedded event store on SQLite."""

from eventkit.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
