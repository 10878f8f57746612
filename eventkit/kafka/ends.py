"""Where the log ends on the brokers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic, sleep

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from eventkit.errors import StoreUnavailable
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


class Ends:
    """Asks for the ends of partitions.

    Parameters:
        admin: the connection to the brokers.
        renewed: makes another one, if this one has lost all brokers; see `Cluster.renewed`.
        timeout: seconds that the brokers may take.
    """

    def __init__(
        self,
        admin: AdminClient,
        renewed: Callable[[AdminClient], AdminClient] | None = None,
        *,
        timeout: float = 10.0,
    ) -> None:
        self._admin = admin
        self._renewed = renewed
        self._timeout = timeout

    def __call__(self, partitions: Iterable[Partition], *, committed: bool) -> dict[Partition, int]:
        """The offset after the last record, or, of what is `committed`, the last stable offset.

        All that is decided lies before the last stable offset, and all before it is decided.

        Raises:
            StoreUnavailable: the brokers do not tell.
        """
        asked = list(partitions)
        deadline = monotonic() + self._timeout
        while True:
            try:
                return self._ask(asked, committed=committed) if asked else {}
            except (KafkaException, TimeoutError) as error:
                silent = isinstance(error, TimeoutError)
                passing = silent or error.args[0].code() in _PASSING
                if not passing or monotonic() > deadline:
                    why = str(error) or "no answer in time"
                    raise StoreUnavailable(
                        f"Kafka does not tell where the log ends ({why}); is the broker up?",
                        retryable=True,
                    ) from error
            sleep(_PAUSE)
            self._learn_leaders()

    def _learn_leaders(self) -> None:
        """Have librdkafka ask who leads: by itself it keeps to what it knew, for ever."""
        try:
            self._admin.list_topics(timeout=min(_LEARN, self._timeout))
        except KafkaException:
            if self._renewed is not None:
                self._admin = self._renewed(self._admin)

    def _ask(self, partitions: Iterable[Partition], *, committed: bool) -> dict[Partition, int]:
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        step = min(
            self._timeout, max(_LEARN, self._timeout / 3)
        )  # another client can be asked then
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(
            {TopicPartition(*partition): latest for partition in partitions},
            isolation_level=level,
            request_timeout=step,
        )
        return {
            (place.topic, place.partition): answer.result(step).offset
            for place, answer in answers.items()
        }
