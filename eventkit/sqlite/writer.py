"""Appending: check a group of writes against the log, and add what holds in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from eventkit.codec import AvroCodec, AvroSchema
from eventkit.errors import ConcurrencyError, OutcomeUnknown
from eventkit.sqlite.failures import FAILURES, translate, translated
from eventkit.sqlite.openedfile import OpenedFile
from eventkit.sqlite.retries import Known, known_events, retry_of
from eventkit.sqlite.rows import COLUMNS, NewRow, position_of
from eventkit.sqlite.storedschemas import StoredSchemas
from eventkit.sqlite.writelock import begin
from eventkit.sqlite.writes import Batch, Write
from eventkit.store import Appended

_ROW = f"({','.join('?' * len(COLUMNS))})"
_WIDTH = len(COLUMNS)
_MOST_ROWS = 512
_INSERT = {
    rows: f"INSERT INTO events ({','.join(COLUMNS)}) VALUES {','.join([_ROW] * rows)}"  # noqa: S608 - constants
    for rows in (1 << power for power in range(_MOST_ROWS.bit_length()))
}
_HEAD = """
SELECT coalesce((SELECT max(position) FROM events), 0),
       coalesce((SELECT max(version) FROM events WHERE aggregate_id = ?), 0)
"""
_HEADS = """
SELECT coalesce((SELECT max(position) FROM events), 0),
       json_group_object(value, coalesce(
           (SELECT max(version) FROM events WHERE aggregate_id = value), 0))
