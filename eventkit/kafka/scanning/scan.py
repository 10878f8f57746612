"""A scan: reads what is decided straight from Kafka, and shows what the rule of the log accepts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from time import monotonic
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from eventkit.errors import StoreCorrupted, StoreUnavailable
from eventkit.kafka.failures import check_readable
from eventkit.kafka.index import Partition
from eventkit.kafka.reading import LogRecord, headers_of, read_message
from eventkit.kafka.rule import Home, PartitionRule, Progress
from eventkit.kafka.scanning.consumers import Consumers
from eventkit.kafka.scanning.heads import Heads

log = logging.getLogger("eventkit.kafka")

_MOST = 200
"""Records in one batch: so few that they are gone before the garbage collector looks at them,
which takes a third of the time of a batch of 1,000."""
_ROOM = 2_000_000
"""Bytes of bodies in one batch, about."""
_POLL = 0.5
"""Seconds a poll waits: how soon it is noticed that the store was closed."""


class Batch(NamedTuple):
    """Records that took effect, in the order of the log.

    Parameters:
        partition: where they stand.
        records: whole appends, their bodies not decoded.
        progress: how far the partition was read.
    """

    partition: Partition
    records: Sequence[LogRecord]
    progress: Progress


class Stretch(NamedTuple):
    """A part of a partition to read.

    Parameters:
        home: the partition.
        end: the last stable offset as of the call: all before it is decided.
        start: where to begin; what took effect before it is not shown.
        known: the versions of aggregates as of `start`.
        only: the one aggregate whose events are wanted; then `known` may hold it alone.
    """

    home: Home
    end: int
    start: Progress = Progress()
    known: Mapping[str, int] = {}
    only: str | None = None


class Scan:
    """Reads partitions, each up to a given end, one after the other.

    In each partition the order is that of the log, so that the events of an aggregate come in
    order. Between partitions there is no order at all: they are read one by one, and an event of
    the second partition may be older than all of the first.

    Memory does not grow with the log: a batch of records, the frames that are open, and the
    versions of aggregates (`Heads`) of one partition.

    Parameters:
        consumers: lends consumers that read what is committed.
        check_usable: raises where nothing must be read any more.
        timeout: seconds without a sign of the brokers.
    """

    def __init__(
        self, consumers: Consumers, check_usable: Callable[[], None], *, timeout: float = 30.0
    ) -> None:
        self._consumers = consumers
        self.check_usable = check_usable
        self._timeout = timeout
        self.rejected = 0

    def batches(self, stretches: Mapping[Partition, Stretch]) -> Iterator[Batch]:
        """What took effect in some stretches of the log.

        Raises:
            StoreUnavailable: the brokers do not answer.
            StoreCorrupted: part of the log is not there any more.
        """
        wanted = {partition: it for partition, it in stretches.items() if it.start.resume < it.end}
        if not wanted:
            return
        with self._consumers.borrow() as consumer:
            for partition, stretch in wanted.items():
                yield from self._read(consumer, partition, stretch)

    def messages(
        self, partition: Partition, start: int, end: int
    ) -> Iterator[tuple[list[Message], int]]:
        """All records of a stretch, whatever they are, and up to where each batch of them reaches.

        Raises: as `batches`.
        """
        if start < end:
            with self._consumers.borrow() as consumer:
                yield from self._messages(consumer, partition, start, end)

    def record_at(self, partition: Partition, offset: int) -> LogRecord | None:
        """The record at an offset, or None where none is committed; the rule is not asked.

        Raises: as `batches`.
        """
        for messages, _ in self.messages(partition, offset, offset + 1):
            for message in messages:
                return read_message(message)
        return None

    def _read(self, consumer: Consumer, partition: Partition, stretch: Stretch) -> Iterator[Batch]:
        with closing(Heads(stretch.known.items())) as heads:
            rule = PartitionRule(stretch.home, heads.of, stretch.start)
            only = stretch.only
            for messages, read_to in self._messages(
                consumer, partition, stretch.start.resume, stretch.end
            ):
                if only is None:
                    accepted = _judge(rule, heads, messages)
                    self._tell_rejected(partition, rule)
                else:
                    accepted = _judge_only(only, rule, messages)
                    rule.take_rejected()  # of others nothing is known
                heads.update(accepted)
                rule.heads_stored()
                yield Batch(partition, accepted, rule.progress.up_to(read_to))

    def _messages(
        self, consumer: Consumer, partition: Partition, start: int, end: int
    ) -> Iterator[tuple[list[Message], int]]:
        """The messages before the end, and up to where they reach."""
        topic, part = partition
        consumer.assign([TopicPartition(topic, part, start)])
        most, done = _MOST, False
        patience = monotonic() + self._timeout
        while not done:
            self.check_usable()
            # `consume(n, timeout)` waits for n messages or the whole timeout.
            first = consumer.poll(_POLL)
            if first is None:
                if monotonic() > patience:
                    raise StoreUnavailable(
                        f"{topic}/{part} was not read up to {end} within {self._timeout} s; "
                        "is the broker up?",
                        retryable=True,
                    )
                continue
            patience = monotonic() + self._timeout
            found = [first, *consumer.consume(most - 1, 0)]
            messages = [it for it in found if it.error() is None]
            if len(messages) < len(found):
                done = any(_is_end(it, partition, end) for it in found if it.error())
            if messages:
                last = messages[-1].offset() or 0
                if last >= end - 1:
                    done = True
                    messages = [it for it in messages if (it.offset() or 0) < end]
                size = sum(map(len, messages)) // (len(messages) or 1)
                most = max(2, min(_MOST, _ROOM // (size + 1)))
                yield messages, end if done else last + 1
        self.check_usable()

    def _tell_rejected(self, partition: Partition, rule: PartitionRule) -> None:
        for reason, records in rule.take_rejected():
            self.rejected += 1
            log.error("%s/%d/%d was skipped: %s", *partition, records[0].offset, reason)


def _judge(rule: PartitionRule, heads: Heads, messages: Sequence[Message]) -> list[LogRecord]:
    records = list(map(read_message, messages))
    heads.prepare(records)
    feed = rule.feed
    accepted: list[LogRecord] = []
    for record in records:
        accepted += feed(record)
    return accepted


def _judge_only(
    aggregate_id: str, rule: PartitionRule, messages: Sequence[Message]
) -> list[LogRecord]:
    """What took effect of one aggregate; the heads of others need not be known.

    The rule judges each aggregate by itself, but for the frames: which are open, and whether one is
    given up, depends on all records. So those of others are fed too, unless they can neither open
    a frame nor close one: an append of one record, while no frame is open.
    """
    key = aggregate_id.encode()
    accepted: list[LogRecord] = []
    resume, decided = rule.progress
    for message in messages:
        if message.key() != key and resume == decided and _is_alone(message):
            continue
        accepted += [
            it for it in rule.feed(read_message(message)) if it.aggregate_id == aggregate_id
        ]
        resume, decided = rule.progress
    return accepted


def _is_alone(message: Message) -> bool:
    headers = headers_of(message)
    if not headers:
        return False
    name, value = headers[0]
    return name == "ce_append" and value is not None and value.endswith(b".0.1")


def _is_end(message: Message, partition: Partition, end: int) -> bool:
    """Whether an event of the consumer says that it is at the end; it goes on after what passes."""
    error, (topic, part) = message.error(), partition
    assert error is not None  # noqa: S101 - that is why it is asked
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
        return (message.offset() or 0) >= end
    if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
        raise StoreCorrupted(
            f"{topic}/{part} no longer holds what is to be read ({error.str()}): part of the log "
            "is lost, or the topic was made anew. Look at its retention."
        ) from KafkaException(error)
    if not check_readable(error, topic, part):
        log.warning("%s/%d: %s", topic, part, error.str())
    return False
