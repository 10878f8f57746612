"""The log as readers see it without an index: each question is a scan of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from eventkit.codec import AvroCodec
from eventkit.errors import InvalidInput
from eventkit.events import EventTypes, Position, utc
from eventkit.kafka.ends import Ends
from eventkit.kafka.index import Partition
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Progress
from eventkit.kafka.scanning.scan import Scan, Stretch
from eventkit.replaying import Pages, Replay
from eventkit.sqlite.reads import Read, Reads, T, Versions
from eventkit.sqlite.rows import COLUMNS, to_micros
from eventkit.store import EventFilter

_ROW_OF = {"position": "offset", "event_type": "type"}
_FIELDS = [LogRecord._fields.index(_ROW_OF.get(name, name)) for name in COLUMNS]
row_of: Callable[[LogRecord], tuple[Any, ...]] = itemgetter(*_FIELDS)
"""The row that the index would keep of a record, but its offset for a position."""


class Known(NamedTuple):
    """An aggregate as somebody saw it earlier.

    Parameters:
        version: how many events it had.
        latest: the latest of their timestamps.
        progress: how far its partition was read then.
    """

    version: int
    latest: datetime
    progress: Progress


class Memory(Protocol):
    """What remembers where reading an aggregate may begin, and where it ended."""

    def known(self, aggregate_id: str, /) -> Known | None:
        """Where reading it may begin."""

    def note_read(self, last: LogRecord, progress: Progress, /) -> None:
        """It was read to its end: its last event, and how far its partition was read."""


class KafkaLog(Reads):
    """Answers what `SqliteLog` answers, out of Kafka itself; used by any number of threads.

    Reading one aggregate reads its partition, from where a snapshot says that the wanted versions
    begin, else from its beginning. Both this and `replay` end at the last stable offsets of the
    moment when they begin: what is decided by then is shown, if the rule of the log accepts it.

    Parameters:
        scan: reads partitions.
        ends: asks where they end.
        layout: which there are.
        types: the event classes to read.
        find_schema: asked for the schema of a fingerprint.
        memory: told how far aggregates were read, and asked where reading one may begin.
    """

    def __init__(
        self,
        scan: Scan,
        ends: Ends,
        layout: LogLayout,
        types: EventTypes,
        find_schema: Callable[[bytes], str | None],
        memory: Memory | None = None,
    ) -> None:
        self._scan = scan
        self._ends = ends
        self._layout = layout
        self._types = types
        self._memory = memory
        self.codec = AvroCodec(types, find_schema)

    def events_of(self, read: Read[T], asked: Versions) -> list[T]:
        """The events of one aggregate."""
        partition, records = self._records_of(*asked)
        codec, place = self.codec, partial(Position, *partition)
        return [read(row_of(it), codec, place) for it in records]

    def events_where(self, read: Read[T], wanted: EventFilter) -> Replay[T]:
        """All events that match, up to the end of the log at the start.

        The events of an aggregate come in their order. Between partitions there is no order: they
        are read one after the other. Filters look at headers; what they drop is never decoded, and
        the topics of other categories are not read. Memory does not grow with the log.
        """
        return Replay(self._pages(read, wanted))

    def _pages(self, read: Read[T], wanted: EventFilter) -> Pages[T]:
        choose = _chooser(wanted)
        homes = {
            partition: home
            for partition, home in self._layout.homes.items()
            if wanted.categories is None or home.category in wanted.categories
        }
        ends = self._end_of(homes)
        stretches = {partition: Stretch(home, ends[partition]) for partition, home in homes.items()}
        for partition, records, _ in self._scan.batches(stretches):
            yield self._read_each(read, partition, choose(records))

    def _read_each(
        self, read: Read[T], partition: Partition, records: Sequence[LogRecord]
    ) -> Iterator[T]:
        codec, place = self.codec, partial(Position, *partition)
        return (read(row_of(it), codec, place) for it in records)

    def _records_of(
        self, aggregate_id: str, from_version: int, to_version: int | None, as_of: datetime | None
    ) -> tuple[Partition, list[LogRecord]]:
        partition = self._layout.partition_of(aggregate_id)
        if from_version < 1:
            raise InvalidInput(f"from_version is 1 or more, not {from_version}")
        moment = None if as_of is None else utc(as_of)
        last = to_version if to_version is not None else _LAST
        if partition not in self._layout.homes or last < from_version:
            self._scan.check_usable()
            return partition, []
        end = self._end_of({partition: None})[partition]
        start = self._start(aggregate_id, from_version, moment, end)
        stretch = Stretch(self._layout.homes[partition], end, *start, only=aggregate_id)
        latest = _LAST if moment is None else to_micros(moment)
        found: list[LogRecord] = []
        newest, batch = None, None
        for batch in self._scan.batches({partition: stretch}):
            for newest in batch.records:
                if newest.version > last or newest.timestamp > latest:
                    return partition, found
                if newest.version >= from_version:
                    found.append(newest)
        if newest is not None and batch is not None and self._memory is not None:
            self._memory.note_read(newest, batch.progress)
        return partition, found

    def _start(
        self, aggregate_id: str, from_version: int, as_of: datetime | None, end: int
    ) -> tuple[Progress, Mapping[str, int]]:
        """Where to begin: no wanted event, and none that is later than `as_of`, lies before."""
        memory = self._memory
        known = memory.known(aggregate_id) if memory and from_version > 1 else None
        if (
            known is None
            or known.version >= from_version
            or known.progress.decided > end
            or (as_of is not None and known.latest > as_of)
        ):
            return Progress(), {}
        return known.progress, {aggregate_id: known.version}

    def _end_of(self, partitions: Mapping[Partition, object]) -> dict[Partition, int]:
        self._scan.check_usable()
        return self._ends(partitions, committed=True)


_LAST = 1 << 63


def _chooser(wanted: EventFilter) -> Callable[[Sequence[LogRecord]], Sequence[LogRecord]]:
    """What picks the wanted events of the partitions that are read."""
    types = None if wanted.types is None else frozenset(wanted.types)
    workspace_id = wanted.workspace_id
    since = None if wanted.since is None else to_micros(wanted.since)
    until = None if wanted.until is None else to_micros(wanted.until)

    def choose(records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        if types is not None:
            records = [it for it in records if it.type in types]
        if workspace_id is not None:
            records = [it for it in records if it.workspace_id == workspace_id]
        if since is not None:
            records = [it for it in records if it.timestamp >= since]
        if until is not None:
            records = [it for it in records if it.timestamp < until]
        return records

    return choose
