"""Snapshots without an index: read from their topic, where they are, and written to it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from confluent_kafka import Message
from pydantic import BaseModel

from eventkit.codec import AvroCodec
from eventkit.events import EventTypes
from eventkit.kafka.ends import Ends
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Progress
from eventkit.kafka.scanning.log import Known
from eventkit.kafka.scanning.scan import Scan
from eventkit.kafka.snapshots.record import Place, Placed, is_newer, read
from eventkit.kafka.snapshots.tail import belongs
from eventkit.kafka.snapshots.writer import SnapshotWriter
from eventkit.store import Snapshot

_MOST = 1_000
"""Snapshots of which this process remembers something."""


class DirectSnapshots:
    """Each load reads the partition of the topic that the aggregate's snapshots go to.

    A snapshot of the topic is taken only if the event that it ends with stands in the log where it
    says. What was saved here and is not in the topic yet is remembered, for a while.

    Parameters:
        scan: reads the topics of snapshots.
        events: reads the topics of events.
        ends: asks where partitions end.
        layout: the topics.
        writer: takes snapshots to the topic.
        check_usable: raises where the store is closed or another process's.
    """

    def __init__(
        self,
        scan: Scan,
        events: Scan,
        ends: Ends,
        layout: LogLayout,
        writer: SnapshotWriter,
        check_usable: Callable[[], None],
    ) -> None:
        self._scan = scan
        self._events = events
        self._ends = ends
        self._layout = layout
        self._writer = writer
        self._check_usable = check_usable
        self._lock = threading.Lock()
        self._saved: OrderedDict[str, Snapshot] = OrderedDict()
        self._places: OrderedDict[str, tuple[Snapshot, Place]] = OrderedDict()
        self._read: OrderedDict[str, tuple[int, Place]] = OrderedDict()
        self._codec = AvroCodec(EventTypes(), lambda _: None)  # reads no events

    def load_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """The newest snapshot, or None.

        Raises:
            StoreError: Kafka could not be read.
        """
        self._check_usable()
        found = self._find(aggregate_id)
        with self._lock:
            saved = self._saved.get(aggregate_id)
            if found is not None and (saved is None or not is_newer(saved, found.snapshot)):
                _remember(self._places, aggregate_id, (found.snapshot, found.place))
                return found.snapshot
            return saved

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, unless a newer one of the same code was saved here."""
        self._check_usable()
        aggregate_id = snapshot.aggregate_id
        with self._lock:
            if not is_newer(snapshot, self._saved.get(aggregate_id)):
                return
            _remember(self._saved, aggregate_id, snapshot)
            version, place = self._read.get(aggregate_id, (0, None))
            if place is None or version != snapshot.version:
                return
            _remember(self._places, aggregate_id, (snapshot, place))
        self._writer.put(Placed(snapshot, place))

    def encode_state(self, model: type[BaseModel], values: dict[str, object]) -> bytes:
        """The typed fields as Avro single-object encoding."""
        self._writer.note_schema(self._codec.state_schema_of(model))
        return self._codec.encode_state(model, values)

    def decode_state(self, model: type[BaseModel], data: bytes) -> dict[str, object] | None:
        """The typed fields, or None where they were written with another schema."""
        return self._codec.decode_state(model, data)

    def known(self, aggregate_id: str) -> Known | None:
        """Where reading an aggregate may begin: behind its snapshot that was loaded or saved."""
        with self._lock:
            if aggregate_id not in self._places:
                return None
            snapshot, place = self._places[aggregate_id]
        return Known(snapshot.version, snapshot.timestamp, place.progress)

    def note_read(self, last: LogRecord, progress: Progress) -> None:
        """An aggregate was read to its end: its last event, and how far its partition was read."""
        topic, _ = self._layout.partition_of(last.aggregate_id)
        place = Place(self._layout.log_id.topics[topic], last.offset, progress)
        with self._lock:
            _remember(self._read, last.aggregate_id, (last.version, place))

    def close(self) -> None:
        """Let the topic have what was saved, as far as a few seconds allow."""
        self._writer.close()

    def _find(self, aggregate_id: str) -> Placed | None:
        partition = self._layout.snapshots_of(aggregate_id)
        home = self._layout.partition_of(aggregate_id)
        if home not in self._layout.homes:
            return None
        end = self._ends([partition], committed=True)[partition]
        key, newest = aggregate_id.encode(), None
        for messages, _ in self._scan.messages(partition, 0, end):
            for message in messages:
                if message.key() == key:
                    newest = self._newer(partition[0], message, newest)
        return newest

    def _newer(self, topic: str, message: Message, newest: Placed | None) -> Placed | None:
        """Which of two is the newest; none after a tombstone, and garbage changes nothing."""
        key: Any = message.key()
        value: Any = message.value()
        if value is None:
            return None
        placed = read(key, value)
        if placed is None or not belongs(placed, topic, self._layout):
            return newest
        if not is_newer(placed.snapshot, newest and newest.snapshot) or not self._stands(placed):
            return newest
        return placed

    def _stands(self, placed: Placed) -> bool:
        """Whether the event that it ends with is in the log."""
        snapshot, place = placed
        home = self._layout.partition_of(snapshot.aggregate_id)
        if place.progress.decided > self._ends([home], committed=True)[home]:
            return False
        found = self._events.record_at(home, place.offset)
        return (
            found is not None
            and found.problem is None
            and (found.aggregate_id, found.version) == (snapshot.aggregate_id, snapshot.version)
        )


def _remember(where: OrderedDict[str, Any], aggregate_id: str, what: Any) -> None:
    where[aggregate_id] = what
    where.move_to_end(aggregate_id)
    if len(where) > _MOST:
        where.popitem(last=False)
