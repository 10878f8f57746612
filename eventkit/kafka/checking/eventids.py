"""Which event ids are in the log more than once, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from uuid import UUID

from eventkit.events import Position
from eventkit.health.findings import Finding, Kind
from eventkit.kafka.checking.scratch import Scratch
from eventkit.kafka.index import Partition
from eventkit.kafka.reading import LogRecord

_TABLE = "CREATE TABLE ids (event_id BLOB, topic TEXT, part INTEGER, position INTEGER, id TEXT)"
_ADD = "INSERT INTO ids VALUES (?, ?, ?, ?, ?)"
_TWICE = """
SELECT event_id, count(*), topic, part, min(position), id FROM ids
GROUP BY event_id HAVING count(*) > 1
"""
_FIX = (
    "whoever tells events apart by their id takes these for one: see whether both should be there, "
    "and take back what should not by a compensating event"
)


class EventIds:
    """The ids of events that took effect, in a temporary file."""

    def __init__(self) -> None:
        self._rows = Scratch(_TABLE, _ADD)

    def add(self, partition: Partition, records: Iterable[LogRecord]) -> None:
        """These are there."""
        self._rows.add((it.event_id, *partition, it.offset, it.aggregate_id) for it in records)

    def doubled(self) -> Iterator[Finding]:
        """Each id that is there more than once."""
        for event_id, count, topic, part, offset, aggregate_id in self._rows.ask(_TWICE):
            problem = f"event id {UUID(bytes=event_id)} is there {count} times"
            place = Position(topic, part, offset)
            yield Finding(Kind.EVENT_ID, problem, _FIX, place, aggregate_id, count)

    def close(self) -> None:
        """Delete the file."""
        self._rows.close()
