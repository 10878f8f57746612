"""The log in pages, partition by partition, out of the index: what projections read."""

from __future__ import annotations

from collections.abc import Sequence

from eventkit.kafka.index import OFFSET_BITS, Partition, Partitions
from eventkit.sqlite.log import SqliteLog, Stretch
from eventkit.store import EventFilter, Page

_BEFORE_ALL = -1
"""The offset before the first of a partition."""


class Pages:
    """Reads the events of each partition in their order.

    Parameters:
        log: the index.
        partitions: where in the index each stands.
    """

    def __init__(self, log: SqliteLog, partitions: Partitions) -> None:
        self._log = log
        self._partitions = partitions

    def partitions(self) -> Sequence[Partition]:
        """All partitions of the store."""
        return list(self._partitions.numbers)

    def start(self, _partition: Partition) -> int:
        """The offset before the first event."""
        return _BEFORE_ALL

    def end(self, partition: Partition) -> int:
        """The offset of the newest event, `start` where there is none."""
        first = self._partitions.numbers[partition] << OFFSET_BITS
        with self._log.reading() as connection:
            newest = self._partitions.newest(connection, partition)
        return _BEFORE_ALL if newest is None else newest - first

    def page(self, partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """Up to `limit` matching events after an offset, and how far the log was read for them."""
        first = self._partitions.numbers[partition] << OFFSET_BITS
        end = self.end(partition)
        if end <= after:
            return Page([], after)
        events, read_to = self._log.page(wanted, Stretch(first + after, first + end), limit)
        return Page(events, read_to - first)
