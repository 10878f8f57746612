"""Where the log ends on the brokers."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from eventkit.errors import StoreUnavailable
from eventkit.kafka.index import Partition


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
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(*partition): latest for partition in partitions}
        if not asked:
            return {}
        answers = self._admin.list_offsets(
            asked, isolation_level=level, request_timeout=self._timeout
        )
        try:
            return {
                (place.topic, place.partition): answer.result(self._timeout).offset
                for place, answer in answers.items()
            }
        except (KafkaException, TimeoutError) as error:
            raise StoreUnavailable(
                f"Kafka does not tell where the log ends ({error}); is the broker up?"
            ) from error
