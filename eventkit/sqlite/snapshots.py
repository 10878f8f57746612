"""Snapshots in the store's file: the newest of each aggregate, replaceable at any time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import monotonic

from pydantic import BaseModel

from eventkit.codec import AvroCodec
from eventkit.errors import StoreBusy, StoreCorrupted
from eventkit.reentry import Calls
from eventkit.sqlite.failures import translated
from eventkit.sqlite.rows import from_micros, to_micros
from eventkit.sqlite.writelock import begin, is_busy
from eventkit.store import Snapshot

_LOAD = "SELECT version, state, timestamp, fold FROM snapshots WHERE aggregate_id = ?"
# A snapshot of other fold code is no rival: an older version of today's code replaces it.
_SAVE = """
INSERT INTO snapshots (aggregate_id, version, state, timestamp, fold) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (aggregate_id) DO UPDATE
SET version = excluded.version, state = excluded.state,
    timestamp = excluded.timestamp, fold = excluded.fold
WHERE excluded.version > version OR excluded.fold <> fold
   OR substr(excluded.state, 1, 10) <> substr(state, 1, 10)
"""

_PATIENCE = 0.1
"""Seconds to wait for other threads, and for the write lock: whoever loads an aggregate waits too.
What is not written now is due again at the next load."""
_PAUSE = 1.0
"""Seconds after which the write lock is asked for again, where it could not be had."""


class SqliteSnapshots:
    """The snapshots table, written on a connection of its own, off the append path.

    Its commits are not flushed to the disk, for losing a snapshot costs the time of one fold. Not
    with `synchronous=OFF`: then a checkpoint that happens to run on this connection would move
    events, too, from the log to the file without flushing them, and power lost later would lose
    them.

    Parameters:
        connect: opens the connection that writes.
        reading: lends one that reads.
        check_usable: raises where the store is closed or another process's.
        codec: how states become bytes and back.
        where: the file, for messages.
        calls: the threads that are in a call of the store.
    """

    _load, _save = _LOAD, _SAVE

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
        check_usable: Callable[[], None],
        codec: AvroCodec,
        where: str,
        calls: Calls,
    ) -> None:
        self._connect = connect
        self._reading = reading
        self._check_usable = check_usable
        self._codec = codec
        self._where = where
        self._calls = calls
        self._writer: sqlite3.Connection | None = None
        self._paused_until = 0.0
        self._is_saving = False
        self._changed = threading.Condition(threading.Lock())

    def load_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """The newest snapshot, or None.

        Raises:
            StoreError: it could not be read.
        """
        with self._reading() as connection:
            row = connection.execute(self._load, (aggregate_id,)).fetchone()
        if row is None:
            return None
        version, state, timestamp, fold = row
        try:
            moment = from_micros(timestamp)
        except OverflowError as error:
            raise StoreCorrupted(f"the snapshot of {aggregate_id} is damaged: {error}") from error
        return Snapshot(aggregate_id, version, state, moment, fold)

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, unless a newer one of the same code is there.

        Raises:
            StoreBusy: others held the write lock, or this, for longer than a load should wait.
            StoreError: it could not be written.
        """
        self._check_usable()  # after fork(), the lock may be held by a thread that is not here
        self._calls.run(lambda: self._keep(snapshot))

    def _keep(self, snapshot: Snapshot) -> None:
        row = (
            snapshot.aggregate_id,
            snapshot.version,
            snapshot.state,
            to_micros(snapshot.timestamp),
            snapshot.fold,
        )
        # A process may hold the write lock for minutes. Waiting for each other without an end, each
        # thread would wait for as long as all before it together; so they wait side by side, and
        # then nobody for a while. `_is_saving` is set and cleared without a call, for an interrupt
        # comes at one: it would stay set for ever.
        mine = False
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._is_saving, _PATIENCE)
                if self._is_saving or self._is_paused():
                    raise self._left_out()
                mine = self._is_saving = True
            self._check_usable()
            self._write(row)
        finally:
            if mine:
                self._is_saving = False
                with self._changed:
                    self._changed.notify()

    def encode_state(self, model: type[BaseModel], values: dict[str, object]) -> bytes:
        """The typed fields as Avro single-object encoding."""
        return self._codec.encode_state(model, values)

    def decode_state(self, model: type[BaseModel], data: bytes) -> dict[str, object] | None:
        """The typed fields, or None where they were written with another schema."""
        return self._codec.decode_state(model, data)

    def close(self) -> None:
        """Close the connection that writes."""
        with self._changed:
            while self._is_saving:
                self._changed.wait(_PATIENCE)  # an interrupt may have kept the word from coming
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _write(self, row: Sequence[object]) -> None:
        with translated(self._where):
            if self._writer is None:
                self._writer = self._connect()
                self._writer.execute("PRAGMA synchronous = NORMAL")
                self._writer.execute("PRAGMA busy_timeout = 0")
            try:
                begin(self._writer, timeout=_PATIENCE)
                self._writer.execute(self._save, row)
                self._writer.execute("COMMIT")
            except BaseException as error:
                if is_busy(error):
                    self._paused_until = monotonic() + _PAUSE
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _is_paused(self) -> bool:
        return monotonic() < self._paused_until

    def _left_out(self) -> StoreBusy:
        return StoreBusy(
            f"others write into {self._where}, so that this snapshot was left out; it is due again "
            "at the next load. If it stays so, find the process that holds the file."
        )
