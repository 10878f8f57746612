"""A new client in place of one that may have lost all brokers, tried before it is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Any, Generic, Protocol, TypeVar

from confluent_kafka import KafkaException

from eventkit.errors import EventkitError

log = logging.getLogger("eventkit.kafka")

ANSWER = 0.5
"""Seconds that a broker may take: a thread that looks has other things to do."""
_FIRST_ANSWER = 5.0
"""Seconds that a broker may take for a new client, which has to log in before."""


class Client(Protocol):
    """What a client of librdkafka can do, of any kind."""

    def list_topics(self, topic: Any = None, timeout: float = -1) -> Any:
        """What the brokers are, as one of them says."""


C = TypeVar("C", bound=Client)


class Trial(Generic[C]):
    """Makes a client and has it find a broker, in a thread: with OAuth, it waits for a token first.

    Whoever takes the client owns it; if that is nobody, the thread closes it when it is done.

    Parameters:
        make: makes the client.
        close: lets go of one that is not taken.
        topic: that brokers are asked for; None for all.

    Raises:
        RuntimeError: no more threads can be had.
    """

    def __init__(
        self, make: Callable[[], C], close: Callable[[C], object], topic: str | None = None
    ) -> None:
        self._make = make
        self._close = close
        self._topic = topic
        self._lock = Lock()
        self._is_wanted = True
        self._found: C | None = None
        self._over = Event()
        Thread(target=self._run, name="eventkit new client", daemon=True).start()

    def is_over(self, timeout: float = 0.0) -> bool:
        """Whether it is known by now, or within some seconds, if the client finds a broker."""
        return self._over.wait(timeout)

    def taken(self) -> C | None:
        """The client, if it found a broker."""
        with self._lock:
            fresh, self._found, self._is_wanted = self._found, None, False
            return fresh

    def give_up(self) -> None:
        """Let go of the client, now or when it was tried."""
        fresh = self.taken()
        if fresh is not None:
            self.let_go(fresh)

    def let_go(self, fresh: C) -> None:
        """Close a client that was taken, and is not used after all."""
        with suppress(KafkaException, EventkitError):  # its last words are nobody's
            self._close(fresh)

    def _run(self) -> None:
        try:
            fresh = self._tried()
            if fresh is not None:
                self.let_go(fresh)
        except Exception as error:  # noqa: BLE001 - no more files can be had, or no token
            log.debug("no new client could be tried: %s", error)
        finally:
            self._over.set()

    def _tried(self) -> C | None:
        """Try a client; returns it if nobody will take it."""
        fresh = self._make()
        # Once it is logged in, it has as much time as the one that it is compared with.
        finds = knows_brokers(fresh, self._topic, _FIRST_ANSWER) and knows_brokers(
            fresh, self._topic, ANSWER
        )
        with self._lock:
            if finds and self._is_wanted:
                self._found = fresh
                return None
        return fresh


def knows_brokers(client: Client, topic: str | None, timeout: float) -> bool:
    """Whether a broker answers a client within some seconds."""
    try:
        client.list_topics(topic, timeout=timeout)
    except KafkaException:
        return False
    return True
