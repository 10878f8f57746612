"""Transactions that hold readers up: where, whose, and for how long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import Message

from eventkit.kafka.ends import Ends
from eventkit.kafka.index import Partition
from eventkit.kafka.reading import headers_of, proposal_of
from eventkit.kafka.scanning.consumers import Consumers
from eventkit.kafka.scanning.scan import Scan
from eventkit.kafka.settings import KafkaSettings

_WATCHED = 3.0
"""Seconds for which the last stable offset has to stay where it is."""
_LOOK = 0.2


class Stalled(NamedTuple):
    """A partition whose readers wait.

    Parameters:
        partition: which.
        offset: the record that is undecided.
        behind: offsets that cannot be read.
        writer: the `transactional.id`; None where the record is none of eventkit's.
        age: seconds since the record was written.
    """

    partition: Partition
    offset: int
    behind: int
    writer: str | None
    age: float


def stalled(
    settings: KafkaSettings, ends: Ends, partitions: Sequence[Partition], timeout: float
) -> list[Stalled]:
    """Watch partitions for a while; those whose readers did not get on.

    Parameters:
        settings: how to connect.
        ends: asks where partitions end.
        partitions: which to watch.
        timeout: seconds that the brokers may take.

    Raises:
        StoreUnavailable: they do not answer.
    """
    stuck = ends(partitions, committed=True)
    deadline = time.monotonic() + _WATCHED
    while True:
        stable, last = ends(stuck, committed=True), ends(stuck, committed=False)
        stuck = {it: at for it, at in stuck.items() if stable[it] == at < last[it]}
        if not stuck or time.monotonic() > deadline:
            break
        time.sleep(_LOOK)
    if not stuck:
        return []
    uncommitted = settings.consumer("read_uncommitted")
    with closing(Consumers(settings, uncommitted)) as consumers:
        scan = Scan(consumers, lambda: None, timeout=timeout)
        return [_told(scan, it, at, last[it]) for it, at in stuck.items()]


def _told(scan: Scan, partition: Partition, offset: int, end: int) -> Stalled:
    message = _first(scan, partition, offset)
    proposal = None if message is None else proposal_of(headers_of(message))
    written = 0 if message is None else message.timestamp()[1]
    age = max(0.0, time.time() - written / 1000) if written > 0 else 0.0
    return Stalled(partition, offset, end - offset, proposal and proposal[0], age)


def _first(scan: Scan, partition: Partition, offset: int) -> Message | None:
    for messages, _ in scan.messages(partition, offset, offset + 1):
        for message in messages:
            return message
    return None
