"""In doubt: something failed between the first record of a transaction and its end.

Nothing is guessed. A new producer with the same `transactional.id` ends what its predecessor left
open; then what the log holds up to its end as of then is the truth, and no record of the old
producer can come after it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, sleep

from confluent_kafka import KafkaError, KafkaException

from eventkit.errors import EventkitError, OutcomeUnknown, StoreUnavailable
from eventkit.kafka.failures import said
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import InFlight, Waiting, finish
from eventkit.kafka.view import View
from eventkit.kafka.writing.numbering import Ends
from eventkit.kafka.writing.transactions import NotTaken, Transactions

Sweep = Callable[[set[Partition]], None]

log = logging.getLogger("eventkit.kafka")

_STEP = 2.0
"""Seconds for one call while Kafka is in trouble: between calls, deadlines are looked at."""
_SWEEP_AFTER = 1.0
"""Seconds until records that stay undecided although their transaction has ended are swept."""
_PAUSE = 0.2

_REFUSALS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - its public name
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError.POLICY_VIOLATION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
}


def refusal(error: BaseException) -> StoreUnavailable | None:
    """What Kafka will refuse again, however often it is tried; None for what may pass."""
    if isinstance(error, KafkaException) and error.args[0].code() in _REFUSALS:
        return StoreUnavailable(f"Kafka refuses: {said(error.args[0])}; this call wrote nothing.")
    return None


class Doubt:
    """Finds out what became of a transaction.

    Parameters:
        transactions: the producer.
        view: how far the log is read.
        in_flight: where appends get the verdict of the log.
        ends: where the log ends.
        meanwhile: called every few seconds; returns whether it is worth going on.
    """

    def __init__(
        self,
        transactions: Transactions,
        view: View,
        in_flight: InFlight,
        ends: Ends,
        meanwhile: Callable[[str], bool],
    ) -> None:
        self._transactions = transactions
        self._view = view
        self._in_flight = in_flight
        self._ends = ends
        self._meanwhile = meanwhile

    def resolve(
        self, doubtful: Sequence[Waiting], cause: BaseException, sweep: Sweep | None = None
    ) -> list[Waiting]:
        """Return the appends that are certainly not in the log, nor will be.

        All others have their outcome: success, or after their deadline `OutcomeUnknown`. As long as
        the log cannot be asked, this does not return: an append that follows might come to stand
        beside one of these. They are in flight already: what got its verdict meanwhile is not taken
        back a second time. `sweep` releases what stays undecided; it is aborted else.
        """
        log.warning("the outcome of %d appends is in doubt, asking: %s", len(doubtful), cause)
        self._transactions.drop()
        partitions = {it.partition for it in doubtful}
        reason = str(cause)
        while True:
            try:
                if self._ask(partitions, sweep or self._transactions.sweep):
                    self._in_flight.decide(doubtful)
                    return self._in_flight.forget(doubtful)
            except (KafkaException, NotTaken, EventkitError) as error:
                reason = str(error)
                log.info("still in doubt: %s", error)
                if isinstance(error, KafkaException):
                    self._transactions.drop()  # it may be fenced: it would never work again
            if self._view.failure is not None:
                self.give_up(doubtful, reason)
                return []
            self._give_up_late(doubtful, reason)
            if not self._meanwhile(reason):
                return []
            sleep(_PAUSE * (0.5 + random.random()))  # noqa: S311 - spreads those who ask

    def give_up(self, doubtful: Iterable[Waiting], reason: str) -> None:
        """Tell callers that the outcome of their appends is not known."""
        late = self._in_flight.give_up(doubtful)
        finish((it, OutcomeUnknown(it.event_ids, reason)) for it in late)

    def _ask(self, partitions: set[Partition], sweep: Sweep) -> bool:
        """Whether the log is decided, and read, past all that the old producer wrote."""
        self._transactions.step = _STEP
        self._transactions.open(_STEP)
        self._view.sort_by_header()
        ends = self._ends(partitions, committed=False)
        if self._reached(ends, _SWEEP_AFTER):
            return True
        sweep(partitions)
        return self._reached(self._ends(partitions, committed=False), _STEP)

    def _reached(self, ends: dict[Partition, int], seconds: float) -> bool:
        view = self._view
        return view.wait(
            lambda: view.has_applied(ends) and view.has_seen(ends), monotonic() + seconds
        )

    def _give_up_late(self, doubtful: Sequence[Waiting], reason: str) -> None:
        now = monotonic()
        late = [it for it in doubtful if it.deadline <= now and it.outcome is None]
        self.give_up(late, f"Kafka did not answer in time ({reason})")
