"""The event store on Apache Kafka."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from copy import copy
from functools import partial
from pathlib import Path
from time import monotonic, time_ns
from typing import NamedTuple, Self
from uuid import UUID, uuid4

from eventkit.codec import AvroCodec
from eventkit.errors import EventkitError, InvalidInput, StoreBusy, StoreClosed, StoreUnavailable
from eventkit.events import ALL_EVENT_TYPES, Event, EventTypes, Metadata, Position
from eventkit.events import event_type as type_of
from eventkit.ids import category_of, new_event_id
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.ends import Ends
from eventkit.kafka.folder import TemporaryFolder
from eventkit.kafka.following import Following
from eventkit.kafka.index import IndexReader, Partition
from eventkit.kafka.inflight import Call, InFlight, Waiting, tell
from eventkit.kafka.layout import layout_of
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.names import Names
from eventkit.kafka.pages import Pages
from eventkit.kafka.proposals import ProposalTail
from eventkit.kafka.records import check_sizes, new_records
from eventkit.kafka.schemas import Schemas
from eventkit.kafka.settings import LOGGER, KafkaSettings
from eventkit.kafka.snapshots.indexed import IndexSnapshots
from eventkit.kafka.snapshots.tail import SnapshotTail
from eventkit.kafka.snapshots.writer import SnapshotWriter
from eventkit.kafka.topics import Topics
from eventkit.kafka.view import View
from eventkit.kafka.writing.helping import Helper
from eventkit.kafka.writing.together import Whole
from eventkit.kafka.writing.writer import Writer
from eventkit.reentry import Calls
from eventkit.sqlite.failures import translated
from eventkit.sqlite.log import ReadsLog, SqliteLog
from eventkit.sqlite.rows import to_micros
from eventkit.store import Append, Appended, check_together
from eventkit.subscribing import Subscribes, Subscriptions

_SQLITE_TIMEOUT = 10.0
_SOON = 2.0
"""Seconds that the writer waits for one answer: between answers it looks at deadlines."""
_PROGRESS = 0.2
"""Seconds between two reports of how the catch-up goes."""
_MOST_AT_ONCE = 5_000
"""Appends of one call that are queued together."""


class CatchUp(NamedTuple):
    """How far an index has come that is being built or brought up to date, in offsets."""

    done: int
    total: int


class KafkaStore(ReadsLog, Subscribes):
    """An `EventStore` on Kafka, with a local index that reads come from.

    An append that returned is in the log and in the index. Use one store from any number of
    threads, one index file from any number of processes of a host, and one log from any number of
    hosts. A process made by `fork()` opens its own store, on another index.

    Snapshots are kept in the index, and written to a topic beside that of the events, from where
    other hosts and a rebuilt index have them.

    Parameters:
        kafka: how to connect: `host:port`, or several with commas; or with librdkafka's settings.
        index: the file; made where there is none. None keeps one in a temporary folder that goes
            when the store is closed, so that each start reads the whole log.
        prefix: what stands before the category in the names of topics.
        timeout: seconds that an append may take, and each answer of the brokers.
        types: the event classes to read; all of this process unless given.
        on_catch_up: told now and then how far the index has come, until the store is open.

    Raises:
        InvalidSetting: a setting contradicts what an append rests on.
        StoreUnavailable: Kafka does not answer.
        NotAnEventStore: the index file is something else.
    """

    def __init__(
        self,
        kafka: str | KafkaSettings,
        *,
        index: str | Path | None = None,
        prefix: str = "",
        timeout: float = 30.0,
        types: EventTypes | None = None,
        on_catch_up: Callable[[CatchUp], None] | None = None,
    ) -> None:
        self._settings = KafkaSettings(kafka) if isinstance(kafka, str) else kafka
        self._where = f"kafka://{self._settings.bootstrap}"
        self._timeout = timeout
        self._types = EventTypes(ALL_EVENT_TYPES) if types is None else types
        self._process = os.getpid()
        self._closed = self._released = False
        self._closing = threading.Lock()
        self._calls = Calls(f"the event store {self._where}")
        self._names = Names(prefix)
        cluster = Cluster(self._settings)
        self._topics = Topics(cluster, self._names)
        self._layout = layout_of(self._topics, self._names)
        self._ends = Ends(cluster)
        self._soon = Ends(cluster, timeout=_SOON)
        self._checked: set[type[Event]] = set()
        self._folder = TemporaryFolder() if index is None else None
        self._path = self._folder.path / "index.db" if self._folder else Path(index or "")
        consumer = self._settings.consumer("read_committed")
        self._following = Following(
            self._path, self._layout.log_id, self._layout.homes, consumer,
            timeout=_SQLITE_TIMEOUT, beside=self._snapshot_tail,
        )  # fmt: skip
        try:
            self._open(on_catch_up)
        except BaseException:
            self._following.close()
            if self._folder is not None:
                self._folder.remove()
            raise

    def _open(self, on_catch_up: Callable[[CatchUp], None] | None) -> None:
        partitions = self._following.prepare()
        self._log = SqliteLog(
            self._types, self._following.connect, self._check_usable, str(self._path),
            layout=partitions, fetch_schema=self._fetch_schema,
        )  # fmt: skip
        self._schemas = Schemas(self._topics.registry, self._log.load_schema, self._save_schemas)
        self._snapshots = IndexSnapshots(
            self._following.connect, self._log.reading, self._check_usable, self._log.codec,
            str(self._path), self._calls, self._layout,
            SnapshotWriter(self._settings, self._layout.snapshots_of, self._schemas.ensure),
        )  # fmt: skip
        applied = self._following.applied
        writer_id = f"eventkit-{uuid4()}"
        self._view = View(applied, writer_id)
        self._pages = Pages(
            self._log, partitions, self._view, self._ends, self._layout, self._settings
        )
        self._subscriptions = Subscriptions(self._types, self._pages)
        in_flight = InFlight(writer_id)
        self._following.start(self._view, in_flight)
        self._catch_up(on_catch_up)
        producer = self._layout.fitted(self._settings.producer(writer_id))
        self._proposals = ProposalTail(
            self._settings.consumer("read_uncommitted"), dict(self._view.applied), self._view
        )
        self._largest = self._layout.record_limits(producer)
        self._helper = Helper(producer, self._view, self._soon)
        self._writer = Writer(
            producer, self._view, in_flight,
            IndexReader(self._log.reading, partitions, self._following.known),
            self._soon, self._log.codec,
        )  # fmt: skip
        with ExitStack() as begun:
            for it in (self._proposals, self._helper, self._writer):
                begun.callback(it.close)
                it.start()
            begun.pop_all()

    @property
    def types(self) -> EventTypes:
        """The event classes this store reads and writes."""
        return self._types

    @property
    def codec(self) -> AvroCodec:
        """How event bodies become bytes and back."""
        return self._log.codec

    @property
    def snapshots(self) -> IndexSnapshots:
        """The snapshots beside the events."""
        return self._snapshots

    @property
    def pages(self) -> Pages:
        """The log, partition by partition."""
        return self._pages

    def append(
        self,
        aggregate_id: str,
        events: Sequence[Event],
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        event_ids: Sequence[UUID] | None = None,
    ) -> Appended:
        """Write events of one aggregate, all or none; see `EventStore.append`."""
        self._check_usable()
        asked = Append(aggregate_id, events, expected_version, metadata, event_ids)
        (outcome,) = self._calls.run(lambda: self._write([self._waiting(asked)]))
        if isinstance(outcome, Appended):
            return outcome
        raise outcome

    def append_soon(self, asked: Append, done: Callable[[Appended | EventkitError], None]) -> None:
        """Take an append and return; `done` is told its outcome, once, from a thread of the store.

        Raises what `append` raises before it waits; then `done` is not called.
        """
        self._check_usable()
        self._calls.run(lambda: self._writer.put(Call([self._waiting(asked)], partial(tell, done))))

    def append_each(self, appends: Sequence[Append]) -> list[Appended | EventkitError]:
        """Write many appends; see `EventStore.append_each`."""
        self._check_usable()
        outcomes: list[Appended | EventkitError] = []
        for start in range(0, len(appends), _MOST_AT_ONCE):
            try:
                outcomes += self._calls.run(partial(self._write_each, appends, start))
            except EventkitError as error:
                if not start:
                    raise
                # Those before are done and must be told. The rest may not be tried: what stands
                # behind an append that was refused would come before it.
                return outcomes + [copy(error) for _ in appends[start:]]
        return outcomes

    def append_all(self, appends: Sequence[Append]) -> list[Appended]:
        """Write appends to several aggregates, all or none; see `EventStore.append_all`."""
        result = self._calls.run(lambda: self._write_all(appends))
        if isinstance(result, EventkitError):
            raise result
        return result

    def wait(self, position: Position, timeout: float | None = None) -> None:
        """Return when the event at a position can be read here; see `EventStore.wait`."""
        self._check_usable()
        topic, part, offset = position
        if (topic, part) not in self._layout.homes:
            raise InvalidInput(f"{position} is no position of {self._where}")
        seconds = self._timeout if timeout is None else timeout
        until = monotonic() + seconds
        while not self._calls.run(lambda: self._reaches_soon({(topic, part): offset + 1}, until)):
            self._check_usable()
            if monotonic() >= until:
                text = f"{position} was not read from Kafka within {seconds} s"
                raise StoreUnavailable(text, retryable=True)

    def close(self) -> None:
        """Finish the appends that were accepted, and let go of everything; again does nothing.

        In a signal handler that interrupts an append, it is closed when that ends. One that an
        interrupt ended before it was done is finished by the next.
        """
        if self._process == os.getpid():  # else all there is belongs to the one that opened it
            self._calls.run_or_leave(self._close)

    def _close(self) -> None:
        with self._closing:
            if self._released:
                return
            self._writer.close()  # refuses appends from here on; those it has still read the index
            self._snapshots.drain()
            self._closed = True
            self._subscriptions.close()
            self._proposals.stop()
            self._following.stop()
            self._helper.close()
            self._proposals.close()
            self._following.close()
            self._snapshots.close()
            self._log.close()
            if self._folder is not None:
                self._folder.remove()
            self._released = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r}, index={str(self._path)!r})"

    def _reaches_soon(self, ends: Mapping[Partition, int], until: float) -> bool:
        view = self._view
        return view.wait(lambda: view.has_applied(ends), min(until, monotonic() + _SOON))

    def _catch_up(self, report: Callable[[CatchUp], None] | None) -> None:
        """Return when all that is decided now is in the index."""
        view, ends = self._view, self._ends(self._layout.homes, committed=True)
        total = sum(ends.values())
        while not view.wait(lambda: view.has_applied(ends), monotonic() + _PROGRESS):
            if report is not None:
                left = sum(max(0, end - view.applied[part]) for part, end in ends.items())
                report(CatchUp(total - left, total))
        if report is not None:
            report(CatchUp(total, total))

    def _write(self, waitings: Sequence[Waiting]) -> list[Appended | EventkitError]:
        if waitings:
            call = Call(waitings)
            self._writer.put(call)
            call.wait()
        return [it.outcome for it in waitings if it.outcome is not None]

    def _write_each(self, appends: Sequence[Append], start: int) -> list[Appended | EventkitError]:
        prepared: list[Waiting | EventkitError] = []
        for asked in appends[start : start + _MOST_AT_ONCE]:
            try:
                prepared.append(self._waiting(asked))
            except EventkitError as error:
                prepared.append(error)
        written = iter(self._write([it for it in prepared if isinstance(it, Waiting)]))
        return [next(written) if isinstance(it, Waiting) else it for it in prepared]

    def _write_all(self, appends: Sequence[Append]) -> list[Appended] | EventkitError:
        self._check_usable()
        check_together(appends)
        whole = Whole([self._waiting(asked) for asked in appends])
        call = Call([whole])
        self._writer.put_all(whole, call)
        call.wait()
        return whole.result()

    def _waiting(self, asked: Append) -> Waiting:
        asked.check()
        aggregate_id, events, expected, metadata, given = asked
        partitions = self._partitions_of(category_of(aggregate_id))
        event_ids = tuple([new_event_id() for _ in events] if given is None else given)
        for event in events:
            if type(event) not in self._checked:
                self._check_schema(type(event))
        encode = self._log.codec.encode
        records = new_records(
            aggregate_id,
            [(id_, type_of(it), encode(it)) for id_, it in zip(event_ids, events, strict=True)],
            time_ns() // 1_000
            if metadata is None or metadata.timestamp is None
            else to_micros(metadata.timestamp),
            metadata,
        )
        topic = self._names.events(category_of(aggregate_id))
        part = partition_for(records[0].key, partitions)
        check_sizes(records, self._largest[topic])
        return Waiting(
            aggregate_id, (topic, part), records, event_ids, expected,
            monotonic() + self._timeout, given=given is not None,
        )  # fmt: skip

    def _partitions_of(self, category: str) -> int:
        partitions = self._layout.partitions.get(category)
        if partitions is None:
            raise StoreUnavailable(
                f"{self._where} had no topics for the category {category!r} when it was opened. "
                f"Make them, and open the store again:\n{self._topics.how_to_create(category)}"
            )
        return partitions

    def _check_schema(self, cls: type[Event]) -> None:
        self._types.bind_to_write(cls)
        self._schemas.ensure(self._log.codec.schema_of(cls))
        self._checked.add(cls)

    def _fetch_schema(self, fingerprint: bytes) -> str | None:
        return self._schemas.fetch(fingerprint)

    def _save_schemas(self, schemas: Mapping[bytes, str]) -> None:
        """Keep schemas in the index too; the registry has them, so that this may be left out."""
        connection = self._following.connect()
        try:
            connection.execute("PRAGMA busy_timeout = 200")
            with suppress(StoreBusy), translated(str(self._path)):
                connection.executemany(
                    "INSERT OR IGNORE INTO schemas VALUES (?, ?)", list(schemas.items())
                )
        finally:
            connection.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise StoreClosed(f"the event store {self._where}")
        if self._process != os.getpid():
            raise StoreClosed.by_fork(f"the event store {self._where}")
        self._following.check()

    def _snapshot_tail(self, follower: int) -> SnapshotTail:
        settings = self._settings.consumer("read_committed")
        return SnapshotTail(
            settings, self._layout, self._following.connect(), follower, str(self._path),
            lambda error: LOGGER.warning("snapshots are not read from Kafka any more: %s", error),
        )  # fmt: skip
