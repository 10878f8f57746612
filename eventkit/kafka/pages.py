"""The log in pages, partition by partition, out of the index: for projections, subscriptions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from time import monotonic, sleep

from eventkit.kafka.ends import Ends
from eventkit.kafka.group import Group
from eventkit.kafka.growth import Growth
from eventkit.kafka.index import OFFSET_BITS, Partition, Partitions
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.neighbours import Neighbours
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.view import View
from eventkit.sqlite.log import SqliteLog, Stretch
from eventkit.store import EventFilter, Page

_COUNT = "SELECT count(*) FROM events WHERE position > ? AND position <= ?"

_BEFORE_ALL = -1
"""The offset before the first of a partition."""
_DOUBT = 5.0
"""Seconds for which brokers that tell an older end of the log are asked again."""
_PAUSE = 0.1
"""Seconds between two such questions."""


class Pages:
    """Reads the events of each partition in their order.

    Parameters:
        log: the index.
        partitions: where in the index each stands.
        view: knows how far the index has come.
        ends: asks the brokers where the log ends.
        layout: of the log.
        kafka: how to connect.
    """

    def __init__(
        self,
        log: SqliteLog,
        partitions: Partitions,
        view: View,
        ends: Ends,
        layout: LogLayout,
        kafka: KafkaSettings,
    ) -> None:
        self._log = log
        self._partitions = partitions
        self._view = view
        self._ends = ends
        self._layout = layout
        self._kafka = kafka

    def partitions(self, wanted: EventFilter | None = None) -> Sequence[Partition]:
        """All partitions of the store, or those that may hold what is wanted."""
        return self._partitions.of(wanted)

    def start(self, _partition: Partition) -> int:
        """The offset before the first event."""
        return _BEFORE_ALL

    def end(self, partition: Partition) -> int:
        """The offset of the newest event, `start` where there is none."""
        first = self._partitions.numbers[partition] << OFFSET_BITS
        with self._log.reading() as connection:
            newest = self._partitions.newest(connection, partition)
        return _BEFORE_ALL if newest is None else newest - first

    def count(self, partition: Partition, after: int) -> int:
        """How many events there are after an offset; between them are ends of transactions."""
        first = self._partitions.numbers[partition] << OFFSET_BITS
        with self._log.reading() as connection:
            newest = self._partitions.newest(connection, partition)
            found: int
            (found,) = connection.execute(_COUNT, (first + after, newest or 0)).fetchone()
        return found

    def page(
        self,
        partition: Partition,
        wanted: EventFilter,
        after: int,
        limit: int,
        *,
        keep_unreadable: bool = False,
    ) -> Page:
        """Up to `limit` matching events after an offset, and how far the log was read for them.

        Those whose bodies cannot be read raise, or are kept, as `SqliteLog.page` says.
        """
        first = self._partitions.numbers[partition] << OFFSET_BITS
        end = self.end(partition)
        if end <= after:
            return Page([], after)
        stretch = Stretch(first + after, first + end)
        events, read_to = self._log.page(wanted, stretch, limit, keep_unreadable=keep_unreadable)
        return Page(events, read_to - first)

    def reaches(self, partition: Partition, offset: int) -> bool:
        """Whether the log is so long, here or on the brokers.

        Who hears no gives up for good, so a no is believed only where it stays one for a while.

        What is in the index is not asked of the brokers, also where `applied` is behind it:

        1. another process follows, and has written a row; it was shown, and is where one stands;
        2. a broker tells an older end of the log: one that was frozen and still takes itself for
           the leader, or a new leader that does not know yet how far its log is decided;
        3. this process asks it before it sees how far the index has come, or stands behind with an
           index of its own.

        Raises:
            StoreUnavailable: the brokers do not tell.
        """
        deadline = monotonic() + _DOUBT
        while not self._is_reached(partition, offset):
            if monotonic() > deadline:
                return False
            sleep(_PAUSE)
        return True

    def _is_reached(self, partition: Partition, offset: int) -> bool:
        if offset < self._view.applied[partition] or offset <= self.end(partition):
            return True
        return offset < self._ends([partition], committed=True)[partition]

    def state(self) -> object:
        """How far the index has come; costs little.

        Raises:
            StoreUnavailable: the log is not followed any more.
            StoreClosed: the store was closed.
        """
        with self._log.reading():  # looks whether it is open
            self._view.check()
        return tuple(self._view.applied.values())

    def wait(self, seen: object, seconds: float) -> None:
        """Return as soon as the state is another one than that seen, or after so many seconds."""
        self._view.watch(lambda: tuple(self._view.applied.values()) != seen, seconds)

    def log(self, partition: Partition) -> str:
        """The id of the topic: one that is deleted and made anew has another."""
        return self._layout.log_id.topics.get(partition[0], "")

    def join(
        self,
        group: str,
        topics: Collection[str],
        database: str,
        categories: Collection[str] | None,
    ) -> Group:
        """Become a member of the group that shares the partitions of these topics.

        Parameters:
            group: its name, without the prefix of the log.
            topics: of events.
            database: what tells the database that this member writes into from others.
            categories: that are to be shared, also where their topics are made later; None for all.
        """
        name = self._layout.names.prefix + group
        neighbours = Neighbours(self._kafka, name, database)
        growth = Growth(self._kafka, self._layout, categories)
        return Group(self._kafka, name, topics, self._handled, neighbours, growth)

    def _handled(self, partition: Partition, offset: int) -> int:
        """What a group commits after the event at an offset: the next one to read.

        After the newest event there is still the end of its transaction; where that is passed
        too, no tool shows a lag. What is applied is read first: no event below it is overlooked.
        """
        applied = self._view.applied[partition]
        return max(applied, offset + 1) if self.end(partition) <= offset else offset + 1
