"""Logs of their own on the shared broker, as in the tests of Kafka."""

from tests.kafka.conftest import cluster, names, open_kafka, producer

__all__ = ["cluster", "names", "open_kafka", "producer"]
