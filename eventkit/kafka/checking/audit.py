"""An audit of one partition: what took effect, and what a plain consumer sees beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from confluent_kafka import Message

from eventkit.events import Position
from eventkit.health.findings import Finding, Kind
from eventkit.kafka.checking.wholes import PartOfAll, part_in
from eventkit.kafka.index import Partition
from eventkit.kafka.reading import Headers, LogRecord, headers_of, read_record
from eventkit.kafka.rule import Home, PartitionRule, Progress, Rejection
from eventkit.kafka.scanning.heads import Heads
from eventkit.kafka.scanning.scan import Scan

_SKIPPED = (
    "nothing, for eventkit: all its readers skip the record. A plain consumer has to leave it out, "
    "as eventkit/kafka/rule.py says"
)
_STRANGER = (
    "find who writes to the topic, and give Write on it to eventkit's writers alone; eventkit's "
    "readers skip the record"
)
_SWEEP = (b"-", b"-")
"""Key and `ce_append` of what a sweep leaves; see sweeping.py."""


class Audited(NamedTuple):
    """What was read of a partition.

    Parameters:
        accepted: what took effect.
        findings: what did not, and a plain consumer of `read_committed` sees all the same.
        parts: the parts of appends over several aggregates among what took effect.
        progress: how far the partition was read.
    """

    accepted: Sequence[LogRecord]
    findings: Sequence[Finding]
    parts: Sequence[PartOfAll]
    progress: Progress


class PartitionAudit:
    """Reads a partition from its beginning, in one or more stretches.

    Parameters:
        scan: reads it.
        partition: which.
        home: what the rule has to know of it.
    """

    def __init__(self, scan: Scan, partition: Partition, home: Home) -> None:
        self._scan = scan
        self._partition = partition
        self._heads = Heads()
        self._rule = PartitionRule(home, self._heads.of)
        self._wholes: dict[int, bytes] = {}

    def read(self, start: int, end: int) -> Iterator[Audited]:
        """Go on reading, from one offset up to another before which all is decided.

        Raises:
            StoreUnavailable: the brokers do not answer.
            StoreCorrupted: part of the log is not there any more.
        """
        rule, heads = self._rule, self._heads
        for messages, read_to in self._scan.messages(self._partition, start, end):
            records = list(self._records(messages))
            heads.prepare(records)
            accepted = [it for record in records for it in rule.feed(record)]
            parts = list(self._parts(accepted))
            heads.update(accepted)
            rejected = rule.take_rejected()
            rule.heads_stored()
            resume, decided = rule.progress
            whole = resume == decided
            progress = Progress(max(resume, read_to) if whole else resume, max(decided, read_to))
            findings = [it for rejection in rejected for it in self._findings(rejection)]
            yield Audited(accepted, findings, parts, progress)

    def open_before(self, offset: int) -> list[Finding]:
        """The appends that began before an offset, and are not whole."""
        return [
            finding
            for frame in self._rule.open_frames()
            if frame[0].offset < offset
            for finding in self._findings(Rejection("the append is not whole", frame))
        ]

    def close(self) -> None:
        """Delete what was kept aside."""
        self._heads.close()

    def _records(self, messages: Sequence[Message]) -> Iterator[LogRecord]:
        for message in messages:
            headers = headers_of(message)
            offset, key = message.offset() or 0, message.key()
            found = dict(headers or ())
            if (key, found.get("ce_append")) == _SWEEP:
                continue
            if "ce_all" in found:
                self._wholes[offset] = found["ce_all"] or b""
            yield read_record(offset, key, message.value(), headers)

    def _parts(self, accepted: Sequence[LogRecord]) -> Iterator[PartOfAll]:
        if not self._wholes:
            return
        for it in accepted:
            header = self._wholes.pop(it.offset, None)
            if header is not None and it.part == 0:
                with suppress(ValueError):
                    yield part_in(header, it.writer, self._partition, it.offset, it.aggregate_id)
        resume = self._rule.resume_offset
        for offset in [it for it in self._wholes if it < resume]:
            del self._wholes[offset]

    def _findings(self, rejection: Rejection) -> Iterator[Finding]:
        for it in rejection.records:
            position, id_ = Position(*self._partition, it.offset), it.aggregate_id or None
            if it.problem is not None:
                yield Finding(Kind.STRANGER, it.problem, _STRANGER, position, id_)
                continue
            kind = Kind.DOUBLE if it.version <= self._heads.of(it.aggregate_id) else Kind.GAP
            problem = f"version {it.version!s:.40} was rejected: {rejection.reason}"
            yield Finding(kind, problem, _SKIPPED, position, id_)


def part_of_message(message: Message) -> PartOfAll | None:
    """The part of an `append_all` that a message is, whatever became of it."""
    headers: Headers | None = headers_of(message)
    header = dict(headers or ()).get("ce_all")
    if not header:
        return None
    record = read_record(message.offset() or 0, message.key(), message.value(), headers)
    place = (message.topic() or "", message.partition() or 0)
    if record.problem is not None:
        return None
    try:
        return part_in(header, record.writer, place, record.offset, record.aggregate_id)
    except ValueError:
        return None
