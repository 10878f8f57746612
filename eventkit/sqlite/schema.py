"""The SQLite file: its tables, what makes it ours, and how a connection to it is opened."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from eventkit.errors import NotAnEventStore, StoreCorrupted, StoreUnavailable
from eventkit.sqlite.failures import translated
from eventkit.sqlite.forked import refuse_inherited

APPLICATION_ID = 0x45564B54
"""`EVKT` in the file's header: https://www.sqlite.org/fileformat2.html, section 1.3.15."""
FORMAT = 1
"""Kept as `user_version`; a file with a higher one was written by a newer eventkit."""
OLDEST_SQLITE = (3, 38, 0)
"""STRICT tables came with 3.37, the JSON functions in every build with 3.38."""

_PAUSE = 0.005  # seconds

_TABLES = """
CREATE TABLE events (
    position     INTEGER PRIMARY KEY,
    event_id     BLOB    NOT NULL UNIQUE,
    aggregate_id TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    event_type   TEXT    NOT NULL,
    timestamp    INTEGER NOT NULL,  -- microseconds since 1970-01-01 UTC
    workspace_id TEXT,
    metadata     TEXT    NOT NULL,  -- JSON: what else is known
    data         BLOB    NOT NULL,  -- Avro single-object encoding
    UNIQUE (aggregate_id, version)
) STRICT;
CREATE TABLE schemas (
    fingerprint BLOB PRIMARY KEY,   -- CRC-64-AVRO, little-endian
    schema      TEXT NOT NULL       -- the whole Avro schema as JSON
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (
    aggregate_id TEXT    PRIMARY KEY,
    version      INTEGER NOT NULL,
    state        BLOB    NOT NULL,
    timestamp    INTEGER NOT NULL,
    fold         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
"""

# INSERT OR REPLACE deletes the old row without firing delete triggers, so inserts are guarded as
# well: no row may take an existing position, event id, or a version other than the next.
_GUARDS = """
CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only: no event is ever updated'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only: no event is ever deleted'); END;
CREATE TRIGGER events_are_never_replaced BEFORE INSERT ON events
WHEN NEW.position <= (SELECT max(position) FROM events)
  OR NEW.version <> 1 + (SELECT coalesce(max(version), 0) FROM events
                         WHERE aggregate_id = NEW.aggregate_id)
  OR EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
BEGIN SELECT RAISE(ABORT, 'events are append-only: an insert may only add the next version'); END;
CREATE TRIGGER schemas_are_never_updated BEFORE UPDATE ON schemas
BEGIN SELECT RAISE(ABORT, 'schemas are append-only'); END;
CREATE TRIGGER schemas_are_never_deleted BEFORE DELETE ON schemas
BEGIN SELECT RAISE(ABORT, 'schemas are append-only'); END;
CREATE TRIGGER schemas_are_never_replaced BEFORE INSERT ON schemas
WHEN EXISTS (SELECT 1 FROM schemas WHERE fingerprint = NEW.fingerprint)
BEGIN SELECT RAISE(ABORT, 'schemas are append-only'); END;
"""


def connect_file(path: Path | None, *, timeout: float, create: bool = True) -> sqlite3.Connection:
    """A connection in autocommit mode; `path` None is a database in memory.

    Without `create`, a file that is not there is an error.

    WAL lets readers and one writer of any number of processes go on side by side.
    `synchronous=FULL` makes a commit return only when it is on the disk: an acknowledged event
    survives the death of the process and of the machine.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreUnavailable(
            f"eventkit needs SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer; this Python "
            f"brings {sqlite3.sqlite_version}. Use a newer Python."
        )
    if path is not None:
        refuse_inherited(path)
    connection = sqlite3.connect(
        ":memory:" if path is None else path if create else _existing(path),
        uri=not create,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:  # such as the file of another program
        connection.close()
        raise
    return connection


def _existing(path: Path) -> str:
    return f"file://{quote(os.fsencode(path.absolute()))}?mode=rw"


def prepare(connection: sqlite3.Connection, path: Path, where: str, *, timeout: float) -> None:
    """Make an empty file an event store, or see that it is one.

    Parameters:
        connection: to the file.
        path: the file.
        where: what messages call it.
        timeout: seconds to wait for others who open the same new file.

    Raises:
        NotAnEventStore: the file belongs to another program or a newer eventkit.
        StoreCorrupted, StoreBusy, StoreUnavailable: it cannot be read or written.
    """
    with translated(where):
        if _is_ours(connection, where):
            _check_size(connection, path, where)
        else:
            _use_wal(connection, timeout)
            connection.execute("BEGIN IMMEDIATE")
            try:
                if not _is_ours(connection, where):  # another process may have been faster
                    for statement in _statements(_TABLES + _GUARDS):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {FORMAT}")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def expected_objects() -> dict[str, str]:
    """The tables and triggers that a sound file has, by name, as SQLite keeps their text."""
    texts = [it.strip().removesuffix(";") for it in _statements(_TABLES + _GUARDS)]
    return {it.split()[2]: it for it in texts}


def _check_size(connection: sqlite3.Connection, path: Path, where: str) -> None:
    """SQLite sees that whole pages are missing, but reads the lost part of one as zeros."""
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    if path.stat().st_size % page_size:
        raise StoreCorrupted(
            f"{where} was cut off in the middle of a page. Nothing was changed; restore it from a "
            "backup, or save what is readable with `sqlite3 FILE .recover`."
        )


def _use_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """Change to WAL, once for all: the one lock that SQLite does not wait for by itself."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _is_ours(connection: sqlite3.Connection, where: str) -> bool:
    """True for an event store of our format, False for an empty file."""
    application, version, objects = connection.execute(
        "SELECT (SELECT * FROM pragma_application_id), (SELECT * FROM pragma_user_version), "
        "(SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if application == APPLICATION_ID:
        if version > FORMAT:
            raise NotAnEventStore(
                f"{where} was written by a newer eventkit (format {version}, this one reads up to "
                f"{FORMAT}). Nothing was changed; upgrade eventkit."
            )
        return True
    if application == 0 and version == 0 and objects == 0:
        return False
    raise NotAnEventStore(
        f"{where} is a database of another program. Nothing was changed; choose another file name."
    )


def _statements(script: str) -> list[str]:
    """The statements of a script, one by one: `executescript` would commit behind our back."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
