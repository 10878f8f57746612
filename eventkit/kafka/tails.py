"""A tail: a thread that reads partitions as they grow."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from eventkit.errors import StoreCorrupted
from eventkit.kafka.failures import check_readable
from eventkit.kafka.index import Partition
from eventkit.kafka.lookout import Lookout
from eventkit.kafka.offmain import off_main

log = logging.getLogger("eventkit.kafka")

_POLL = 0.02
"""Seconds a poll waits for a first record: how soon a tail notices that it is to stop."""
_MOST = 20_000
"""Records in one batch."""


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
        self._settings = settings
        self._read_to = dict(offsets)
        """Of the partitions that are read."""
        self._lookout = Lookout[Consumer](next(iter(offsets), ("", 0))[0], name)
        self._consumer = off_main(self._made)
        self._assign(self._consumer)
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
        self._lookout.close()
        self._consumer.close()

    def run(self) -> None:
        """Read until `stop`.

        Raises:
            StoreError: the log cannot be read any further.
        """
        while not self._stop.is_set():
            # `consume(n, timeout)` waits for n messages or the whole timeout: the first one is
            # awaited alone, the others are taken if they are there.
            first = self._consumer.poll(_POLL)
            if first is None:
                self._idle()
                self._see_brokers()
            else:
                self._take([first, *self._consumer.consume(_MOST, 0)])

    def _made(self) -> Consumer:
        return Consumer(dict(self._settings))

    def _assign(self, consumer: Consumer) -> None:
        """Have a consumer begin where this tail is."""
        consumer.assign([TopicPartition(*it, offset) for it, offset in self._read_to.items()])

    def _see_brokers(self) -> None:
        """Go on with a new consumer where this one will never read anything again."""
        fresh = self._lookout.replacement(self._consumer, self._made)
        if fresh is not None:
            self._assign(fresh)
            lost, self._consumer = self._consumer, fresh
            lost.close()

    def _work(self) -> None:
        try:
            self.run()
        except BaseException as error:  # noqa: BLE001 - told to all who wait
            log.error("%s ended: %s", self._thread.name, error)  # noqa: TRY400 - it is told
            self._on_failure(error)

    def _take(self, messages: list[Message]) -> None:
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
        messages.clear()  # who reads a message can let go of it
        for partition, some in found.items():
            self._read_to[partition] = (some[-1].offset() or 0) + 1
        self._read(found, ends)

    def _idle(self) -> None:  # noqa: B027 - most tails have nothing to do then
        """Called now and then while nothing comes."""

    @abstractmethod
    def _read(
        self, messages: Mapping[Partition, list[Message]], ends: Mapping[Partition, int]
    ) -> None:
        """Take what was read, and keep it or let it go.

        Parameters:
            messages: in the order of the log.
            ends: the partitions that were read to their present end, and where it is.
        """


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
