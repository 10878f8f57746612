"""Snapshots in the index: those saved here, and those that the topic brings from elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

from pydantic import BaseModel
from typing_extensions import override

from eventkit.codec import AvroCodec
from eventkit.kafka.index import OFFSET_BITS
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.rule import Progress
from eventkit.kafka.snapshots.record import Place, Placed
from eventkit.kafka.snapshots.writer import SnapshotWriter
from eventkit.reentry import Calls
from eventkit.sqlite.snapshots import SqliteSnapshots
from eventkit.store import Snapshot

_STANDS = (
    "EXISTS (SELECT 1 FROM events AS e WHERE e.position = snapshots.position "
    "AND e.aggregate_id = snapshots.aggregate_id AND e.version = snapshots.version)"
)
_LOAD = (
    "SELECT version, state, timestamp, fold FROM snapshots "  # noqa: S608 - constants
    f"WHERE aggregate_id = ? AND (position IS NULL OR {_STANDS})"
)
SAVE_PLACED = f"""
INSERT INTO snapshots (aggregate_id, version, state, timestamp, fold, position)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (aggregate_id) DO UPDATE
SET version = excluded.version, state = excluded.state, timestamp = excluded.timestamp,
    fold = excluded.fold, position = excluded.position
WHERE excluded.version > version OR excluded.fold <> fold
   OR substr(excluded.state, 1, 10) <> substr(state, 1, 10)
   OR (position IS NOT NULL AND NOT {_STANDS})
"""  # noqa: S608 - constants
"""Parameters: the columns of the table, in their order."""
_PLACE = """
SELECT (SELECT position FROM events WHERE aggregate_id = ?1 AND version = ?2),
       (SELECT max(version) FROM events WHERE aggregate_id = ?1), resume, decided
FROM partitions WHERE topic = ?3 AND part = ?4
"""


class IndexSnapshots(SqliteSnapshots):
    """The snapshots table of an index; what is saved here goes to the topic, too.

    A snapshot that came from the topic is shown only if the event that it ends with is in the
    index, at the same place: it is of this log then, and not ahead of the index.

    Parameters: as `SqliteSnapshots`, and
        layout: the topics.
        writer: takes snapshots to the topic.
    """

    _load = _LOAD
    _save = SAVE_PLACED.replace("?6", "NULL")

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
        check_usable: Callable[[], None],
        codec: AvroCodec,
        where: str,
        calls: Calls,
        layout: LogLayout,
        writer: SnapshotWriter,
    ) -> None:
        super().__init__(connect, reading, check_usable, codec, where, calls)
        self._layout = layout
        self._topic = writer

    @override
    def _keep(self, snapshot: Snapshot) -> None:
        super()._keep(snapshot)
        place = self._place_of(snapshot)
        if place is not None:
            self._topic.put(Placed(snapshot, place))

    @override
    def encode_state(self, model: type[BaseModel], values: dict[str, object]) -> bytes:
        """The typed fields as Avro single-object encoding."""
        self._topic.note_schema(self._codec.state_schema_of(model))
        return super().encode_state(model, values)

    def drain(self) -> None:
        """Let the topic have what was saved, as far as a few seconds allow; it gets no more."""
        self._topic.close()

    def _place_of(self, snapshot: Snapshot) -> Place | None:
        """Where the log stood, if the snapshot holds all that its aggregate had then."""
        topic, part = self._layout.partition_of(snapshot.aggregate_id)
        with self._reading() as connection:
            row = connection.execute(
                _PLACE, (snapshot.aggregate_id, snapshot.version, topic, part)
            ).fetchone()
        if row is None or row[1] != snapshot.version:
            return None
        position, _, resume, decided = row
        offset = position & ((1 << OFFSET_BITS) - 1)
        return Place(self._layout.log_id.topics[topic], offset, Progress(resume, decided))
