"""Verifies the file of an embedded store: reads it once, and tells what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import Any
from uuid import UUID

from eventkit.errors import EventkitError, InvalidAggregateId
from eventkit.events import EventTypes
from eventkit.health.bodies import Bodies
from eventkit.health.findings import Asked, Finding, Kind, Listener, Reading
from eventkit.health.snapshots import Refold, Sample, is_used
from eventkit.ids import category_of
from eventkit.sqlite.failures import translated
from eventkit.sqlite.reader import aggregate_rows
from eventkit.sqlite.readonly import open_readonly
from eventkit.sqlite.rows import COLUMNS, from_micros, position_of, read_metadata, recorded
from eventkit.sqlite.schema import expected_objects
from eventkit.store import Snapshot

_ROWS = f"SELECT {', '.join(COLUMNS)} FROM events ORDER BY position"  # noqa: S608 - constants
_VERSIONS = "SELECT aggregate_id, version, position FROM events ORDER BY 1, 2, 3"
_TWICE = (
    "SELECT event_id, count(*), min(position) FROM events GROUP BY event_id HAVING count(*) > 1"
)
_OBJECTS = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'trigger')"
_SNAPSHOT = "SELECT version, state, timestamp, fold FROM snapshots WHERE aggregate_id = ?"
_EVERY = 1_000
"""Rows between two reports."""
_STEPS = 100_000
"""Steps of SQLite's machine between two looks whether to go on, some milliseconds."""
_MOST_FAULTS = 100
_RESTORE = "restore the file from a backup; or save what is readable with `sqlite3 FILE .recover`"
_RESTORE_SCHEMA = (
    "append an event of the class as it was when this one was written, which adds its schema, or "
    "restore the table schemas from a backup"
)
_NONSENSE = (ValueError, TypeError, AttributeError, OverflowError)


