"""Reads the topics of snapshots into the index."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Message
from typing_extensions import override

from eventkit.errors import InvalidAggregateId
from eventkit.kafka.index import OFFSET_BITS, Partition
from eventkit.kafka.indexfile import Deposed, check_follower
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.snapshots.indexed import SAVE_PLACED
from eventkit.kafka.snapshots.record import Placed, read
from eventkit.kafka.tails import Tail
from eventkit.sqlite.failures import translated
from eventkit.sqlite.rows import to_micros

_DELETE = "DELETE FROM snapshots WHERE aggregate_id = ? AND position IS NOT NULL"
_NEXT = "INSERT OR REPLACE INTO snapshots_read VALUES (?, ?, ?)"
_FITS = """
SELECT EXISTS (SELECT 1 FROM events WHERE position = ?1 AND aggregate_id = ?2 AND version = ?3)
    OR EXISTS (SELECT 1 FROM partitions WHERE number = ?4 AND decided <= ?5)
"""
"""Whether the event that a snapshot ends with is there, or may come."""


class SnapshotTail(Tail):
    """Reads the topics of snapshots into the index, beside the tail that reads the events.

    Whatever else is in those topics is passed over. Each batch is one transaction, with how far the
    topics were read, and only while this store follows.

    Parameters:
        settings: of the consumer.
        layout: the topics.
        connection: to the index, used by nobody else.
        follower: the number of the follower.
        where: what messages call the file.
        on_failure: told why it ended by itself.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        layout: LogLayout,
        connection: sqlite3.Connection,
        follower: int,
        where: str,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._layout = layout
        self._connection = connection
        self._follower = follower
        self._where = where
        with translated(where):
            connection.execute("PRAGMA synchronous = NORMAL")
            rows = connection.execute("SELECT topic, part, next FROM snapshots_read")
            self._next: dict[Partition, int] = {(topic, part): it for topic, part, it in rows}
            rows = connection.execute("SELECT topic, part, number FROM partitions")
            self._numbers = {(topic, part): number for topic, part, number in rows}
        parts = layout.snapshot_partitions()
        # What was read before may be gone: the topic is compacted, or was made anew.
        super().__init__(
            "eventkit snapshot tail", {**settings, "auto.offset.reset": "earliest"},
            {it: self._next.get(it, 0) for it in parts}, on_failure,
        )  # fmt: skip

    @override
    def close(self) -> None:
        """End the thread and leave the brokers."""
        super().close()
        self._connection.close()

    @override
    def _read(
        self, messages: Mapping[Partition, Sequence[Message]], ends: Mapping[Partition, int]
    ) -> None:
        reached = dict(ends)
        for partition, some in messages.items():
            reached[partition] = max(reached.get(partition, 0), (some[-1].offset() or 0) + 1)
        moved = [(*it, to) for it, to in reached.items() if self._next.get(it) != to]
        if not moved:
            return
        connection = self._connection
        with translated(self._where):
            connection.execute("BEGIN IMMEDIATE")
            try:
                check_follower(connection, self._follower)
                for partition, some in messages.items():
                    for message in some:
                        self._keep(partition, message)
                connection.executemany(_NEXT, moved)
                connection.execute("COMMIT")
            except Deposed:
                connection.execute("ROLLBACK")
                self.stop()
                return
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self._next.update(reached)

    def _keep(self, partition: Partition, message: Message) -> None:
        key: Any = message.key()
        value: Any = message.value()
        if key and value is None:  # a tombstone
            self._connection.execute(_DELETE, (key.decode(errors="replace"),))
            return
        placed = read(key, value)
        if placed is None or not belongs(placed, partition[0], self._layout):
            return
        it, place = placed
        home = self._layout.partition_of(it.aggregate_id)
        number = self._numbers[home]
        position = number << OFFSET_BITS | place.offset
        asked = (position, it.aggregate_id, it.version, number, place.offset)
        if self._connection.execute(_FITS, asked).fetchone() == (1,):
            row = (
                it.aggregate_id, it.version, it.state, to_micros(it.timestamp), it.fold, position,
            )  # fmt: skip
            self._connection.execute(SAVE_PLACED, row)


def belongs(placed: Placed, topic: str, layout: LogLayout) -> bool:
    """Whether a snapshot in a topic is one of an aggregate of this log, as the topics are today."""
    try:
        home = layout.partition_of(placed.snapshot.aggregate_id)
    except InvalidAggregateId:
        return False
    return (
        layout.log_id.topics.get(home[0]) == placed.place.topic_id
        and layout.snapshots_of(placed.snapshot.aggregate_id)[0] == topic
        and placed.place.offset < 1 << OFFSET_BITS
    )
