"""The read_committed tail: judges what is decided by the rule of the log, and fills the index."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import Message, TopicPartition

from eventkit.errors import StoreCorrupted, StoreError
from eventkit.ids import MAX_AGGREGATE_ID
from eventkit.kafka.heads import KnownHeads
from eventkit.kafka.holding import Holding
from eventkit.kafka.index import Partition
from eventkit.kafka.indexfile import IndexWriter, add_row
from eventkit.kafka.inflight import InFlight
from eventkit.kafka.reading import LogRecord, read_message
from eventkit.kafka.rule import Home, PartitionRule, Progress, Rejection
from eventkit.kafka.tails import Tail

log = logging.getLogger("eventkit.kafka")

_LARGE = 1_000
"""Records in a batch that another thread writes; fewer are written sooner without it."""
_SECONDS = 10.0
"""For what is known already; nobody is asked."""
_PAUSE = 0.5
"""Seconds before the index is tried again after the disk failed."""

Accepted = Sequence[tuple[Partition, LogRecord]]
Rejected = Sequence[tuple[Partition, Rejection]]
OnApplied = Callable[[Accepted, Rejected, Mapping[Partition, int]], None]


class Listener(NamedTuple):
    """Who is told what the tail does.

    Parameters:
        in_flight: whose appends they are that someone waits for.
        on_applied: told what became of those, what was rejected, and how far the index has come.
        beat: called all the time, whether something comes or not.
    """

    in_flight: InFlight
    on_applied: OnApplied
    beat: Callable[[], None]


class _Batch:
    """What a stretch of the log comes to.

    Messages are let go of one by one, and records become rows at once: what lives for the length of
    a batch of thousands keeps Python's garbage collector busy, for half of the time.
    """

    __slots__ = ("accepted", "messages", "progress", "rejected", "rows")

    def __init__(self) -> None:
        self.messages = 0
        self.rows: list[object] = []
        self.accepted: list[tuple[Partition, LogRecord]] = []
        self.rejected: list[tuple[Partition, Rejection]] = []
        self.progress: dict[Partition, Progress] = {}


class CommittedTail(Tail):
    """Reads what is decided, and puts into the index what the rule accepts.

    While it catches up, one batch is judged as another thread writes the one before.

    Parameters: as `Tail`, and
        homes: the partitions to read.
        index: where events go; it also knows where to begin.
        known: the heads that were met; of this tail as long as it runs.
        listener: who is told.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        homes: Mapping[Partition, Home],
        index: IndexWriter,
        known: KnownHeads,
        listener: Listener,
    ) -> None:
        progress = index.progress()
        super().__init__(name, settings, {part: progress[part].resume for part in homes}, _ignore)
        self._index = index
        self._in_flight, self._on_applied, self._beat = listener
        self._known = known
        known.forget()  # after the one who followed before was deposed
        self._rules = {
            part: PartitionRule(home, known.versions.__getitem__, progress[part])
            for part, home in homes.items()
        }
        self._holding = {
            part: Holding(progress[part].decided, index.base(part), partial(self._end_of, part))
            for part in homes
        }
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"{name} writes")
        self._written: Future[None] | None = None
        self.rejected = 0

    def close(self) -> None:
        """End the thread, leave the brokers, and finish writing what was judged."""
        super().close()
        self._pool.shutdown()

    def _idle(self) -> None:
        self._wait_until_written()
        self._index.check_follower()
        self._beat()

    def _read(
        self, messages: Mapping[Partition, list[Message]], ends: Mapping[Partition, int]
    ) -> None:
        batch = _Batch()
        if messages:
            self._load_heads(messages.values())
        for partition in {**messages, **ends}:
            self._judge_all(partition, messages.get(partition, []), ends.get(partition, 0), batch)
        self._wait_until_written()
        if batch.messages >= _LARGE:
            self._written = self._pool.submit(self._write, batch)
        else:
            self._write(batch)

    def _judge_all(
        self, partition: Partition, some: list[Message], end: int, batch: _Batch
    ) -> None:
        """Apply the rule; records of our own are kept where somebody waits for them.

        An append is in flight before it is committed, so that its records are not met before.
        """
        rule, holding = self._rules[partition], self._holding[partition]
        versions, base = self._known.versions, self._index.base(partition)
        rows: list[object] = []
        accepted: list[LogRecord] = []
        feed, ours = rule.feed, self._in_flight.writer_id
        awaited = bool(self._in_flight)
        batch.messages += len(some)
        some.reverse()
        while some:
            append = feed(read_message(some.pop()))
            for record in append:
                add_row(rows, base, record)
                versions[record.aggregate_id] = record.version
                if awaited and record.writer == ours:
                    accepted.append(record)
            if len(append) > 1:
                holding.note(append)
        rule.heads_stored()
        rejected = rule.take_rejected()
        progress = rule.progress.up_to(end)
        begun = [frame[0].offset for frame in rule.open_frames()]
        held = holding.sort(begun, progress.decided, rows, accepted, rejected)
        batch.rows += rows
        batch.accepted += [(partition, it) for it in accepted]
        batch.rejected += [(partition, it) for it in rejected]
        batch.progress[partition] = (
            progress if held is None else Progress(min(progress.resume, held), held)
        )

    def _load_heads(self, messages: Iterable[Sequence[Message]]) -> None:
        """Know the heads of all aggregates of a batch by one query; keep those that were known.

        What is kept includes batches that are not written yet, so it is only forgotten when all
        are. A key that is no text, or too long for an id, belongs to no event of ours.
        """
        known = self._known
        if known.is_full:
            self._wait_until_written()
            known.forget()
            for holding in self._holding.values():
                known.versions.update(holding.heads())
        keys = {it.key() or b"" for some in messages for it in some}
        unknown = known.unknown(
            [it.decode(errors="replace") for it in keys if len(it) <= MAX_AGGREGATE_ID]
        )
        if unknown:
            known.versions.update(self._index.heads(unknown))

    def _end_of(self, partition: Partition) -> int:
        """The end of the log, as it was when what was read last was fetched, or later."""
        place = TopicPartition(*partition)
        _, end = self._consumer.get_watermark_offsets(place, timeout=_SECONDS, cached=True)
        return int(end)

    def _wait_until_written(self) -> None:
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def _write(self, batch: _Batch) -> None:
        """Write to the index, as often as it takes: a full disk may be made room on."""
        while True:
            try:
                self._index.apply(batch.rows, batch.progress)
            except StoreCorrupted:
                raise
            except StoreError as error:
                log.warning("the index cannot be written, trying again: %s", error)
                if self._stop.wait(_PAUSE):
                    raise
            else:
                break
        self._beat()  # before anybody is told: it also looks whether the file is still there
        for (topic, part), (reason, records) in batch.rejected:
            self.rejected += 1
            log.error("%s/%d/%d was skipped: %s", topic, part, records[0].offset, reason)
        decided = {partition: it.decided for partition, it in batch.progress.items()}
        self._on_applied(batch.accepted, batch.rejected, decided)


def _ignore(_: BaseException) -> None:
    """`run` raises."""
