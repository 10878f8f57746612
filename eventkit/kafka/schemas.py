"""The schemas of events: kept in the registry, so that Kafka alone is enough, and in the index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from eventkit.codec import AvroSchema, check_same_meaning
from eventkit.kafka.registry import Registry


class Schemas:
    """Asks the registry where the index does not know a schema, and adds to both what is new.

    Parameters:
        registry: the topic of schemas.
        load: asks the index.
        save: keeps a schema in the index.
    """

    def __init__(
        self,
        registry: Registry,
        load: Callable[[bytes], str | None],
        save: Callable[[Mapping[bytes, str]], None],
    ) -> None:
        self._registry = registry
        self._load = load
        self._save = save
        self._ensuring = threading.Lock()

    def fetch(self, fingerprint: bytes) -> str | None:
        """A schema that the index does not hold; None if the registry does not hold it either.

        Raises:
            KafkaUnavailable: the registry cannot be read.
        """
        key = fingerprint.hex()
        if key not in self._registry.texts:
            self._registry.refresh()
        text = self._registry.texts.get(key)
        if text is not None:
            self._save({fingerprint: text})
        return text

    def ensure(self, schema: AvroSchema) -> None:
        """See that the registry holds a schema, before the first event is written with it.

        Raises:
            IncompatibleSchema: it holds another one under this fingerprint.
            KafkaUnavailable: it cannot be read or written.
        """
        # Many callers come with the first events of a class: one asks Kafka, the others find
        # the answer in the index.
        with self._ensuring:
            stored = self._load(schema.fingerprint)
            if stored is None:
                stored = self.fetch(schema.fingerprint)
            if stored is not None:
                check_same_meaning(stored, schema, schema.name)
                return
            self._registry.put(schema.fingerprint.hex(), schema.json)
            self._save({schema.fingerprint: schema.json})
