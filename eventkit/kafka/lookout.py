"""Clients that have lost all brokers for good, and are replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from confluent_kafka import KafkaException

from eventkit.errors import EventkitError

log = logging.getLogger("eventkit.kafka")

_EVERY = 5.0
"""Seconds between two looks at a client that is well."""
_AGAIN = 1.0
"""Seconds between two looks at one that is not."""
_PATIENCE = 5.0
"""Seconds without a broker after which a new client is tried; most come back by themselves."""
_ANSWER = 0.5
"""Seconds that a broker may take: a thread that looks has other things to do."""
_FIRST_ANSWER = 5.0
"""Seconds that a broker may take for a new client, which has to log in before."""


class _Client(Protocol):
    def list_topics(self, topic: str, timeout: float) -> Any:
        """What the brokers are, as one of them says."""

    def close(self) -> Any:
        """Let go of the brokers."""


_C = TypeVar("_C", bound=_Client)


class Lookout(Generic[_C]):
    """Looks now and then whether a client still knows a broker.

    Since 2.10 librdkafka forgets brokers that are not in the answer to a metadata request. Where
    all are fenced, because the machine slept or the controllers were away for longer than
    `broker.session.timeout.ms`, the order of events can be:

    1. a broker that is awake again answers with topics and no brokers; it was the last one known,
       and its connection is closed;
    2. the thread of that connection finds all brokers down, and has `bootstrap.servers` asked again
       soon;
    3. the thread that reads the answer takes it for a success, and calls that off.

    From then on nobody is asked, ever: it counts as being under way
    (https://github.com/confluentinc/librdkafka/issues/5301). Of 60 clients that asked all the time
    while the only broker was frozen for 14 s, two did not come back. There is no error: whoever
    reads with such a client waits for events that never come.

    From the outside this looks like Kafka being away, but for a new client, which finds it.

    Parameters:
        topic: that brokers are asked for; any one.
        name: of whose client it is.
    """

    def __init__(self, topic: str, name: str) -> None:
        self._topic = topic
        self._name = name
        self._next = monotonic() + _EVERY
        self._since: float | None = None
        self._trial: _Trial[_C] | None = None

    def replacement(self, client: _C, make: Callable[[], _C]) -> _C | None:
        """A new client, if it is time to look, the old one knows no broker, and the new one does.

        It takes half a second at most, for the new one is tried in a thread of its own. The caller
        closes the client it does not go on with.
        """
        now = monotonic()
        if self._trial is not None and self._trial.is_over:
            trial, self._trial = self._trial, None
            return self._accepted(trial, client)
        if now < self._next or self._trial is not None:
            return None
        if _knows_brokers(client, self._topic, _ANSWER):
            self._next, self._since = now + _EVERY, None
            return None
        self._next = now + _AGAIN
        self._since = now if self._since is None else self._since
        if now >= self._since + _PATIENCE:
            with suppress(RuntimeError):  # no more threads can be had
                self._trial = _Trial(make, self._topic)
        return None

    def close(self) -> None:
        """Have a client that is being tried closed."""
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.give_up()

    def _accepted(self, trial: _Trial[_C], client: _C) -> _C | None:
        if _knows_brokers(client, self._topic, _ANSWER):  # Kafka is just back
            self._since = None
            trial.give_up()
            return None
        fresh = trial.taken()
        if fresh is not None:
            self._since = None
            log.warning("%s: the client has lost all brokers, and is replaced", self._name)
        return fresh


class _Trial(Generic[_C]):
    """Makes a client and has it find a broker, in a thread: with OAuth, it waits for a token first.

    Whoever takes the client owns it; if that is nobody, the thread closes it when it is done.
    """

    def __init__(self, make: Callable[[], _C], topic: str) -> None:
        self.is_over = False
        self._make = make
        self._topic = topic
        self._lock = Lock()
        self._is_wanted = True
        self._found: _C | None = None
        Thread(target=self._run, name="eventkit new client", daemon=True).start()

    def taken(self) -> _C | None:
        """The client, if it found a broker."""
        with self._lock:
            fresh, self._found, self._is_wanted = self._found, None, False
            return fresh

    def give_up(self) -> None:
        """Let go of the client."""
        fresh = self.taken()
        if fresh is not None:
            _close(fresh)

    def _run(self) -> None:
        fresh: _C | None = None
        finds = False
        try:
            fresh = self._make()
            finds = _knows_brokers(fresh, self._topic, _FIRST_ANSWER)
        except Exception as error:  # noqa: BLE001 - no more files can be had, or no token
            log.debug("no new client could be tried: %s", error)
        with self._lock:
            if finds and self._is_wanted:
                self._found, fresh = fresh, None
        if fresh is not None:
            _close(fresh)
        self.is_over = True


def _knows_brokers(client: _Client, topic: str, timeout: float) -> bool:
    try:
        client.list_topics(topic, timeout=timeout)
    except KafkaException:
        return False
    return True


def _close(client: _Client) -> None:
    with suppress(KafkaException, EventkitError):  # the last words of one that is not used
        client.close()
