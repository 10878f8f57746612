"""Where the log ends on the brokers."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic, sleep

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from eventkit.errors import StoreUnavailable
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.index import Partition

_PASSING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._TIMED_OUT,  # noqa: SLF001 - its public name
    KafkaError._TRANSPORT,  # noqa: SLF001 - its public name
    KafkaError._NOENT,  # noqa: SLF001 - no leaders are known, after all brokers were away
    KafkaError.REQUEST_TIMED_OUT,
}
"""While a partition gets a leader, after it was made or its broker died."""
_PAUSE = 0.02  # seconds
_LEARN = 2.0
"""Seconds for learning who leads."""
_LEAST = 0.5
"""Seconds that a question may take however late it is."""


class Ends:
    """Asks for the ends of partitions.

    After a question without an answer, the next one begins with who is there: a client that has
    lost all brokers for good (see `Lookout`) may stay silent until any time-out, and tells in no
    other way that another one is needed. The one after that has all the time for itself again, for
    brokers that are slow.

    Parameters:
        cluster: to ask.
        timeout: seconds that the brokers may take.
    """

    def __init__(self, cluster: Cluster, *, timeout: float = 10.0) -> None:
        self._cluster = cluster
        self._timeout = timeout
        self._unanswered = 0

    def __call__(self, partitions: Iterable[Partition], *, committed: bool) -> dict[Partition, int]:
        """The offset after the last record, or, of what is `committed`, the last stable offset.

        All that is decided lies before the last stable offset, and all before it is decided.

        Raises:
            StoreUnavailable: the brokers do not tell.
        """
        asked = list(partitions)
        deadline = monotonic() + self._timeout
        while asked:
            if self._unanswered % 2:
                self._learn_leaders(deadline)
            try:
                found = self._ask(asked, deadline, committed=committed)
            except (KafkaException, TimeoutError) as error:
                self._unanswered += 1
                silent = isinstance(error, TimeoutError)
                passing = silent or error.args[0].code() in _PASSING
                if not passing or monotonic() + _PAUSE > deadline:
                    why = str(error) or "no answer in time"
                    raise StoreUnavailable(
                        f"Kafka does not tell where the log ends ({why}); is the broker up?",
                        retryable=True,
                    ) from error
                sleep(_PAUSE)
            else:
                self._unanswered = 0
                return found
        return {}

    def _learn_leaders(self, deadline: float) -> None:
        """Have librdkafka ask who leads: by itself it keeps to what it knew, for ever."""
        admin = self._cluster.admin
        try:
            admin.list_topics(timeout=_at_most(min(_LEARN, self._timeout / 4), deadline))
        except KafkaException:
            self._cluster.renewed(admin)

    def _ask(
        self, partitions: Iterable[Partition], deadline: float, *, committed: bool
    ) -> dict[Partition, int]:
        admin = self._cluster.admin  # kept: one that is let go of never answers
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        # A third of the time: another client can be asked then.
        step = _at_most(max(_LEARN, self._timeout / 3), deadline)
        answers = admin.list_offsets(
            {TopicPartition(*partition): latest for partition in partitions},
            isolation_level=level,
            request_timeout=step,
        )
        return {
            (place.topic, place.partition): answer.result(step).offset
            for place, answer in answers.items()
        }


def _at_most(seconds: float, deadline: float) -> float:
    return min(seconds, max(deadline - monotonic(), _LEAST))
