"""Sweeping: what a killed broker left undecided of an append over several aggregates.

A lone broker that is killed between the end of a transaction and its markers may never write those
of some partitions (KAFKA-20734). Records there stay undecided for ever, even after
`init_transactions`; they are decided by the end of another transaction of the same producer in
that partition. Of a transaction that concerns one append it does not matter which way. Of an
`append_all` it does: where one part is committed, the others have to follow.

Its records name it (`ce_all`), and no other transaction has their epoch. So whoever meets them
undecided, after `init_transactions` has ended what was open, looks all parts up in the log:

- one of them is committed: the transaction was, so the undecided ones are **committed**;
- one of them is aborted, or missing: the undecided ones are aborted;
- all of them are undecided: they are aborted in one transaction. Nobody was told of them.
- One lies behind the open transaction of another writer, and cannot be told yet: wait for that one
  to be ended, as long as `_PATIENCE`.

What cannot be finished, all of it only after a broker was killed between two markers:

- Who commits the undecided parts is itself killed, or fenced by another helper, between its record
  and its commit, some milliseconds: that aborts them, and the committed ones stay.
- The broker is killed again at that very moment, and its marker is lost.
- Two such appends were cut off by the same kill and lie behind each other in two partitions: after
  `_PATIENCE` the first is aborted where it is undecided.

Then one part has taken effect without another. `verify` tells it by `ce_all`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from time import monotonic
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from eventkit.kafka.index import Partition
from eventkit.kafka.reading import headers_of, proposal_of
from eventkit.kafka.writing.transactions import NotTaken, Transactions

log = logging.getLogger("eventkit.kafka")

_PATIENCE = 20.0
"""Seconds to wait for the transactions of others, before parts behind them count as undecided."""
_SPREAD = 15_000
"""Milliseconds between the first and the last record of an append, at most; see `STEP`."""
_SECONDS = 10.0
_OFFSET_END = -1


class Frame(NamedTuple):
    """An append over several aggregates, as its records name it.

    Parameters:
        writer: its `transactional.id`.
        all_id: its id; the writer has no other of that id.
        timestamp: when one of its records was produced, in milliseconds since 1970.
    """

    writer: str
    all_id: bytes
    timestamp: int


def frame_of(message: Message) -> Frame | None:
    """The append over several aggregates that a record is part of; None if of none."""
    part = _part_of(message)
    if part is None:
        return None
    writer, all_id, _, _ = part
    return Frame(writer, all_id, message.timestamp()[1])


class _Parts:
    """What the log holds of a frame."""

    def __init__(self) -> None:
        self.last: dict[tuple[Partition, int], int] = {}
        self.count = 0
        self.committed: set[int] = set()
        self.by_writer: dict[Partition, set[int]] = defaultdict(set)

    @property
    def partitions(self) -> set[Partition]:
        return {partition for partition, _ in self.last}


class Sweeper:
    """Releases the undecided parts of appends over several aggregates.

    Parameters:
        settings: of a client of the brokers.
        partitions: all there are.
    """

    def __init__(self, settings: Mapping[str, Any], partitions: Iterable[Partition]) -> None:
        self._settings = {
            **settings, "group.id": "eventkit", "enable.auto.commit": False,
            "enable.partition.eof": True, "auto.offset.reset": "error",
        }  # fmt: skip
        self._settings.pop("transactional.id", None)
        self._all = list(partitions)
        self._waits: dict[Frame, float] = {}

    def release(
        self, transactions: Transactions, frame: Frame, partitions: Iterable[Partition]
    ) -> None:
        """End what is undecided of a frame as its other parts were ended.

        Parameters:
            transactions: those of its writer, just opened: nothing of it can be decided otherwise.
            frame: which.
            partitions: those that are known to be undecided.

        Raises:
            KafkaException, NotTaken: it could not be done, or cannot be told yet.
        """
        parts = self._read(frame)
        ends = self._read_committed(frame, parts)
        undecided = {it for it in parts.partitions if ends[it] in parts.by_writer[it]}
        if parts.committed:
            log.warning("committing the rest of append_all %s of %s", frame.all_id, frame.writer)
        elif len({part for _, part in parts.last}) == parts.count:
            self._check_decided(frame, parts, ends)
        stuck = undecided | set(partitions) if not parts.committed else undecided
        transactions.sweep(stuck, commit=bool(parts.committed))
        self._waits.pop(frame, None)

    def _check_decided(self, frame: Frame, parts: _Parts, ends: Mapping[Partition, int]) -> None:
        """All parts are aborted or undecided, none is behind the transaction of another writer."""
        behind = [
            partition
            for (partition, _), offset in parts.last.items()
            if ends[partition] <= offset and ends[partition] not in parts.by_writer[partition]
        ]
        since = self._waits.setdefault(frame, monotonic())
        if behind and monotonic() < since + _PATIENCE:
            raise NotTaken(f"others have open transactions before parts of it in {behind}")

    def _read(self, frame: Frame) -> _Parts:
        """Find all parts, decided or not."""
        parts = _Parts()
        with closing(self._consumer("read_uncommitted")) as consumer:
            since = frame.timestamp - _SPREAD
            starts = consumer.offsets_for_times(
                [TopicPartition(topic, number, since) for topic, number in self._all], _SECONDS
            )
            for partition, message in _records(
                consumer, [it for it in starts if it.offset != _OFFSET_END]
            ):
                offset = message.offset() or 0
                found = proposal_of(headers_of(message))
                if found is None or found[0] != frame.writer:
                    continue
                parts.by_writer[partition].add(offset)
                part = _part_of(message)
                if part is not None and part[1] == frame.all_id:
                    parts.last[partition, part[2]] = offset
                    parts.count = part[3]
        return parts

    def _read_committed(self, frame: Frame, parts: _Parts) -> dict[Partition, int]:
        """Find which parts are committed; returns the offsets before which all is decided."""
        ends: dict[Partition, int] = {}
        with closing(self._consumer("read_committed")) as consumer:
            for topic, number in parts.partitions:
                place = TopicPartition(topic, number)
                _, ends[topic, number] = consumer.get_watermark_offsets(place, _SECONDS)
            starts = [
                TopicPartition(*partition, min(parts.by_writer[partition]))
                for partition, end in ends.items()
                if min(parts.by_writer[partition]) < end
            ]
            for _, message in _records(consumer, starts):
                part = _part_of(message)
                if part is not None and part[:2] == (frame.writer, frame.all_id):
                    parts.committed.add(part[2])
        return ends

    def _consumer(self, isolation: str) -> Consumer:
        return Consumer({**self._settings, "isolation.level": isolation})


def _records(
    consumer: Consumer, starts: list[TopicPartition]
) -> Iterator[tuple[Partition, Message]]:
    """All records from some offsets on, to the ends as of now."""
    left: set[Any] = {(it.topic, it.partition) for it in starts}
    if left:
        consumer.assign(starts)
    deadline = monotonic() + _SECONDS
    while left:
        message = consumer.poll(max(0.0, deadline - monotonic()))
        if message is None:
            raise NotTaken("the log could not be read in time")
        partition: Any = (message.topic(), message.partition())
        error = message.error()
        if error is None:
            yield partition, message
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            left.discard(partition)
        else:
            raise KafkaException(error)


def _part_of(message: Message) -> tuple[str, bytes, int, int] | None:
    """Writer, id, number and count, of a record that is part of an append over several."""
    try:
        found: dict[str, Any] = dict(headers_of(message) or ())
        all_id, number, count = found["ce_all"].rsplit(b".", 2)
        return found["ce_writer"].decode(), all_id, int(number), int(count)
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
