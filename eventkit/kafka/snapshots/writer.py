"""Writes snapshots to their topic, off the path of those who append and load."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventkit.codec import AvroSchema, fingerprint_of
from eventkit.errors import EventkitError
from eventkit.kafka.index import Partition
from eventkit.kafka.lookout import Lookout
from eventkit.kafka.settings import KafkaSettings, Setting
from eventkit.kafka.snapshots.record import Placed, record_schema, written

log = logging.getLogger("eventkit.kafka")

_MOST = 1_000
"""Snapshots that may wait; more are dropped, which costs time only."""
_POLL = 1.0
_LIMITS: dict[str, Setting] = {
    "linger.ms": 20,
    "queue.buffering.max.kbytes": 16_384,
    "delivery.timeout.ms": 30_000,
}


class SnapshotWriter:
    """A thread that begins with the first snapshot; whatever fails is noted and dropped.

    Parameters:
        settings: how to connect.
        place: the partition of the topic of snapshots that an aggregate's go to.
        ensure: sees that the registry holds a schema; may take its time.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        place: Callable[[str], Partition],
        ensure: Callable[[AvroSchema], None],
    ) -> None:
        self._settings = settings
        self._place = place
        self._ensure = ensure
        self._schemas: dict[bytes, AvroSchema] = {}
        self._ensured: set[bytes] = set()
        self._queue: Queue[Placed] = Queue(_MOST)
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._until = 0.0
        self._producer: Producer | None = None
        self._lookout: Lookout[Producer] | None = None
        self._silent = False
        self.failed = 0

    def note_schema(self, schema: AvroSchema) -> None:
        """States may be written with this schema."""
        self._schemas[schema.fingerprint] = schema

    def put(self, placed: Placed) -> None:
        """Write a snapshot some time."""
        with self._lock:
            if self._closing.is_set():
                return
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="eventkit snapshots", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # the next snapshot tries again
                    self._note(str(error))
                    return
                self._thread = thread
        try:
            self._queue.put_nowait(placed)
        except Full:
            self._note("too many wait")

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, as far as the time (seconds) allows, and end the thread."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._until = monotonic() + timeout
            self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout + _POLL)

    def _work(self) -> None:
        while not self._is_over():
            with suppress(Empty):
                self._write(self._queue.get(timeout=_POLL / 20))
            if self._producer is not None:
                self._producer.poll(0)
                if self._silent:
                    self._see_brokers(self._producer)
        if self._lookout is not None:
            self._lookout.close()
        if self._producer is not None:
            if self._producer.flush(max(0.0, self._until - monotonic())):
                self._note("Kafka did not take them before the store was closed")
                self._producer.purge()
            self._producer = None

    def _is_over(self) -> bool:
        if not self._closing.is_set():
            return False
        return self._queue.empty() or monotonic() > self._until

    def _write(self, placed: Placed) -> None:
        snapshot = placed.snapshot
        try:
            self._ensure_schemas(fingerprint_of(snapshot.state))
            topic, part = self._place(snapshot.aggregate_id)
            if self._producer is None:
                self._producer = self._made()
            if self._lookout is None:
                self._lookout = Lookout(topic, "the writer of snapshots")
            self._producer.produce(
                topic, written(*placed), snapshot.aggregate_id, part, on_delivery=self._delivered
            )
        except (KafkaException, BufferError, EventkitError) as error:
            self._note(str(error))
            if isinstance(error, KafkaException) and error.args[0].fatal():
                self._producer = None

    def _made(self) -> Producer:
        return self._settings.opened(Producer, self._settings.producer(None) | _LIMITS)

    def _see_brokers(self, silent: Producer) -> None:
        """Go on with a new producer where this one will never write anything again."""
        fresh = self._lookout.replacement(silent, self._made) if self._lookout else None
        if fresh is not None:
            silent.purge()
            silent.flush(_POLL)  # tells of each that was not written
            self._producer, self._silent = fresh, False

    def _ensure_schemas(self, fingerprint: bytes) -> None:
        """See that readers of other makes find the schemas of the record and of the state."""
        for schema in (record_schema(), self._schemas.get(fingerprint)):
            if schema is not None and schema.fingerprint not in self._ensured:
                self._ensure(schema)
                self._ensured.add(schema.fingerprint)

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            if self._silent and self._lookout is not None:
                self._lookout.close()
            self._silent = False
        else:
            # Kafka is away, or this producer has lost it for good, as `Lookout` tells.
            self._silent |= error.code() == KafkaError._MSG_TIMED_OUT  # noqa: SLF001
            self._note(error.str())

    def _note(self, reason: str) -> None:
        self.failed += 1
        level = logging.DEBUG if self.failed > 1 else logging.WARNING
        log.log(level, "a snapshot was not written to its topic, which costs time only: %s", reason)