class SqliteVerifier:
    """Reads one state of the file, while others go on writing.

    Parameters:
        path: of the file, which is an event store.
        types: the event classes.
        asked: what to look at beside the events.
        listener: is told.
    """

    def __init__(self, path: Path, types: EventTypes, asked: Asked, listener: Listener) -> None:
        self._path = path
        self._asked = asked
        self._listener = listener
        self._bodies = Bodies(
            types, self._schema, typed=asked.class_of is not None, restore=_RESTORE_SCHEMA
        )
        self._connection = open_readonly(path)
        self._done = self._total = self._events = 0
        self._stop: BaseException | None = None

    def run(self) -> None:
        """Verify the file.

        Raises:
            StoreError: it cannot be read.
        """
        with closing(self._connection) as connection:
            connection.set_progress_handler(self._look, _STEPS)
            try:
                with translated(str(self._path)):
                    connection.execute("BEGIN")
                    self._all()
            except BaseException:
                if self._stop is not None:
                    raise self._stop from None
                raise

    def _all(self) -> None:
        self._found(self._integrity())
        self._found(self._guards())
        (count,) = self._connection.execute("SELECT count(*) FROM events").fetchone()
        self._total = 2 * count
        self._found(self._versions())
        self._found(self._ids())
        try:
            self._found(self._rows())
        finally:
            self._found(self._bodies.findings())
        if self._asked.class_of is not None:
            self._found(self._snapshots())

    def _integrity(self) -> Iterator[Finding]:
        for (text,) in self._connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})"):
            if text != "ok":
                yield Finding(Kind.FILE, f"SQLite finds the file damaged: {text}", _RESTORE)

    def _guards(self) -> Iterator[Finding]:
        """Tables with their keys, and triggers, are those that the store makes."""
        found = dict(self._connection.execute(_OBJECTS).fetchall())
        for name, sql in expected_objects().items():
            if found.get(name) == sql:
                continue
            there = "is another one than eventkit makes" if name in found else "is missing"
            if sql.startswith("CREATE TRIGGER"):
                fix = self._command(f"DROP TRIGGER IF EXISTS {name}; {sql};")
            else:
                fix = "bring the events into a new store: eventkit replay, then eventkit import"
            yield Finding(Kind.GUARD, f"{name} {there}: the file is not append-only", fix)

    def _versions(self) -> Iterator[Finding]:
        """Of each aggregate they go 1, 2, 3, in the order of the log."""
        last_id: str | None = None  # none yet: one that is empty is one, too
        last = before = 0
        rows = self._connection.execute(_VERSIONS)
        for aggregate_id, version, position in self._counted(rows):
            if aggregate_id != last_id:
                last_id, last, before = aggregate_id, 0, 0
                try:
                    category_of(aggregate_id)
                except InvalidAggregateId as error:
                    yield self._finding(Kind.STRANGER, str(error), position, aggregate_id)
            if version <= last:
                problem = f"version {version} is there twice"
                yield self._finding(Kind.DOUBLE, problem, position, aggregate_id)
                continue
            if version != last + 1:
                problem = f"version {version} follows version {last}"
                yield self._finding(Kind.GAP, problem, position, aggregate_id)
            elif position < before:
                problem = f"version {version} stands before version {last} in the log"
                yield self._finding(Kind.GAP, problem, position, aggregate_id)
            last, before = version, position

    def _ids(self) -> Iterator[Finding]:
        for event_id, count, position in self._connection.execute(_TWICE):
            name = UUID(bytes=event_id) if len(event_id) == 16 else event_id.hex()  # noqa: PLR2004
            finding = self._finding(
                Kind.EVENT_ID, f"event id {name} is there {count} times", position, None
            )
            yield finding._replace(records=count)

    def _rows(self) -> Iterator[Finding]:
        check = self._bodies.check
        for row in self._counted(self._connection.execute(_ROWS)):
            self._events += 1
            position, event_id, aggregate_id, _, event_type, timestamp, workspace, rest, data = row
            wrong = check(event_type, data, position_of(position), aggregate_id)
            if wrong is not None:
                yield wrong
            try:
                UUID(bytes=event_id)
                read_metadata(timestamp, workspace, rest)
                f"{aggregate_id}{event_type}{workspace}{rest}".encode()
            except _NONSENSE as error:
                problem = f"the row is damaged: {type(error).__name__}: {error}"
                yield self._finding(Kind.BODY, problem, position, aggregate_id)

    def _snapshots(self) -> Iterator[Finding]:
        sample, chosen = Sample(self._asked.snapshots), dict[str, None]()
        for (aggregate_id,) in self._connection.execute("SELECT aggregate_id FROM snapshots"):
            chosen[aggregate_id] = None
            gone = sample.offer(aggregate_id)
            if gone is not None:
                del chosen[gone]
        for aggregate_id in chosen:
            problem = self._compared(aggregate_id)
            if problem is not None:
                key = aggregate_id.replace("'", "''")
                fix = self._command(f"DELETE FROM snapshots WHERE aggregate_id = '{key}'")  # noqa: S608 - shown
                yield Finding(Kind.SNAPSHOT, problem, fix, None, aggregate_id)
            self._look()

    def _compared(self, aggregate_id: str) -> str | None:
        row = self._connection.execute(_SNAPSHOT, (aggregate_id,)).fetchone()
        version, state, micros, fold = row
        cls = self._class_of(aggregate_id)
        if cls is None:
            return None
        try:
            snapshot = Snapshot(aggregate_id, version, state, from_micros(micros), fold)
        except OverflowError as error:
            return f"the snapshot is damaged: {error}"
        if not is_used(snapshot, cls):
            return None
        refold = Refold(snapshot, cls)
        try:
            rows = aggregate_rows(self._connection, aggregate_id, 1, version, None)
            refold.add([recorded(it, self._bodies.codec) for it in rows])
        except EventkitError:  # told with the bodies
            return None
        return refold.problem()

    def _class_of(self, aggregate_id: str) -> Any:
        assert self._asked.class_of is not None  # noqa: S101 - else there is nothing to compare
        return self._asked.class_of(aggregate_id.partition("-")[0])

    def _schema(self, fingerprint: bytes) -> str | None:
        found = self._connection.execute(
            "SELECT schema FROM schemas WHERE fingerprint = ?", (fingerprint,)
        ).fetchone()
        return None if found is None else str(found[0])

    def _command(self, statement: str) -> str:
        return f"sqlite3 {quote(str(self._path))} {quote(statement)}"

    def _finding(
        self, kind: Kind, problem: str, position: int, aggregate_id: str | None
    ) -> Finding:
        return Finding(kind, problem, _RESTORE, position_of(position), aggregate_id)

    def _found(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._listener.found(finding)

    def _counted(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for number, row in enumerate(rows):
            if number % _EVERY == 0:
                self._look()
            self._done += 1
            yield row
        self._look()

    def _look(self) -> int:
        """Tell how far it is; SQLite calls it, too, and stops where it returns another than 0."""
        try:
            self._listener.read(Reading(self._done, self._total, self._events))
        except BaseException as stop:  # SQLite would swallow it
            self._stop = stop
            raise
        return 0
