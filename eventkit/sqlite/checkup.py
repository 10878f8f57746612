"""A check-up of the file of an embedded store; it changes nothing and makes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shlex import quote

from eventkit.errors import StoreError
from eventkit.health.checks import Check, disk_space, ok, problem, warning, writable
from eventkit.sqlite.failures import translated
from eventkit.sqlite.readonly import open_readonly
from eventkit.sqlite.schema import APPLICATION_ID, FORMAT, OLDEST_SQLITE

_LOCKED = 1.0
"""Seconds to wait for the write lock."""


def check_file(path: Path) -> Iterator[Check]:
    """Look at a file and at what it needs, line by line."""
    yield _version()
    if not path.exists():
        yield problem(
            f"file {path}", "there is no such file",
            f"say where it is with --store, or begin one: eventkit --store sqlite:///{path} import "
            "FILE",
            unusable=True,
        )  # fmt: skip
        return
    if path.is_dir():
        told, fix = "it is a folder", "name a file in it with --store"
        yield problem(f"file {path}", told, fix, unusable=True)
        return
    yield writable(path)
    yield disk_space(path.absolute().parent)
    try:
        with closing(open_readonly(path)) as connection, translated(str(path)):
            yield _format(connection, path)
            yield _journal(connection, path)
        with translated(str(path)):
            yield _lock(path)
    except StoreError as error:
        yield problem(f"file {path}", str(error), _restore(path), unusable=True)


def _version() -> Check:
    what, found = "SQLite", sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        told = f"{found}; eventkit needs {needed} or newer"
        return problem(what, told, "use a newer Python, which brings it", unusable=True)
    return ok(what, found)


def _format(connection: sqlite3.Connection, path: Path) -> Check:
    what = f"file {path}"
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        told = "it is no event store, but another program's database, or an index"
        return problem(what, told, "name another file with --store", unusable=True)
    if version > FORMAT:
        told = f"it has format {version}, this eventkit reads up to {FORMAT}"
        fix = "pip install --upgrade eventkit-kafka"
        return problem(what, told, fix, unusable=True)
    size = path.stat().st_size
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    if size % page:
        return problem(what, "it was cut off inside a page", _restore(path), unusable=True)
    (events,) = connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
    return ok(what, f"format {version}, {size / (1 << 20):,.1f} MiB, newest position {events:,}")


def _journal(connection: sqlite3.Connection, path: Path) -> Check:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        return warning(
            "journal mode",
            f"{mode}: readers and the writer wait for each other",
            f"sqlite3 {quote(str(path))} 'PRAGMA journal_mode = WAL'",
        )
    return ok("journal mode", str(mode))


def _lock(path: Path) -> Check:
    what = "write lock"
    with closing(sqlite3.connect(path, timeout=_LOCKED, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            told = f"it could not be had within {_LOCKED:g} s: {error}"
            return warning(what, told, f"find who holds it: fuser -v {quote(str(path))}")
    return ok(what, "free")


def _restore(path: Path) -> str:
    return (
        f"restore it from a backup, or save what is readable: sqlite3 {quote(str(path))} .recover"
    )
