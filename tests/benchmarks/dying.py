"""A writer that is killed inside a transaction, after the broker has its record."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from confluent_kafka import Producer

from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.names import Names
from tests.benchmarks.kafka_log import PARTITIONS


def main(address: str, prefix: str, aggregate_id: str) -> None:
    """Propose an event of an aggregate, and die."""
    writer = f"dying-{os.getpid()}"
    settings: dict[str, Any] = {
        "bootstrap.servers": address, "transactional.id": writer, "linger.ms": 0,
        "transaction.timeout.ms": 60_000,
    }  # fmt: skip
    producer = Producer(settings)
    producer.init_transactions()
    producer.begin_transaction()
    headers: Any = [("ce_append", "1.0.1"), ("ce_aggregateversion", "2"), ("ce_writer", writer)]
    key = aggregate_id.encode()
    producer.produce(
        Names(prefix).events("item"), b"-", key, partition_for(key, PARTITIONS), headers=headers
    )
    producer.flush(10)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
