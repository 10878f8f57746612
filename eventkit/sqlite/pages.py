"""The log in a file that is one log, as subscriptions read it."""

from __future__ import annotations

from collections.abc import Sequence

from eventkit.sqlite.log import SqliteLog, Stretch
from eventkit.sqlite.rows import TOPIC
from eventkit.store import EventFilter, Page
from eventkit.subscribing import Partition


class Pages:
    """Reads the one partition there is.

    Parameters:
        log: the file.
    """

    def __init__(self, log: SqliteLog) -> None:
        self._log = log

    def partitions(self, _wanted: EventFilter | None = None) -> Sequence[Partition]:
        """The only one."""
        return ((TOPIC, 0),)

    def start(self, _partition: Partition) -> int:
        """Before the first event, which is at 1."""
        return 0

    def page(self, _partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """See `eventkit.subscribing.Followed`."""
        return self._log.page(wanted, Stretch(after, self._log.last_position()), limit)

    def reaches(self, _partition: Partition, offset: int) -> bool:
        """Whether such an event is there: what is told of the file is in the file."""
        return offset <= self._log.last_position()

    def state(self) -> object:
        """The newest event's position."""
        return self._log.last_position()
