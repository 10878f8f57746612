"""Helping: what a dead writer left open is ended, so that nobody waits for its time-out.

A record that stays undecided keeps all readers of its partition waiting. It names its writer; a
producer with that `transactional.id` ends the transaction at once. If the writer is alive after
all, it is fenced, finds itself in doubt, and goes on.

What is undecided, the brokers say: the record at the last stable offset. Our index alone would
not do. While the one who follows the log into it is frozen, it stands still, and every writer of
the log would look dead.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

from confluent_kafka import KafkaException

from eventkit.errors import EventkitError
from eventkit.kafka.failures import is_not_allowed
from eventkit.kafka.index import Partition
from eventkit.kafka.view import Rival, View
from eventkit.kafka.writing.numbering import Ends
from eventkit.kafka.writing.sweeping import Frame, Sweeper, frame_of
from eventkit.kafka.writing.transactions import NotTaken, Transactions

log = logging.getLogger("eventkit.kafka")

STALL_TIMEOUT = 2.0
"""Seconds a record of another writer may stay undecided."""
_LOOK = 0.1
_random = random.Random()  # noqa: S311 - spreads helpers; a thread leaves the global one alone
_STEP = 5.0
_SWEEP_AFTER = 0.5


class Helper:
    """A thread that watches for records that stay undecided.

    Parameters:
        settings: of a producer; the `transactional.id` is replaced.
        view: what others proposed, and when it was seen.
        ends: how far the log is decided.
        stall_timeout: seconds.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        view: View,
        ends: Ends,
        stall_timeout: float = STALL_TIMEOUT,
    ) -> None:
        self._settings = dict(settings)
        self._view = view
        self._ends = ends
        self._sweeper = Sweeper(settings, view.applied)
        self._stall_timeout = stall_timeout
        self._stop = threading.Event()
        self._strangers: set[tuple[Partition, int]] = set()
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
        while not self._stop.wait(_LOOK * (0.5 + _random.random())):
            if self._view.failure is not None:
                return
            try:
                for writer, stalled in self._stalled().items():
                    self._help(writer, stalled)
            except EventkitError as error:
                log.info("it cannot be told now who holds up the log: %s", error)
            except Exception:
                log.exception("helping failed")

    def _stalled(self) -> dict[str, dict[Partition, Rival]]:
        """By writer, the records that all readers of their partitions wait behind for too long."""
        before = monotonic() - self._stall_timeout
        suspects = self._view.undecided_since(before)
        found: dict[str, dict[Partition, Rival]] = {}
        for partition, end in self._ends(suspects, committed=True).items() if suspects else ():
            rival = self._view.rival_at(partition, end)
            if rival is None or rival.seen_at > before:
                continue
            if rival.writer is None:
                self._tell_of_stranger(partition, end)
            else:
                found.setdefault(rival.writer, {})[partition] = rival
        return found

    def _tell_of_stranger(self, partition: Partition, offset: int) -> None:
        if (partition, offset) not in self._strangers:
            self._strangers = {it for it in self._strangers if it[0] != partition}
            self._strangers.add((partition, offset))
            log.warning("a producer that is no eventkit writer holds up %s/%d", *partition)

    def _help(self, writer: str, stalled: Mapping[Partition, Rival]) -> None:
        names = ", ".join(f"{topic}/{part}" for topic, part in stalled)
        log.warning("ending the transaction of %s, which holds up %s", writer, names)
        transactions = Transactions({**self._settings, "transactional.id": writer}, _STEP)
        try:
            transactions.open(_STEP)
            self._sweep(transactions, self._still_undecided(stalled))
        except (KafkaException, NotTaken, EventkitError) as error:
            log.warning("the transaction of %s could not be ended: %s", writer, error)
            if is_not_allowed(error):
                log.warning("this user may not end it; it is left to others, or to its time-out")
                self._stop.set()
        finally:
            transactions.drop()

    def _still_undecided(self, stalled: Mapping[Partition, Rival]) -> Mapping[Partition, Rival]:
        """Those that stay undecided although their transaction has ended."""
        deadline = monotonic() + _SWEEP_AFTER
        while stalled:
            ends = self._ends(stalled, committed=True)
            stalled = {part: it for part, it in stalled.items() if ends[part] <= it.offset}
            if monotonic() > deadline:
                break
            if self._stop.wait(_LOOK / 2):
                return {}
        return stalled

    def _sweep(self, transactions: Transactions, stuck: Mapping[Partition, Rival]) -> None:
        frames: dict[Frame | None, list[Partition]] = {}
        for partition, rival in stuck.items():
            frames.setdefault(frame_of(rival.message), []).append(partition)
        for frame, partitions in frames.items():
            if frame is None:
                transactions.sweep(partitions)
            else:
                self._sweeper.release(transactions, frame, partitions)
