"""Tails: threads that read the log as it grows; the one here reads what is decided."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from eventkit.errors import StoreCorrupted, StoreError
from eventkit.kafka.failures import check_readable
from eventkit.kafka.index import Partition
from eventkit.kafka.indexfile import IndexWriter
from eventkit.kafka.reading import LogRecord, read_message
from eventkit.kafka.rule import Home, PartitionRule, Progress, Rejection

log = logging.getLogger("eventkit.kafka")

_POLL = 0.02
"""Seconds a poll waits for a first record: how soon a tail notices that it is to stop."""
_MOST = 5_000
"""Records in one batch."""
_LARGE = 1_000
"""Records in a batch that another thread writes; fewer are written sooner without it."""
_MOST_HEADS = 100_000
"""Aggregates whose versions are kept in memory."""
_PAUSE = 0.5
"""Seconds before the index is tried again after the disk failed."""

Accepted = Mapping[Partition, Sequence[LogRecord]]
Rejected = Sequence[tuple[Partition, Rejection]]
OnApplied = Callable[[Accepted, Rejected, Mapping[Partition, int]], None]


class Tail(ABC):
    """Reads partitions from given offsets on, until it is closed; in a thread of its own, or `run`.

    Parameters:
        name: of the thread.
        settings: of the consumer; they choose the isolation level.
        offsets: where to begin.
        on_failure: told why the thread ended by itself.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        offsets: Mapping[Partition, int],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._on_failure = on_failure
        self._consumer = Consumer(dict(settings))
        self._consumer.assign(
            [TopicPartition(topic, part, offset) for (topic, part), offset in offsets.items()]
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the tail to end; `close` waits for it."""
        self._stop.set()

    def close(self) -> None:
        """End the thread and leave the brokers."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._consumer.close()

    def run(self) -> None:
        """Read until `stop`.

        Raises:
            StoreError: the log cannot be read any further.
        """
        poll, consume = self._consumer.poll, self._consumer.consume
        while not self._stop.is_set():
            # `consume(n, timeout)` waits for n messages or the whole timeout: the first one is
            # awaited alone, the others are taken if they are there.
            first = poll(_POLL)
            if first is None:
                self._idle()
            else:
                self._take([first, *consume(_MOST, 0)])

    def _work(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - told to all who wait
            log.error("%s ended: %s", self._thread.name, error)  # noqa: TRY400 - it is told
            self._on_failure(error)

    def _take(self, messages: Sequence[Message]) -> None:
        found: dict[Partition, list[Message]] = {}
        ends: dict[Partition, int] = {}
        for message in messages:
            error = message.error()
            partition: Any = (message.topic(), message.partition())
            if error is None:
                if partition in found:
                    found[partition].append(message)
                else:
                    found[partition] = [message]
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                ends[partition] = message.offset() or 0
            else:
                _judge(error, partition)
        self._read(found, ends)

    def _idle(self) -> None:  # noqa: B027 - most tails have nothing to do then
        """Called now and then while nothing comes."""

    @abstractmethod
    def _read(
        self, messages: Mapping[Partition, Sequence[Message]], ends: Mapping[Partition, int]
    ) -> None:
        """Take what was read; `ends` are partitions read to their present end, and where it is."""


class _Batch(NamedTuple):
    """What a stretch of the log comes to."""

    accepted: Accepted
    rejected: Rejected
    progress: Mapping[Partition, Progress]


class CommittedTail(Tail):
    """Reads what is decided, and puts into the index what the rule accepts.

    While it catches up, one batch is judged as another thread writes the one before.

    Parameters: as `Tail`, and
        homes: the partitions to read.
        index: where events go; it also knows where to begin.
        on_applied: told what was accepted and rejected, and how far the index has come.
        beat: called all the time, whether something comes or not.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        homes: Mapping[Partition, Home],
        index: IndexWriter,
        on_applied: OnApplied,
        beat: Callable[[], None],
    ) -> None:
        progress = index.progress()
        super().__init__(name, settings, {part: progress[part].resume for part in homes}, _ignore)
        self._index = index
        self._on_applied = on_applied
        self._beat = beat
        self._heads: dict[str, int] = {}
        self._rules = {
            part: PartitionRule(home, self._heads.__getitem__, progress[part])
            for part, home in homes.items()
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
        self, messages: Mapping[Partition, Sequence[Message]], ends: Mapping[Partition, int]
    ) -> None:
        read = {partition: list(map(read_message, some)) for partition, some in messages.items()}
        if read:
            self._load_heads(read.values())
        accepted: dict[Partition, list[LogRecord]] = {}
        rejected: list[tuple[Partition, Rejection]] = []
        for partition, records in read.items():
            rule = self._rules[partition]
            feed, taken = rule.feed, accepted.setdefault(partition, [])
            for record in records:
                taken += feed(record)
            self._heads.update([(it.aggregate_id, it.version) for it in taken])
            rule.heads_stored()
            rejected += [(partition, it) for it in rule.take_rejected()]
        progress = {part: self._progress(part, ends.get(part, 0)) for part in {*read, *ends}}
        batch = _Batch(accepted, rejected, progress)
        self._wait_until_written()
        if sum(map(len, read.values())) >= _LARGE:
            self._written = self._pool.submit(self._write, batch)
        else:
            self._write(batch)

    def _load_heads(self, read: Iterable[Sequence[LogRecord]]) -> None:
        """Know the heads of all aggregates of a batch by one query; keep those that were known.

        What is kept includes batches that are not written yet, so it is only forgotten when all
        are.
        """
        heads = self._heads
        if len(heads) > _MOST_HEADS:
            self._wait_until_written()
            heads.clear()
        unknown = {
            it.aggregate_id for records in read for it in records if it.aggregate_id not in heads
        }
        if unknown:
            heads.update(self._index.heads(unknown))

    def _progress(self, partition: Partition, end: int) -> Progress:
        """How far the rule has come, and the markers after the last record with it."""
        resume, decided = self._rules[partition].progress
        return Progress(max(resume, end) if resume == decided else resume, max(decided, end))

    def _wait_until_written(self) -> None:
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def _write(self, batch: _Batch) -> None:
        """Write to the index, as often as it takes: a full disk may be made room on."""
        while True:
            try:
                self._index.apply(batch.accepted, batch.progress)
                self._beat()
            except StoreCorrupted:
                raise
            except StoreError as error:
                log.warning("the index cannot be written, trying again: %s", error)
                if self._stop.wait(_PAUSE):
                    raise
            else:
                break
        for (topic, part), (reason, records) in batch.rejected:
            self.rejected += 1
            log.error("%s/%d/%d was skipped: %s", topic, part, records[0].offset, reason)
        decided = {partition: it.decided for partition, it in batch.progress.items()}
        self._on_applied(batch.accepted, batch.rejected, decided)


def _judge(error: KafkaError, partition: Partition) -> None:
    """Go on after errors that pass; librdkafka tries again by itself."""
    topic, part = partition
    if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
        raise StoreCorrupted(
            f"{topic}/{part} no longer holds the offset to be read next ({error.str()}): part of "
            "the log is lost, or the topic was made anew. Look at its retention; if nothing is "
            "missing, delete the index, which is built again from Kafka."
        ) from KafkaException(error)
    if not check_readable(error, topic, part):
        log.warning("%s/%d: %s", topic, part, error.str())


def _ignore(_: BaseException) -> None:
    """`run` raises."""
