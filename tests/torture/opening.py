"""The store as a process of the rig opens it: the brokers may be away."""

import threading

from eventkit import EventStore, connect
from eventkit.errors import StoreUnavailable
from tests.torture.history import Log

_AGAIN = 0.5


def opened(url: str, index: str, log: Log, stop: threading.Event) -> EventStore:
    """The store; tried as often as it takes, until `stop` is set."""
    while True:
        try:
            return connect(url, index=index)
        except StoreUnavailable as error:
            log.say("no store", why=str(error))
            if stop.wait(_AGAIN):
                raise
