"""Verifies a log on Kafka: reads it once, live, and tells what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from eventkit.errors import StoreUnavailable
from eventkit.events import EventTypes, Position
from eventkit.health.bodies import Bodies
from eventkit.health.findings import Asked, Finding, Kind, Listener, Reading
from eventkit.kafka.checking.audit import Audited, PartitionAudit, part_of_message
from eventkit.kafka.checking.eventids import EventIds
from eventkit.kafka.checking.indexaudit import IndexAudit, PartitionIndex
from eventkit.kafka.checking.snapshotaudit import SnapshotAudit
from eventkit.kafka.checking.wholes import Wholes
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.ends import Ends
from eventkit.kafka.gate import Severity
from eventkit.kafka.index import Partition
from eventkit.kafka.indexfile import LogId
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.names import Names
from eventkit.kafka.rule import Home
from eventkit.kafka.scanning.consumers import Consumers
from eventkit.kafka.scanning.scan import Scan
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.topics import Topics

_DECIDED = 15.0
"""Seconds until what was proposed at the start is decided: transactions end after 10."""
_LOOK = 0.1
_MISSING = (
    "append what is missing, or take back what is there by compensating events: nothing can be "
    "added to an append that is in the log"
)
_GONE = "restore the topic from a backup, and see that its retention.ms and .bytes are -1"


class _Limits(NamedTuple):
    """Where a partition begins, up to where all is decided, and where it ends."""

    start: int
    decided: int
    end: int


class KafkaVerifier:
    """Reads all topics of events up to what is decided at the start, and tells what it finds.

    Memory does not grow with the log, but with the number of snapshots that are compared.

    Parameters:
        settings: how to connect.
        names: of the topics.
        types: the event classes.
        asked: what to look at beside the log.
        listener: is told.
        timeout: seconds that the brokers may take for one answer.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        names: Names,
        types: EventTypes,
        asked: Asked,
        listener: Listener,
        *,
        timeout: float = 10.0,
    ) -> None:
        self._settings = settings
        self._names = names
        self._asked = asked
        self._listener = listener
        self._timeout = timeout
        self._cluster = Cluster(settings, timeout=timeout)
        self._topics = Topics(self._cluster, names)
        self._ends = Ends(self._cluster, timeout=timeout)
        registry = self._topics.registry
        self._bodies = Bodies(
            types, lambda it: registry.texts.get(it.hex()),
            typed=asked.class_of is not None, restore=f"restore {names.registry} from a backup",
        )  # fmt: skip
        self._snapshots: SnapshotAudit | None = None
        self._index: IndexAudit | None = None
        self._limits: dict[Partition, _Limits] = {}
        self._wholes = Wholes()
        self._ids = EventIds()
        self._behind = self._done = self._total = self._events = 0

    def run(self, index: Path | None = None) -> None:
        """Verify the log, and an index of it.

        Raises:
            StoreError: the log or the index cannot be read.
        """
        layout = self._layout()
        with closing(self._wholes), closing(self._ids), ExitStack() as stack:
            # First how far the index is, and what snapshots say; then where the log ends.
            if index is not None:
                self._index = stack.enter_context(closing(IndexAudit(index, layout.log_id)))
                self._found(self._index.faults())
            if self._asked.class_of is not None and self._asked.snapshots != 0:
                self._read_snapshots(layout)
            self._limits = self._limits_of(layout.homes)
            self._total = sum(it.decided - it.start for it in self._limits.values())
            self._topics.registry.refresh()
            scan = stack.enter_context(self._scan("error"))
            try:
                for partition, home in layout.homes.items():
                    self._partition(scan, partition, home)
                self._found(self._ids.doubled())
                self._find_torn(scan)
                if self._snapshots is not None:
                    self._found(self._snapshots.unfinished(self._whole_homes(layout)))
            finally:
                self._found(self._bodies.findings())

    def _layout(self) -> LogLayout:
        """The topics as they were recorded, as far as they are there, be they safe or not."""
        names, registry = self._names, self._topics.registry
        categories = self._topics.categories()
        if not categories:
            raise StoreUnavailable(
                f"there is no event store at {self._settings.url(names.prefix)}: no category has "
                f"topics there. Make them with:\n{self._topics.how_to_create('CATEGORY')}"
            )
        for it in self._topics.check(categories):
            if it.severity is Severity.REFUSE:
                problem = f"{it.topic}: {it.problem}"
                self._listener.found(Finding(Kind.TOPIC, problem, it.fix))
        there = self._cluster.describe([names.events(it) for it in categories])
        ids: dict[str, str] = {}
        homes: dict[Partition, Home] = {}
        counts: dict[str, int] = {}
        for category in categories:
            topic = names.events(category)
            record, state = registry.topic(topic), there.get(topic)
            if record is None or state is None:
                continue
            ids[topic], counts[category] = record.topic_id, record.partitions
            for part in range(min(record.partitions, state.partitions)):
                homes[topic, part] = Home(category, part, record.partitions)
        return LogLayout(LogId(names.registry, ids), homes, counts, names)

    def _read_snapshots(self, layout: LogLayout) -> None:
        assert self._asked.class_of is not None  # noqa: S101 - that is why it is called
        audit = SnapshotAudit(
            layout, self._asked.class_of, self._asked.snapshots, self._settings.bootstrap
        )
        there = self._cluster.describe(list({topic for topic, _ in layout.snapshot_partitions()}))
        partitions = [
            (topic, part)
            for topic, part in layout.snapshot_partitions()
            if topic in there and part < there[topic].partitions
        ]
        with self._scan("earliest") as scan:
            for partition, end in self._ends(partitions, committed=True).items():
                for messages, _ in scan.messages(partition, 0, end):
                    self._found(audit.offer(partition, messages))
        audit.begin()
        self._snapshots = audit

    def _limits_of(self, partitions: Iterable[Partition]) -> dict[Partition, _Limits]:
        """Where partitions begin and end; what is decided first, so that its parts are proposed."""
        parts = list(partitions)
        decided = self._ends(parts, committed=True)
        ends = self._ends(parts, committed=False)
        earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        asked = self._cluster.admin.list_offsets(
            {TopicPartition(*it): earliest for it in parts}, request_timeout=self._timeout
        )
        starts = {
            (place.topic, place.partition): answer.result(self._timeout).offset
            for place, answer in asked.items()
        }
        return {it: _Limits(starts[it], decided[it], ends[it]) for it in parts}

    def _partition(self, scan: Scan, partition: Partition, home: Home) -> None:
        start, decided, end = self._limits[partition]
        if start > 0:
            problem = f"its first {start:,} offsets are gone; the rest cannot be judged"
            self._listener.found(Finding(Kind.LOST, problem, _GONE, Position(*partition, 0)))
        else:
            compared = None
            if self._index is not None:
                ahead = self._index.ahead(partition, end)
                self._found([ahead] if ahead else [])
                compared = self._index.of(partition)
            with closing(PartitionAudit(scan, partition, home)) as audit:
                self._take(partition, audit.read(0, decided), compared)
                if audit.open_before(decided) and self._is_decided([partition]):
                    self._take(partition, audit.read(decided, end), compared)
                    self._found(audit.open_before(decided))
        self._behind += decided - start
        self._moved(0)

    def _take(
        self, partition: Partition, read: Iterable[Audited], compared: PartitionIndex | None
    ) -> None:
        check, codec = self._bodies.check, self._bodies.codec
        for accepted, findings, parts, progress in read:
            self._found(findings)
            for it in accepted:
                place = Position(*partition, it.offset)
                wrong = check(it.type, it.data, place, it.aggregate_id)
                if wrong is not None:
                    self._listener.found(wrong)
            if compared is not None:
                self._found(compared.compare(accepted, progress.resume))
            if self._snapshots is not None:
                self._found(self._snapshots.add(partition, accepted, codec))
            self._wholes.add(parts)
            self._ids.add(partition, accepted)
            self._events += len(accepted)
            self._moved(progress.decided)

    def _find_torn(self, scan: Scan) -> None:
        """Tell of each `append_all` of which a part is missing."""
        if next(self._wholes.torn(), None) is None:
            return
        if any(it.start > 0 for it in self._limits.values()):
            self._listener.remark("appends over several aggregates were not checked")
            return
        # The markers of a transaction come partition by partition: what is missing may lie just
        # behind what was decided when we began.
        if not self._is_decided(self._limits):
            return
        for partition, (_, decided, end) in self._limits.items():
            for messages, _ in scan.messages(partition, decided, end):
                self._wholes.add([it for it in map(part_of_message, messages) if it is not None])
        for parts in self._wholes.torn():
            first = parts[0]
            if all(it.offset >= self._limits[it.topic, it.partition].decided for it in parts):
                continue
            missing = sorted({*range(first.of)} - {it.number for it in parts})
            problem = (
                f"append_all {first.all_id.decode(errors='replace')} of {first.writer} took effect "
                f"for {', '.join(it.aggregate_id for it in parts)}, and without part "
                f"{', '.join(map(str, missing))} of {first.of}"
            )
            place = Position(first.topic, first.partition, first.offset)
            finding = Finding(Kind.TORN, problem, _MISSING, place, first.aggregate_id)
            self._listener.found(finding)

    def _is_decided(self, partitions: Iterable[Partition]) -> bool:
        """Whether all that was proposed when we began is decided, in a while."""
        left = {it: self._limits[it].end for it in partitions}
        deadline = monotonic() + _DECIDED
        while left:
            decided = self._ends(left, committed=True)
            left = {it: end for it, end in left.items() if decided[it] < end}
            if left and monotonic() > deadline:
                names = ", ".join(f"{topic}/{part}" for topic, part in left)
                self._listener.remark(
                    f"a transaction in {names} stays open, so not all can be told; see eventkit "
                    "doctor"
                )
                return False
            if left:
                sleep(_LOOK)
            self._moved(0)
        return True

    def _whole_homes(self, layout: LogLayout) -> dict[Partition, Home]:
        return {it: home for it, home in layout.homes.items() if self._limits[it].start == 0}

    def _found(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._listener.found(finding)

    def _moved(self, read_to: int) -> None:
        """Tell how far it is; `read_to` in the partition at work."""
        self._done = max(self._done, min(self._behind + read_to, self._total))
        self._listener.read(Reading(self._done, self._total, self._events))

    @contextmanager
    def _scan(self, reset: str) -> Iterator[Scan]:
        settings = self._settings.consumer("read_committed")
        settings |= {"fetch.wait.max.ms": 5, "auto.offset.reset": reset}
        with closing(Consumers(self._settings, settings)) as consumers:
            yield Scan(consumers, lambda: self._moved(0), timeout=self._timeout)
