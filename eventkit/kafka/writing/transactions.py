"""The producer of a store: opens transactions, learns the offsets of its records, ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import Waiting
from eventkit.kafka.records import framed

STEP = 10.0
"""Seconds that one call to the broker may take before the outcome counts as in doubt."""
LEAST_STEP = 1.0
"""The same, when an append has a deadline before that."""


class NotTaken(Exception):
    """The broker did not take records, or did not answer, in time."""


class _Reports:
    """The broker's reports on the records of one transaction in one partition, in their order."""

    __slots__ = ("errors", "offsets")

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.errors: list[KafkaError] = []

    def take(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.offsets.append(message.offset() or 0)
        else:
            self.errors.append(error)


class Transactions:
    """One producer and its transactions, one after the other.

    Parameters:
        settings: of the producer, with its `transactional.id`.
        step: seconds that a single call to the broker may take; can be changed.
    """

    def __init__(self, settings: Mapping[str, Any], step: float) -> None:
        self._settings = dict(settings)
        self._writer_id = str(settings["transactional.id"])
        self.step = step
        self._producer: Producer | None = None
        self._count = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a producer to work with."""
        return self._producer is not None

    def open(self, timeout: float) -> None:
        """Make a producer, if there is none; what its predecessor left open is ended by that.

        Raises:
            KafkaException: it cannot be done now, or at all.
        """
        if self._producer is None:
            producer = Producer(self._settings)
            producer.list_topics(timeout=timeout)  # without a connection, what follows takes 500 ms
            producer.init_transactions(timeout)
            self._producer = producer

    def drop(self) -> None:
        """Let go of the producer, whatever it was about to do."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaException):
                producer.purge(blocking=False)

    def propose(self, proposals: Iterable[Waiting]) -> dict[Partition, list[int]]:
        """Write appends in a new transaction; returns the offsets of their records.

        Raises:
            KafkaException, NotTaken: it is not known what was written.
        """
        proposals = list(proposals)
        for waiting in proposals:  # before anything can fail: in doubt, these ids tell them apart
            self._count += 1
            waiting.append_id, waiting.last_offset = f"{self._count:x}", -1
        producer = self._open_producer()
        producer.begin_transaction()
        reports: dict[Partition, _Reports] = {}
        ends: list[tuple[Waiting, _Reports, int]] = []
        counts: dict[Partition, int] = {}
        for waiting in proposals:
            partition = waiting.partition
            report = reports.get(partition)
            if report is None:
                report, counts[partition] = reports.setdefault(partition, _Reports()), 0
            self._produce(producer, waiting, report.take)
            counts[partition] += len(waiting.records)
            ends.append((waiting, report, counts[partition] - 1))
        self._flush(producer, reports, counts)
        for waiting, report, last in ends:
            waiting.last_offset = report.offsets[last]
        return {partition: report.offsets for partition, report in reports.items()}

    def commit(self) -> None:
        """Commit what was proposed.

        Raises:
            KafkaException: it is not known whether it is committed.
        """
        self._open_producer().commit_transaction(self.step)

    def abort(self) -> None:
        """Take back what was proposed.

        Raises:
            KafkaException: it is not known whether it is taken back.
        """
        self._open_producer().abort_transaction(self.step)

    def sweep(self, partitions: Iterable[Partition], *, commit: bool = False) -> None:
        """Release partitions whose readers wait for a transaction that has ended.

        A broker that is killed between the end of a transaction and its markers may never write
        them. The records stay undecided until a later transaction of the same producer ends in
        that partition; this one is aborted, and takes them along, or is committed for those who
        know that they were.

        Raises:
            KafkaException, NotTaken: it could not be done.
        """
        producer = self._open_producer()
        producer.begin_transaction()
        headers: Any = [
            ("ce_append", b"-"), ("ce_aggregateversion", b"-"), ("ce_writer", self._writer_id),
        ]  # fmt: skip
        for topic, number in partitions:
            producer.produce(topic, b"", b"-", number, headers=headers)
        if producer.flush(self.step):
            raise NotTaken(f"the broker did not take the records within {self.step:g} s")
        (producer.commit_transaction if commit else producer.abort_transaction)(self.step)

    def _produce(self, producer: Producer, waiting: Waiting, report: Callable[..., None]) -> None:
        topic, number = waiting.partition
        produce, records = producer.produce, waiting.records
        headers: Any = framed(records, waiting.append_id, waiting.first_version, self._writer_id)
        for record, fields in zip(records, headers, strict=True):
            try:
                produce(topic, record.value, record.key, number, report, headers=fields)
            except BufferError:
                self._make_room(producer)
                produce(topic, record.value, record.key, number, report, headers=fields)

    def _make_room(self, producer: Producer) -> None:
        """Wait until the producer has sent what fills its queue."""
        deadline, before = monotonic() + self.step, len(producer)
        while len(producer) > before // 2:
            if monotonic() > deadline:
                raise NotTaken("the broker does not take records")
            producer.poll(0.05)

    def _flush(
        self,
        producer: Producer,
        reports: Mapping[Partition, _Reports],
        counts: Mapping[Partition, int],
    ) -> None:
        if producer.flush(self.step):
            raise NotTaken(f"the broker did not take the records within {self.step:g} s")
        for partition, report in reports.items():
            if report.errors:
                raise _cause(producer, report.errors[0])
            if len(report.offsets) != counts[partition]:
                raise NotTaken("the broker did not report on all records")

    def _open_producer(self) -> Producer:
        if self._producer is None:
            raise NotTaken("there is no producer")
        return self._producer


def _cause(producer: Producer, error: KafkaError) -> KafkaException:
    """Why a record was not taken; one that was purged was so because the transaction had failed.

    A transaction that has failed says why whatever it is asked, so it is asked to begin.
    """
    if error.code() == KafkaError._PURGE_QUEUE:  # noqa: SLF001 - its public name
        try:
            producer.begin_transaction()
        except KafkaException as failed:
            return failed
    return KafkaException(error)
