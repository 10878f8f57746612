"""Consumers that read a stretch of the log and are used again for the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException

from eventkit.kafka.settings import KafkaSettings, Settings

_MOST_IDLE = 4
"""Consumers kept for later: each has threads and connections, and takes 50 ms to begin."""


class Consumers:
    """Lends consumers, each to one reader at a time.

    Parameters:
        kafka: how to connect.
        settings: of the consumers.
    """

    def __init__(self, kafka: KafkaSettings, settings: Settings) -> None:
        self._kafka = kafka
        self._settings = settings
        self._idle: list[Consumer] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[Consumer]:
        """A consumer for a while; nothing is assigned to it."""
        with self._lock:
            consumer = self._idle.pop() if self._idle else None
        if consumer is None:
            consumer = self._kafka.opened(Consumer, self._settings)
        try:
            yield consumer
        except BaseException as error:
            if isinstance(error, GeneratorExit):  # the reader had enough: nothing is wrong
                self._give_back(consumer)
            else:
                consumer.close()
            raise
        self._give_back(consumer)

    def close(self) -> None:
        """Close the idle ones; those in use when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for consumer in idle:
            consumer.close()

    def _give_back(self, consumer: Consumer) -> None:
        try:
            consumer.unassign()
        except KafkaException:
            consumer.close()
            return
        with self._lock:
            if not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(consumer)
                return
        consumer.close()
