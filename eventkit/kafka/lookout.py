"""Clients that have lost all brokers for good, and are replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, TypeVar

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


class _Client(Protocol):
    def list_topics(self, topic: str, timeout: float) -> Any:
        """What the brokers are, as one of them says."""

    def close(self) -> Any:
        """Let go of the brokers."""


_C = TypeVar("_C", bound=_Client)


class Lookout:
    """Looks now and then whether a consumer still knows a broker.

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

    def replacement(self, client: _C, make: Callable[[], _C]) -> _C | None:
        """A new client, if it is time to look, the old one knows no broker, and the new one does.

        It takes a second and a half at most. The caller closes the client it does not go on with.
        """
        now = monotonic()
        if now < self._next:
            return None
        if self._knows_brokers(client):
            self._next, self._since = now + _EVERY, None
            return None
        self._next = now + _AGAIN
        self._since = now if self._since is None else self._since
        if now < self._since + _PATIENCE:
            return None
        self._since = None
        return self._tried(client, make)

    def _tried(self, client: _C, make: Callable[[], _C]) -> _C | None:
        try:
            fresh = make()
        except (KafkaException, EventkitError):  # no more threads or files can be had
            return None
        if not self._knows_brokers(fresh) or self._knows_brokers(client):  # Kafka is just back
            fresh.close()
            return None
        log.warning("%s: the client has lost all brokers, and is replaced", self._name)
        return fresh

    def _knows_brokers(self, client: _C) -> bool:
        try:
            client.list_topics(self._topic, timeout=_ANSWER)
        except KafkaException:
            return False
        return True
