"""The schemas of events, in a compacted topic of their own: Kafka alone is enough to read the log.

Key: the fingerprint in hexadecimal digits. Value: the schema as JSON.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from eventkit.codec import AvroSchema, check_same_meaning
from eventkit.errors import StoreUnavailable
from eventkit.kafka.settings import KafkaSettings

TOPIC = "eventkit.schemas"


class Schemas:
    """Reads the topic when a schema is missing, and writes what is new to it.

    Parameters:
        settings: how to connect.
        topic: its name.
        load: asks the index.
        save: keeps schemas in the index.
        timeout: seconds that the brokers may take.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        load: Callable[[bytes], str | None],
        save: Callable[[dict[bytes, str]], None],
        *,
        timeout: float,
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._load = load
        self._save = save
        self._timeout = timeout
        self._lock = threading.Lock()
        self._known: dict[bytes, str] = {}
        self._next = 0

    def fetch(self, fingerprint: bytes) -> str | None:
        """A schema that the index does not hold; None if the topic does not hold it either.

        Raises:
            StoreUnavailable: the topic cannot be read.
        """
        with self._lock:
            if fingerprint not in self._known:
                found = self._read_on()
                if found:
                    self._known |= found
                    self._save(found)
            return self._known.get(fingerprint)

    def ensure(self, schema: AvroSchema) -> None:
        """See that the topic holds a schema, before the first event is written with it.

        Raises:
            IncompatibleSchema: it holds another one under this fingerprint.
            StoreUnavailable: it cannot be read or written.
        """
        stored = self._load(schema.fingerprint)
        if stored is None:
            stored = self.fetch(schema.fingerprint)
        if stored is not None:
            check_same_meaning(stored, schema, schema.name)
            return
        self._write(schema)
        self._save({schema.fingerprint: schema.json})

    def _read_on(self) -> dict[bytes, str]:
        consumer = self._settings.opened(Consumer, self._settings.consumer("read_uncommitted"))
        try:
            return self._read_to_the_end(consumer)
        except (KafkaException, ValueError) as error:
            raise StoreUnavailable(f"the topic {self._topic} cannot be read: {error}") from error
        finally:
            consumer.close()

    def _read_to_the_end(self, consumer: Consumer) -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        place = TopicPartition(self._topic, 0, self._next)
        _, end = consumer.get_watermark_offsets(place, self._timeout)
        consumer.assign([place])
        while self._next < end:
            message = consumer.poll(self._timeout)
            if message is None:
                raise StoreUnavailable(f"the topic {self._topic} could not be read in time")
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    raise KafkaException(error)
                break
            key, value = message.key(), message.value()
            if isinstance(key, bytes) and isinstance(value, bytes):
                found[bytes.fromhex(key.decode())] = value.decode()
            self._next = (message.offset() or 0) + 1
        return found

    def _write(self, schema: AvroSchema) -> None:
        failures: list[KafkaError] = []
        # Written twice does no harm here, and an idempotent producer takes half a second to begin.
        settings = self._settings.producer(None) | {"enable.idempotence": False}
        producer = self._settings.opened(Producer, settings)
        producer.produce(
            self._topic,
            schema.json.encode(),
            schema.fingerprint.hex().encode(),
            partition=0,
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
        if producer.flush(self._timeout) or failures:
            reason = failures[0].str() if failures else "no answer in time"
            raise StoreUnavailable(
                f"the schema of {schema.name} could not be written to the topic {self._topic}: "
                f"{reason}; nothing was appended."
            )
