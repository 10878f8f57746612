"""The topic `eventkit.schemas`: what all readers of a log have to know, as texts by key.

It is compacted and has one partition.

| key | value |
|---|---|
| a fingerprint: CRC-64-AVRO, little-endian, in hex | an Avro schema, as JSON |
| `topic:<name>` of a topic of events | what was true when it was made, as JSON: a `TopicRecord` |
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from eventkit.errors import KafkaUnavailable, NotAnEventStore
from eventkit.kafka.failures import failure
from eventkit.kafka.gate import FORMAT, TopicRecord
from eventkit.kafka.offmain import off_main
from eventkit.kafka.settings import KafkaSettings

_TOPIC = "topic:"
_KEY = re.compile(r"[0-9a-f]{16}|topic:[A-Za-z0-9._-]{1,249}")
_MOST_PARTITIONS = 100_000
"""More than a topic can have; each is remembered."""
_AT_ONCE = {"fetch.wait.max.ms": 5}
"""How long the end of the topic takes to be told."""
_TWICE_IS_FINE = {"enable.idempotence": False}
"""The same text under the same key: librdkafka takes half a second for what makes it exact."""
_PAUSE = 0.02
"""Seconds between two looks for the topic."""


class Registry:
    """Reads and writes that topic; threads may share one.

    Parameters:
        settings: how to connect.
        topic: its name.
        timeout: seconds that the brokers may take for one answer.
    """

    def __init__(self, settings: KafkaSettings, topic: str, *, timeout: float = 10.0) -> None:
        self._settings = settings
        self._topic = topic
        self._timeout = timeout
        self._texts: dict[str, str] = {}
        self._next = OFFSET_BEGINNING
        self._lock = threading.Lock()

    @property
    def texts(self) -> Mapping[str, str]:
        """All texts by key, as of the last `refresh`."""
        return self._texts

    def refresh(self) -> None:
        """Read what was written since the last call.

        Raises:
            KafkaUnavailable: no answer in time, or not for this user.
        """
        with self._lock:
            settings = self._settings.consumer("read_committed")
            consumer = self._settings.opened(Consumer, settings | _AT_ONCE)
            try:
                self._await_topic(consumer)
                consumer.assign([TopicPartition(self._topic, 0, self._next)])
                while self._take(consumer.poll(self._timeout)):
                    pass
            except KafkaException as error:
                raise failure(error.args[0], f"reading {self._topic}", self._settings) from error
            finally:
                consumer.close()

    def put(self, key: str, text: str) -> None:
        """Write a text; returns when it is durable.

        Raises:
            KafkaUnavailable: no answer in time, or not for this user.
        """
        off_main(lambda: self._put(key, text))
        with self._lock:
            self._texts[key] = text

    def _put(self, key: str, text: str) -> None:
        errors: list[KafkaError | None] = []
        producer = self._settings.opened(Producer, self._settings.producer(None) | _TWICE_IS_FINE)
        try:
            self._await_topic(producer)
            producer.produce(
                self._topic, text, key, 0, on_delivery=lambda error, _: errors.append(error)
            )
            producer.flush(self._timeout)
        except KafkaException as error:
            raise failure(error.args[0], f"writing {self._topic}", self._settings) from error
        if not errors:
            producer.purge()
            raise self._late("written")
        if errors[0] is not None:
            raise failure(errors[0], f"writing {self._topic}", self._settings)

    def topic(self, name: str) -> TopicRecord | None:
        """What is recorded of a topic of events, as of the last `refresh`.

        Raises:
            NotAnEventStore: the topic was made by a newer eventkit.
        """
        text = self._texts.get(f"{_TOPIC}{name}")
        return None if text is None else self._topic_record(name, text)

    def put_topic(self, name: str, record: TopicRecord) -> None:
        """Record a topic of events; see `put`."""
        self.put(f"{_TOPIC}{name}", json.dumps(record._asdict(), sort_keys=True))

    def topics(self) -> list[str]:
        """The topics of events that are recorded, as of the last `refresh`."""
        return sorted(key.removeprefix(_TOPIC) for key in self._texts if key.startswith(_TOPIC))

    def _await_topic(self, client: Consumer | Producer) -> None:
        """Return when the client knows the topic, which may have been made just now.

        A client that is used before it knows any broker tries again after half a second.
        """
        deadline = monotonic() + self._timeout
        while (
            error := client.list_topics(self._topic, self._timeout).topics[self._topic].error
        ) is not None:
            if monotonic() > deadline:
                raise KafkaException(error)
            sleep(_PAUSE)

    def _take(self, message: Message | None) -> bool:
        """Keep what a message says; False at the end of the topic."""
        if message is None:
            raise self._late("read")
        error = message.error()
        if error is not None:
            if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return True  # no group is used, so nobody needs a permission for one
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                return False
            raise failure(error, f"reading {self._topic}", self._settings)
        self._next = (message.offset() or 0) + 1
        key, text = _text(message.key()), _text(message.value())
        if key is None or not _KEY.fullmatch(key):
            return True  # of a stranger: nobody asks for it
        if text is None:
            self._texts.pop(key, None)
        else:
            self._texts[key] = text
        return True

    def _late(self, done: str) -> KafkaUnavailable:
        return KafkaUnavailable(
            self._settings.bootstrap, f"{self._topic} could not be {done} in {self._timeout} s."
        )

    def _topic_record(self, name: str, text: str) -> TopicRecord:
        try:
            values: dict[str, Any] = json.loads(text)
            record = TopicRecord(
                int(values["partitions"]), str(values["topic_id"]), int(values["format"])
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise self._unreadable(name, text) from error
        if not 1 <= record.partitions <= _MOST_PARTITIONS:
            raise self._unreadable(name, text)
        if record.format > FORMAT:
            raise NotAnEventStore(
                f"{name} was made by a newer eventkit (format {record.format}, this one reads up "
                f"to {FORMAT}). Nothing was changed; upgrade eventkit."
            )
        return record

    def _unreadable(self, name: str, text: str) -> NotAnEventStore:
        return NotAnEventStore(
            f"what {self._topic} records of {name} cannot be read: {text!r:.200}"
        )


def _text(data: bytes | None) -> str | None:
    """What a record says; damage is a key that nobody asks for, or a value that fits nothing."""
    return None if data is None else data.decode(errors="replace")
