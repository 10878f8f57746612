"""The index: a local copy of the log in SQLite, which makes reads by aggregate fast.

It can be thrown away while no process uses it: Kafka has all of it. Its rows are those of the
embedded store, in stretches: a row's position is the number of its partition, then its offset
there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from eventkit.events import Position
from eventkit.kafka.heads import KnownHeads
from eventkit.sqlite.log import Stretch
from eventkit.sqlite.retries import Known
from eventkit.store import EventFilter

Partition = tuple[str, int]
"""Topic and number of a partition."""

OFFSET_BITS = 44
"""Of a row's position; the bits above are the number of the partition in the table."""
_OFFSET = (1 << OFFSET_BITS) - 1
_MOST_IDS = 500

_HEADS = """
SELECT json_group_object(value, coalesce(
    (SELECT max(version) FROM events WHERE aggregate_id = value), 0))
FROM json_each(?)
"""
_KNOWN = (
    "SELECT event_id, aggregate_id, version, event_type, data, position FROM events WHERE event_id"
)
_NEWEST = "SELECT max(position) FROM events WHERE position BETWEEN ? AND ?"


def heads(connection: sqlite3.Connection, aggregate_ids: Iterable[str]) -> dict[str, int]:
    """The versions of aggregates, 0 where there are no events."""
    asked = json.dumps(list(aggregate_ids))
    (found,) = connection.execute(_HEADS, (asked,)).fetchone()
    versions: dict[str, int] = json.loads(found)
    return versions


class Partitions:
    """The numbers that partitions have in this index; the layout of its log.

    Parameters:
        connection: to a file that is an index.
        categories: the partitions to read, and the category of each.
    """

    def __init__(self, connection: sqlite3.Connection, categories: Mapping[Partition, str]) -> None:
        self._categories = categories
        self.numbers: dict[Partition, int] = {
            (topic, part): number
            for number, topic, part in connection.execute(
                "SELECT number, topic, part FROM partitions ORDER BY number"
            )
            if (topic, part) in categories
        }
        self._names = {number: partition for partition, number in self.numbers.items()}

    def place(self, number: int) -> Position:
        """The public form of a row's position."""
        topic, part = self._names[number >> OFFSET_BITS]
        return Position(topic, part, number & _OFFSET)

    def stretches(self, connection: sqlite3.Connection, wanted: EventFilter) -> Sequence[Stretch]:
        """The partitions of the wanted categories, up to their newest events.

        All ends are taken in one read transaction: they are a state that the index was in.
        """
        found = []
        connection.execute("BEGIN")
        try:
            for partition in self.of(wanted):
                newest = self.newest(connection, partition)
                if newest is not None:
                    first = self.numbers[partition] << OFFSET_BITS
                    found.append(Stretch(first - 1, newest))
        finally:
            connection.execute("COMMIT")
        return found

    def of(self, wanted: EventFilter | None) -> list[Partition]:
        """The partitions of the wanted categories."""
        categories = None if wanted is None else wanted.categories
        return [
            it for it in self.numbers if categories is None or self._categories[it] in categories
        ]

    def newest(self, connection: sqlite3.Connection, partition: Partition) -> int | None:
        """The position of the row of a partition's newest event; None where it has none."""
        first = self.numbers[partition] << OFFSET_BITS
        newest: int | None
        (newest,) = connection.execute(_NEWEST, (first, first | _OFFSET)).fetchone()
        return newest


class IndexReader:
    """What writers ask the index; used by any thread.

    Parameters:
        reading: lends a connection that reads.
        partitions: the layout.
        known: takes the heads that were looked up.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
        partitions: Partitions,
        known: KnownHeads,
    ) -> None:
        self._reading = reading
        self._known = known
        self.place = partitions.place

    def heads(self, aggregate_ids: Iterable[str]) -> dict[str, int]:
        """The versions of aggregates, 0 where there are no events."""
        age = self._known.age
        with self._reading() as connection:
            found = heads(connection, aggregate_ids)
        self._known.offer(age, found)
        return found

    def known(self, event_ids: Sequence[bytes]) -> dict[bytes, Known]:
        """Where event ids stand in the log, and with which content."""
        found: dict[bytes, Known] = {}
        with self._reading() as connection:
            for start in range(0, len(event_ids), _MOST_IDS):
                some = event_ids[start : start + _MOST_IDS]
                marks = ",".join("?" * len(some))
                rows = connection.execute(f"{_KNOWN} IN ({marks}) ORDER BY position DESC", some)
                found.update((event_id, Known(*rest)) for event_id, *rest in rows)
        return found
