"""Where the log ends on the brokers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
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


class Ends:
    """Asks for the ends of partitions.

    Parameters:
        admin: the connection to the brokers.
        timeout: seconds that the brokers may take.
    """

    def __init__(self, admin: AdminClient, *, timeout: float = 10.0) -> None:
        self._admin = admin
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
                passing = isinstance(error, KafkaException) and error.args[0].code() in _PASSING
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
        with suppress(KafkaException):
            self._admin.list_topics(timeout=self._timeout)

    def _ask(self, partitions: Iterable[Partition], *, committed: bool) -> dict[Partition, int]:
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(
            {TopicPartition(*partition): latest for partition in partitions},
            isolation_level=level,
            request_timeout=self._timeout,
        )
        return {
            (place.topic, place.partition): answer.result(self._timeout).offset
            for place, answer in answers.items()
        }
