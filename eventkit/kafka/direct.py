"""The event store on Kafka without an index file: it opens at once, and reading is a scan."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Self
from uuid import UUID

from eventkit.codec import AvroCodec
from eventkit.errors import EventkitError, StoreClosed
from eventkit.events import ALL_EVENT_TYPES, Event, EventTypes, Metadata, Position
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.ends import Ends
from eventkit.kafka.layout import layout_of
from eventkit.kafka.names import Names
from eventkit.kafka.pages import Pages
from eventkit.kafka.scanning.consumers import Consumers
from eventkit.kafka.scanning.log import KafkaLog
from eventkit.kafka.scanning.scan import Scan
from eventkit.kafka.schemas import Schemas
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.snapshots.indexed import IndexSnapshots
from eventkit.kafka.snapshots.scanned import DirectSnapshots
from eventkit.kafka.snapshots.writer import SnapshotWriter
from eventkit.kafka.store import CatchUp, KafkaStore
from eventkit.kafka.topics import Topics
from eventkit.reentry import Calls
from eventkit.replaying import Replay
from eventkit.sqlite.reads import Read, Reads, T, Versions
from eventkit.store import Append, Appended, EventFilter
from eventkit.subscribing import LogSubscription

log = logging.getLogger("eventkit.kafka")


class DirectStore(Reads):
    """An `EventStore` on Kafka that keeps no index while it only reads.

    Opening takes as long as asking the brokers for their topics. Reading one aggregate scans its
    partition, from behind its snapshot where that will do; a replay scans all partitions that may
    hold what is wanted. Both see all that was decided when they began.

    The first append or subscription, and whoever needs `pages` or `wait`, makes an index in a
    temporary folder, which takes as long as reading the whole log, once: what a record means rests
    on all that came before it, so that a scan from a position would have to begin there, too. From
    then on reads come from it as well. A service that does so is better off with an index file
    that stays.

    Parameters:
        kafka: how to connect: `host:port`, or several with commas; or with librdkafka's settings.
        prefix: what stands before the category in the names of topics.
        timeout: seconds that an append may take, and each answer of the brokers.
        types: the event classes to read; all of this process unless given.
        on_catch_up: told now and then how far that index has come; the log is told unless given.

    Raises:
        InvalidSetting: a setting contradicts what an append rests on.
        StoreUnavailable: Kafka does not answer.
    """

    def __init__(
        self,
        kafka: str | KafkaSettings,
        *,
        prefix: str = "",
        timeout: float = 30.0,
        types: EventTypes | None = None,
        on_catch_up: Callable[[CatchUp], None] | None = None,
    ) -> None:
        self._on_catch_up = _tell if on_catch_up is None else on_catch_up
        self._settings = KafkaSettings(kafka) if isinstance(kafka, str) else kafka
        self._where = f"kafka://{self._settings.bootstrap}"
        self._timeout, self._prefix = timeout, prefix
        self._types = EventTypes(ALL_EVENT_TYPES) if types is None else types
        self._process = os.getpid()
        self._closed = self._released = False
        self._lock = threading.Lock()
        self._calls = Calls(f"the event store {self._where}")
        self._indexed: KafkaStore | None = None
        cluster = Cluster(self._settings)
        topics = Topics(cluster, Names(prefix))
        self._layout = layout_of(topics, Names(prefix))
        self._schemas = Schemas(topics.registry, lambda _: None, lambda _: None)
        # A scan knows where it ends: it never waits for what is still to come.
        consumer = self._settings.consumer("read_committed") | {"fetch.wait.max.ms": 5}
        compacted = consumer | {"auto.offset.reset": "earliest"}
        self._pools = [Consumers(self._settings, it) for it in (consumer, compacted)]
        events, states = [Scan(it, self._check_usable, timeout=timeout) for it in self._pools]
        ends = Ends(cluster)
        writer = SnapshotWriter(self._settings, self._layout.snapshots_of, self._schemas.ensure)
        self._snapshots = DirectSnapshots(
            states, events, ends, self._layout, writer, self._check_usable
        )
        self._log = KafkaLog(
            events, ends, self._layout, self._types, self._schemas.fetch, self._snapshots
        )

    @property
    def types(self) -> EventTypes:
        """The event classes this store reads and writes."""
        return self._types

    @property
    def codec(self) -> AvroCodec:
        """How event bodies become bytes and back."""
        return self._log.codec

    @property
    def snapshots(self) -> DirectSnapshots | IndexSnapshots:
        """The snapshots beside the events."""
        indexed = self._reading()
        return self._snapshots if indexed is None else indexed.snapshots

    @property
    def pages(self) -> Pages:
        """The log, partition by partition, out of the temporary index."""
        return self._with_index().pages

    def append(
        self,
        aggregate_id: str,
        events: Sequence[Event],
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        event_ids: Sequence[UUID] | None = None,
    ) -> Appended:
        """Write events of one aggregate, all or none; see `EventStore.append`."""
        asked = Append(aggregate_id, events, expected_version, metadata, event_ids)
        self._check_usable()
        asked.check()  # what cannot be written needs no index
        return self._with_index().append(*asked)

    def append_each(self, appends: Sequence[Append]) -> list[Appended | EventkitError]:
        """Write many appends; see `EventStore.append_each`."""
        return self._with_index().append_each(appends)

    def append_all(self, appends: Sequence[Append]) -> list[Appended]:
        """Write appends to several aggregates, all or none; see `EventStore.append_all`."""
        return self._with_index().append_all(appends)

    def wait(self, position: Position, timeout: float | None = None) -> None:
        """Return when the event at a position can be read here; see `EventStore.wait`."""
        self._with_index().wait(position, timeout)

    def events_of(self, read: Read[T], asked: Versions) -> list[T]:
        """The events of one aggregate; see `KafkaLog.events_of`."""
        return self._reader().events_of(read, asked)

    def events_where(self, read: Read[T], wanted: EventFilter) -> Replay[T]:
        """All events that match; see `KafkaLog.events_where`."""
        return self._reader().events_where(read, wanted)

    def subscribe(
        self,
        from_position: Position | Sequence[Position] | None = None,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
    ) -> LogSubscription:
        """All events that match, and on as they come; out of the temporary index."""
        return self._with_index().subscribe(from_position, event_types, workspace_id, categories)

    def close(self) -> None:
        """Finish the appends that were accepted, and let go of everything; again does nothing.

        In a signal handler that interrupts an append, it is closed when that ends. One that an
        interrupt ended before it was done is finished by the next.
        """
        if self._process == os.getpid():  # else all there is belongs to the one that opened it
            self._calls.run_or_leave(self._close)

    def _close(self) -> None:
        with self._lock:
            if self._released:
                return
            if self._indexed is not None:
                self._indexed.close()
            self._snapshots.close()
            self._closed = True
            for pool in self._pools:
                pool.close()
            self._released = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r})"

    def _reader(self) -> Reads:
        self._check_usable()
        return self._reading() or self._log

    def _reading(self) -> KafkaStore | None:
        """The index that reads come from, if there is one by now."""
        return self._indexed

    def _with_index(self) -> KafkaStore:
        self._check_usable()
        return self._indexed or self._calls.run(self._make_index)

    def _make_index(self) -> KafkaStore:
        with self._lock:
            self._check_usable()
            if self._indexed is None:
                log.info("an index of %s is made in a temporary folder", self._where)
                self._indexed = KafkaStore(
                    self._settings, prefix=self._prefix, timeout=self._timeout,
                    types=self._types, on_catch_up=self._on_catch_up,
                )  # fmt: skip
            return self._indexed

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreClosed(f"the event store {self._where}")
        if self._process != os.getpid():
            raise StoreClosed.by_fork(f"the event store {self._where}")


def _tell(progress: CatchUp) -> None:
    log.debug("the index was read up to %d of %d", *progress)
