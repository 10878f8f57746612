"""The file of an index: made, found sound or made anew, and written by the one who follows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from eventkit.errors import NotAnEventStore, StoreCorrupted
from eventkit.kafka.index import OFFSET_BITS, Partition, heads
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Progress
from eventkit.sqlite.failures import translated
from eventkit.sqlite.rows import COLUMNS
from eventkit.sqlite.schema import connect_file

APPLICATION_ID = 0x45564B49
"""`EVKI`: an index is no event store, its rows can be thrown away."""
FORMAT = 2

_TABLES = (
    # Event ids are not unique: the rule of the log does not know them, and an index that leaves out
    # what the rule accepts would show a gap.
    """
    CREATE TABLE events (
        position     INTEGER PRIMARY KEY,
        event_id     BLOB    NOT NULL,
        aggregate_id TEXT    NOT NULL,
        version      INTEGER NOT NULL,
        event_type   TEXT    NOT NULL,
        timestamp    INTEGER NOT NULL,
        workspace_id TEXT,
        metadata     TEXT    NOT NULL,
        data         BLOB    NOT NULL,
        UNIQUE (aggregate_id, version)
    ) STRICT
    """,
    "CREATE INDEX events_by_id ON events (event_id)",
    """
    CREATE TABLE schemas (
        fingerprint BLOB PRIMARY KEY,
        schema      TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE snapshots (
        aggregate_id TEXT    PRIMARY KEY,
        version      INTEGER NOT NULL,
        state        BLOB    NOT NULL,
        timestamp    INTEGER NOT NULL,
        fold         TEXT    NOT NULL,
        position     INTEGER           -- of its last event; none for those saved here
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE snapshots_read (
        topic TEXT    NOT NULL,
        part  INTEGER NOT NULL,
        next  INTEGER NOT NULL,  -- where to go on reading
        PRIMARY KEY (topic, part)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE partitions (
        number  INTEGER PRIMARY KEY,
        topic   TEXT    NOT NULL,
        part    INTEGER NOT NULL,
        resume  INTEGER NOT NULL,  -- where to go on reading
        decided INTEGER NOT NULL,  -- all before this offset is in the index, or never took effect
        UNIQUE (topic, part)
    ) STRICT
    """,
    "CREATE TABLE topics (name TEXT PRIMARY KEY, id TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE log (cluster TEXT NOT NULL, follower INTEGER NOT NULL) STRICT",
)
_ROW = f"({','.join('?' * len(COLUMNS))})"
_MOST_ROWS = 2048
_INSERT = {
    rows: f"INSERT INTO events ({','.join(COLUMNS)}) VALUES {','.join([_ROW] * rows)}"  # noqa: S608 - constants
    for rows in (1 << power for power in range(_MOST_ROWS.bit_length()))
}
_MOVE = "UPDATE partitions SET resume = ?, decided = ? WHERE topic = ? AND part = ?"
_ADD = "INSERT OR IGNORE INTO partitions (topic, part, resume, decided) VALUES (?, ?, 0, 0)"


class LogId(NamedTuple):
    """Which log an index is of.

    The id of a cluster alone does not tell: brokers started from the same image share one, and a
    topic may be deleted and made anew.

    Parameters:
        cluster: the name of the registry, which tells logs of one cluster apart.
        topics: the ids of the topics of events.
    """

    cluster: str
    topics: Mapping[str, str]


class Deposed(Exception):
    """Another store took over following; this one's batch was not written."""


def is_index(connection: sqlite3.Connection, log: LogId) -> bool:
    """Whether the file is an index of this log, in today's format.

    Raises:
        NotAnEventStore: it belongs to another program; nothing was changed.
    """
    application, version, objects = connection.execute(
        "SELECT (SELECT * FROM pragma_application_id), (SELECT * FROM pragma_user_version), "
        "(SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if application != APPLICATION_ID and (application or version or objects):
        raise NotAnEventStore(
            "the file is a database of another program, or an event store. Nothing was changed; "
            "choose another file name for the index."
        )
    if application != APPLICATION_ID or version != FORMAT:
        return False
    if connection.execute("SELECT cluster FROM log").fetchone() != (log.cluster,):
        return False
    indexed = dict(connection.execute("SELECT name, id FROM topics").fetchall())
    return all(log.topics.get(name, number) == number for name, number in indexed.items())


def make_tables(connection: sqlite3.Connection, log: LogId) -> None:
    """Make a new file the empty index of a log."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute("INSERT INTO log VALUES (?, 0)", (log.cluster,))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # not where an interrupt came before it began, or after
            connection.execute("ROLLBACK")
        raise


def add_partitions(
    connection: sqlite3.Connection, log: LogId, partitions: Iterable[Partition]
) -> int:
    """Make room for partitions, and depose whoever follows: it may not know them.

    Returns the number of the next follower.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_ADD, list(partitions))
        connection.executemany("INSERT OR IGNORE INTO topics VALUES (?, ?)", log.topics.items())
        (follower,) = connection.execute(
            "UPDATE log SET follower = follower + 1 RETURNING follower"
        ).fetchone()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # not where an interrupt came before it began, or after
            connection.execute("ROLLBACK")
        raise
    return int(follower)


def delete_index(path: Path) -> None:
    """Delete the file and what SQLite keeps beside it; of a link, what it leads to.

    The file goes first: who finds the others by its name looks whether it is still there.
    """
    path = path.resolve()
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def progress_of(connection: sqlite3.Connection) -> dict[Partition, Progress]:
    """How far each partition was read."""
    rows = connection.execute("SELECT topic, part, resume, decided FROM partitions")
    return {(topic, part): Progress(resume, decided) for topic, part, resume, decided in rows}


def check_follower(connection: sqlite3.Connection, follower: int) -> None:
    """See that no other store follows; in a transaction that writes, until it ends.

    Raises:
        Deposed: one does.
    """
    if connection.execute("SELECT follower FROM log").fetchone() != (follower,):
        raise Deposed


def add_row(rows: list[object], base: int, record: LogRecord) -> None:
    """Add the values of an event's row; one flat list, in the order of the columns."""
    offset, aggregate_id, version, _, _, _, _, event_id, type_name, *rest, _ = record
    timestamp, workspace_id, metadata, data = rest
    rows += (
        base | offset, event_id, aggregate_id, version, type_name,
        timestamp, workspace_id, metadata, data,
    )  # fmt: skip


class IndexWriter:
    """Writes the index, as the store that follows the log for all stores of this host.

    Its commits are not flushed to the disk: what a crash of the machine takes is read from Kafka
    again. The number of the follower is checked in each transaction, so that one that was frozen
    and replaced cannot write any more.

    Parameters:
        connection: to the file, used by nobody else.
        lookup: another, for heads that are asked for while events are written.
        where: what messages call the file.
        log: which log it is of.
        partitions: what to follow.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lookup: sqlite3.Connection,
        where: str,
        log: LogId,
        partitions: Iterable[Partition],
    ) -> None:
        self._connection = connection
        self._lookup = lookup
        self._where = where
        with translated(where):
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -65536")  # KiB
            connection.execute("PRAGMA wal_autocheckpoint = 16000")  # pages
            connection.execute("PRAGMA journal_size_limit = 67108864")
            self.follower = add_partitions(connection, log, partitions)
            rows = connection.execute("SELECT topic, part, number FROM partitions")
            self._numbers: dict[Partition, int] = {
                (topic, part): number for topic, part, number in rows
            }

    def progress(self) -> dict[Partition, Progress]:
        """How far each partition was read."""
        with translated(self._where):
            return progress_of(self._connection)

    def heads(self, aggregate_ids: Iterable[str]) -> dict[str, int]:
        """The versions of aggregates, 0 where there are no events."""
        with translated(self._where):
            return heads(self._lookup, aggregate_ids)

    def base(self, partition: Partition) -> int:
        """The position of a partition's first row."""
        return self._numbers[partition] << OFFSET_BITS

    def apply(self, rows: Sequence[object], progress: Mapping[Partition, Progress]) -> None:
        """Add events, as `add_row` gathers them, and move on, in one transaction.

        Raises:
            Deposed: another store follows.
            StoreError: nothing was written.
        """
        moved = [(*at, *partition) for partition, at in progress.items()]
        connection = self._connection
        with translated(self._where):
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._check_follower()
                self._insert(rows)
                connection.executemany(_MOVE, moved)
                connection.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                self._roll_back()
                raise StoreCorrupted(
                    f"{self._where} does not fit the log ({error}). Delete the file: an index is "
                    "built again from Kafka."
                ) from error
            except BaseException:
                self._roll_back()
                raise

    def check_follower(self) -> None:
        """See that no other store follows.

        Raises:
            Deposed: one does.
        """
        with translated(self._where):
            self._check_follower()

    def _check_follower(self) -> None:
        check_follower(self._connection, self.follower)

    def _insert(self, values: Sequence[object]) -> None:
        width, start, rows = len(COLUMNS), 0, len(values) // len(COLUMNS)
        while rows:
            count = min(1 << (rows.bit_length() - 1), _MOST_ROWS)
            end = start + count * width
            self._connection.execute(_INSERT[count], values[start:end])
            start, rows = end, rows - count

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def connect_index(path: Path, *, timeout: float, create: bool = False) -> sqlite3.Connection:
    """One more connection to an index; only whoever makes the index may create its file."""
    with translated(str(path)):
        connection = connect_file(path, timeout=timeout, create=create)
        connection.execute("PRAGMA synchronous = NORMAL")
    return connection
