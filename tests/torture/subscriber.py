"""A thread that subscribes to the log, again and again, and logs in short what it was shown."""

import random
import threading
import traceback
from collections.abc import Callable
from time import monotonic

from eventkit import EventStore
from eventkit.errors import StoreError
from eventkit.store import Subscription
from tests.torture.domain import chained
from tests.torture.history import Log

_TELL = 0.5
_SHORTEST, _LONGEST = 3.0, 12.0
"""Seconds of one subscription; the next one goes on from where it was."""


class Subscriber:
    """Subscribes, and says where it is and what came before: a chain of ids by partition.

    Args:
        store: to subscribe to.
        log: where to say it.
        stop: ends it.
        seed: of how long each subscription is.
    """

    def __init__(self, store: EventStore, log: Log, stop: threading.Event, seed: str) -> None:
        self._store = store
        self._log = log
        self._stop = stop
        self._choose = random.Random(seed)  # noqa: S311
        self._chains: dict[int, tuple[int, int, str]] = {}
        self._told_at = 0.0

    def run(self) -> None:
        """Subscribe until the end."""
        positions = None
        try:
            while not self._stop.is_set():
                try:
                    with self._store.subscribe(positions) as subscription:
                        self._follow(subscription)
                        positions = subscription.positions
                except StoreError as error:  # it goes on from the beginning
                    self._log.say("not subscribed", why=str(error))
                    positions, self._chains = None, {}
                    self._stop.wait(0.5)
        except BaseException:  # noqa: BLE001 - the checker shows it
            self._log.say("broken", why=traceback.format_exc())

    def _follow(self, subscription: Subscription) -> None:
        seconds = self._choose.uniform(_SHORTEST, _LONGEST)
        with _Closing(subscription.close, self._stop, seconds):
            for recorded in subscription:
                _, partition, offset = recorded.position
                _, events, chain = self._chains.get(partition, (-1, 0, ""))
                chain = chained(chain, str(recorded.event_id))
                self._chains[partition] = (offset, events + 1, chain)
                if monotonic() > self._told_at + _TELL:
                    self._tell()
        self._tell()

    def _tell(self) -> None:
        self._told_at = monotonic()
        shown = [[partition, *it] for partition, it in self._chains.items()]
        self._log.say("streamed", shown=shown)


class _Closing:
    """Closes something from another thread, when it is time or all ends."""

    def __init__(self, close: Callable[[], None], stop: threading.Event, seconds: float) -> None:
        self._close = close
        self._stop = stop
        self._until = monotonic() + seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set() and monotonic() < self._until:
            if self._over.wait(0.1):
                break
        self._close()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
