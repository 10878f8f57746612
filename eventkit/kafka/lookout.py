"""Clients that have lost all brokers for good, and are replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from eventkit.kafka.trial import ANSWER, Client, Trial, knows_brokers

log = logging.getLogger("eventkit.kafka")

_EVERY = 5.0
"""Seconds between two looks at a client that is well."""
_AGAIN = 1.0
"""Seconds between two looks at one that is not."""
_PATIENCE = 5.0
"""Seconds without a broker after which a new client is tried; most come back by themselves."""


class _Client(Client, Protocol):
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
        self._trial: Trial[_C] | None = None

    def replacement(self, client: _C, make: Callable[[], _C]) -> _C | None:
        """A new client, if it is time to look, the old one knows no broker, and the new one does.

        It takes half a second at most, for the new one is tried in a thread of its own. The caller
        closes the client it does not go on with.
        """
        now = monotonic()
        if self._trial is not None:
            return self._accepted(self._trial, client) if self._trial.is_over() else None
        if now < self._next:
            return None
        if knows_brokers(client, self._topic, ANSWER):
            self._next, self._since = now + _EVERY, None
            return None
        self._next = now + _AGAIN
        self._since = now if self._since is None else self._since
        if now >= self._since + _PATIENCE:
            with suppress(RuntimeError):  # no more threads can be had
                self._trial = Trial(make, lambda it: it.close(), self._topic)
        return None

    def close(self) -> None:
        """Have a client that is being tried closed, and begin anew, if it is asked again."""
        trial, self._trial, self._since = self._trial, None, None
        if trial is not None:
            trial.give_up()

    def _accepted(self, trial: Trial[_C], client: _C) -> _C | None:
        self._trial = None
        fresh = trial.taken()
        if fresh is None:
            return None
        self._since = None
        if knows_brokers(client, self._topic, ANSWER):  # Kafka is just back
            trial.let_go(fresh)
            return None
        log.warning("%s: the client has lost all brokers, and is replaced", self._name)
        return fresh