FROM json_each(?)
"""


class Writer:
    """Commits groups of writes on the one connection that writes.

    Few statements with many rows each: every call into SQLite lets go of the interpreter lock, and
    with many threads waiting it takes longer to get it back than to insert the row.

    Parameters:
        connection: used by nobody else.
        codec: compares a retry with what is recorded.
        file: tells whether the connection still leads to where others look.
        where: the file, for messages.
        timeout: seconds to wait for the write lock of another process.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        codec: AvroCodec,
        file: OpenedFile,
        where: str,
        timeout: float,
    ) -> None:
        connection.execute("PRAGMA busy_timeout = 0")  # writelock.py waits instead
        self._connection = connection
        self._timeout = timeout
        self._codec = codec
        self._file = file
        self._where = where
        self._schemas = StoredSchemas()

    def commit(self, batches: Sequence[Batch]) -> None:
        """Give every write of the batches its outcome.

        The order of events: take the write lock, so that heads cannot change; decide; insert;
        commit. Dying anywhere before the commit's record is on the disk leaves nothing. An error
        while committing is the one case in which the disk may hold what nobody was told:
        those writes are `OutcomeUnknown`. So are those after which the file is found to be gone
        from its place: what stands in it may be lost with it (openedfile.py).

        An interrupt (Ctrl-C) may come anywhere, also as soon as COMMIT returns, or later, before
        the outcomes are settled. What is not settled then may have been written; it can be
        committed again, for since before COMMIT it counts as a retry, which finds itself.

        Raises:
            StoreError: nothing was written.
        """
        if any(batch.writes for batch in batches):
            try:
                self._attempt(batches, thorough=False)
            except sqlite3.IntegrityError:  # an id stands elsewhere: look for them all
                with translated(self._where):
                    self._attempt(batches, thorough=True)
        for batch in batches:
            batch.settled = True

    def _attempt(self, batches: Sequence[Batch], *, thorough: bool) -> None:
        committing, added = False, list[AvroSchema]()
        writes = [write for batch in batches for write in batch.writes]
        try:
            begin(self._connection, timeout=self._timeout)
            self._file.check()
            self._schemas.look_up(self._connection, writes)
            parameters = self._decide(writes, thorough=thorough)
            if any(batch.together for batch in batches):
                writes, parameters = self._decide_together(batches, parameters, thorough=thorough)
            if parameters:
                added = self._schemas.add(self._connection, writes)
                self._insert(parameters)
                for write in writes:  # before COMMIT: afterwards an interrupt may come first
                    write.may_be_retry = True
                committing = True
            self._connection.execute("COMMIT")
        except sqlite3.IntegrityError:
            self._roll_back()
            raise
        except FAILURES as error:
            self._roll_back()
            failure = translate(error, self._where)
            if not committing or _nothing_was_written(error):
                raise failure from error
            _in_doubt(writes, str(failure), error)
        except BaseException:
            self._roll_back()
            raise
        else:
            self._schemas.keep(added)
            if parameters and self._file.is_lost():
                _in_doubt(writes, self._file.loss)

    def _decide_together(
        self, batches: Sequence[Batch], parameters: list[object], *, thorough: bool
    ) -> tuple[list[Write], list[object]]:
        """Leave out batches of which not all can be written; returns the other writes, decided.

        One batch at a time, and all others are decided anew without it: what they were refused
        for may have been a version that only this batch would have taken.
        """
        for batch in batches:
            batch.refused = None
        writes = [write for batch in batches for write in batch.writes]
        while True:
            failed = next((it for it in batches if it.refused is None and it.obstacle()), None)
            if failed is None:
                return writes, parameters
            failed.refused = failed.obstacle()
            writes = [it for other in batches if other.refused is None for it in other.writes]
            parameters = self._decide(writes, thorough=thorough) if writes else []

    def _decide(self, writes: Sequence[Write], *, thorough: bool) -> list[object]:
        """Give refused writes and retries their outcome; number the others and list their rows.

        A write that expects the version its aggregate is at cannot be a retry, its events would
        stand at the versions that do not exist yet; so its ids are not looked up, unless
        `thorough`.
        """
        position, heads = self._heads({write.aggregate_id for write in writes})
        doubtful = [
            write
            for write in writes
            if write.may_be_retry and (thorough or write.expected != heads[write.aggregate_id])
        ]
        known = known_events(self._connection, doubtful)
        parameters: list[object] = []
        for write in writes:
            write.outcome = self._schemas.obstacle(write)
            if write.outcome is not None:
                continue
            version = heads[write.aggregate_id]
            fits = write.expected is None or write.expected == version
            if write.may_be_retry and (known or not fits):
                write.outcome = retry_of(write, known, self._codec)
                if write.outcome is not None:
                    continue
            if not fits:
                write.outcome = ConcurrencyError(write.aggregate_id, write.expected or 0, version)
                continue
            for number, row in enumerate(write.rows, start=1):
                parameters += _parameters(
                    position + number, write.aggregate_id, version + number, row
                )
                if write.may_be_retry:
                    known[row.event_id] = Known(
                        write.aggregate_id, version + number, row.event_type, row.data,
                        position + number,
                    )  # fmt: skip
            position += len(write.rows)
            version += len(write.rows)
            heads[write.aggregate_id] = version
            write.outcome = Appended(
                write.aggregate_id, version, position_of(position), write.event_ids
            )
        return parameters

    def _heads(self, aggregate_ids: Collection[str]) -> tuple[int, dict[str, int]]:
        """The last position, and the version of each aggregate."""
        if len(aggregate_ids) == 1:  # a lone caller need not pay for JSON
            (only,) = aggregate_ids
            position, version = self._connection.execute(_HEAD, (only,)).fetchone()
            return position, {only: version}
        asked = json.dumps(list(aggregate_ids))
        position, heads = self._connection.execute(_HEADS, (asked,)).fetchone()
        return position, json.loads(heads)

    def _insert(self, parameters: list[object]) -> None:
        start, rows = 0, len(parameters) // _WIDTH
        while rows:
            count = min(1 << (rows.bit_length() - 1), _MOST_ROWS)
            end = start + count * _WIDTH
            self._connection.execute(_INSERT[count], parameters[start:end])
            start, rows = end, rows - count

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # to be told is what led here; the next attempt tries again
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _parameters(position: int, aggregate_id: str, version: int, row: NewRow) -> tuple[object, ...]:
    event_id, *rest = row
    return (position, event_id, aggregate_id, version, *rest)


def _in_doubt(writes: Iterable[Write], reason: str, cause: Exception | None = None) -> None:
    done = [write for write in writes if isinstance(write.outcome, Appended)]
    new = {it for write in done if not _was_recorded(write) for it in write.event_ids}
    for write in done:
        if not new.isdisjoint(write.event_ids):  # written now, or a retry of what is written now
            write.outcome = OutcomeUnknown(write.event_ids, reason)
            write.outcome.__cause__ = cause


def _was_recorded(write: Write) -> bool:
    return isinstance(write.outcome, Appended) and write.outcome.already_recorded


def _nothing_was_written(error: Exception) -> bool:
    """Errors at which COMMIT is known to have rolled back, or not to have begun."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY}
