"""Helping: what a dead writer left open is ended, so that nobody waits for its time-out.

A record that stays undecided keeps all readers of its partition waiting. It names its writer; a
producer with that `transactional.id` ends the transaction at once. If the writer is alive after
all, it is fenced, finds itself in doubt, and goes on.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

from confluent_kafka import KafkaException

from eventkit.kafka.index import Partition
from eventkit.kafka.sweeping import Sweeper, frame_of
from eventkit.kafka.transactions import NotTaken, Transactions
from eventkit.kafka.view import Rival, View

log = logging.getLogger("eventkit.kafka")

STALL_TIMEOUT = 2.0
"""Seconds a record of another writer may stay undecided."""
_LOOK = 0.1
_SETTLED = 0.3
"""Seconds it must be the oldest: behind another one, it may be decided long since, and not seen."""
_STEP = 5.0
_SWEEP_AFTER = 0.5


class Helper:
    """A thread that watches for records that stay undecided.

    Parameters:
        settings: of a producer; the `transactional.id` is replaced.
        view: what is undecided.
        stall_timeout: seconds.
    """

    def __init__(
        self, settings: Mapping[str, Any], view: View, stall_timeout: float = STALL_TIMEOUT
    ) -> None:
        self._settings = dict(settings)
        self._view = view
        self._sweeper = Sweeper(settings, view.applied)
        self._stall_timeout = stall_timeout
        self._stop = threading.Event()
        self._since: dict[tuple[Partition, int], float] = {}
        self._helped: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="eventkit helper", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK * (0.5 + random.random())):  # noqa: S311 - spreads helpers
            try:
                for partition, rival in self._stalled():
                    self._help(partition, rival)
            except Exception:
                log.exception("helping failed")

    def _stalled(self) -> list[tuple[Partition, Rival]]:
        now = monotonic()
        oldest = self._view.oldest_undecided()
        self._since = {
            (partition, rival.offset): self._since.get((partition, rival.offset), now)
            for partition, rival in oldest.items()
        }
        return [
            (partition, rival)
            for partition, rival in oldest.items()
            if rival.seen_at + self._stall_timeout <= now
            and self._since[partition, rival.offset] + _SETTLED <= now
        ]

    def _help(self, partition: Partition, rival: Rival) -> None:
        writer = rival.writer
        if writer is None:
            log.warning("a producer that is no eventkit writer holds up %s/%d", *partition)
            return
        log.warning("ending the transaction of %s, which holds up %s/%d", writer, *partition)
        transactions = Transactions({**self._settings, "transactional.id": writer}, _STEP)
        try:
            transactions.open(_STEP)
            passed = self._view.wait(
                lambda: self._view.applied[partition] > rival.offset, monotonic() + _SWEEP_AFTER
            )
            frame = None if passed else frame_of(rival.message)
            if frame is not None:
                self._sweeper.release(transactions, frame, [partition])
            elif not passed:
                transactions.sweep([partition])
        except (KafkaException, NotTaken) as error:
            log.warning("the transaction of %s could not be ended: %s", writer, error)
        finally:
            transactions.drop()
