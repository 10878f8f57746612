"""The seam to the log: what projections read from, in partitions, page by page."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

from eventkit.errors import ProjectionError
from eventkit.events import EventTypes
from eventkit.projection.assignment import Assignment, Fixed, Membership, Shared
from eventkit.projection.partition import Partition
from eventkit.sqlite import SqliteStore
from eventkit.sqlite.rows import TOPIC
from eventkit.store import EventFilter, EventStore, Page

_POLL = 0.02
"""Seconds between two looks at a file that had nothing new; one costs some 50 microseconds."""
_LONGEST = 0.05
"""Seconds until one who waits looks whether he is to stop, or has other partitions."""

__all__ = ["Paged", "PagedSource", "Pages", "Partition", "Source", "SqliteSource", "source_of"]


class Source(Protocol):
    """A log to read; offsets are those of the positions in it."""

    @property
    def types(self) -> EventTypes:
        """The event classes that read it."""

    def partitions(self, wanted: EventFilter | None = None) -> Sequence[Partition]:
        """The partitions to read; those that may hold what is wanted."""

    def start(self, partition: Partition) -> int:
        """The offset before the first event: the checkpoint of one who has read nothing."""

    def end(self, partition: Partition) -> int:
        """The offset of the newest event here, `start` where there is none."""

    def count(self, partition: Partition, after: int) -> int:
        """How many events there are after an offset."""

    def log(self, partition: Partition) -> str:
        """What tells this log from another one of the same name; empty where nothing does."""

    def reaches(self, partition: Partition, offset: int) -> bool:
        """Whether the log is so long, be it here or where it comes from.

        Raises:
            StoreUnavailable: it cannot be found out.
        """

    def page(self, partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """Up to `limit` matching events after an offset, and how far the log was read for them.

        One that cannot be read, be it the body or more of it, is an `UnreadableEvent`.
        """

    def state(self) -> object:
        """What changes when the log grows; to be noted before one looks for new events."""

    def wait(self, seen: object, stop: threading.Event) -> None:
        """Return soon after the state is another one than that seen, and now and then anyway.

        Raises:
            StoreUnavailable: the log is not followed any more.
        """

    def join(
        self,
        group: str,
        partitions: Collection[Partition],
        database: str,
        categories: Collection[str] | None,
    ) -> Assignment:
        """Become one of the workers that share the partitions.

        Parameters:
            group: of the workers.
            partitions: to share.
            database: its id; all workers of a group write into the same one.
            categories: that the worker reads; None for all. The worker is told when one of them
                gets its first partitions.
        """


class SqliteSource:
    """The log of the embedded store: one partition."""

    _ONLY = Partition(TOPIC, 0)

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    @property
    def types(self) -> EventTypes:
        """The event classes of the store."""
        return self._store.types

    def partitions(self, _wanted: EventFilter | None = None) -> Sequence[Partition]:
        """The one there is."""
        return (self._ONLY,)

    def start(self, _partition: Partition) -> int:
        """Before the first event, which is at 1."""
        return 0

    def end(self, _partition: Partition) -> int:
        """The newest event's offset, or 0."""
        return self._store.last_position()

    def count(self, partition: Partition, after: int) -> int:
        """Each event has one offset."""
        return max(0, self.end(partition) - after)

    def log(self, _partition: Partition) -> str:
        """Nothing tells files apart."""
        return ""

    def reaches(self, partition: Partition, offset: int) -> bool:
        """See `Source.reaches`."""
        return offset <= self.end(partition)

    def page(self, _partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """See `Source.page`."""
        return self._store.page(wanted, after, limit, keep_unreadable=True)

    def state(self) -> object:
        """Nothing: a look into the file costs no more than to ask whether to look."""
        return None

    def wait(self, _seen: object, stop: threading.Event) -> None:
        """Wait for the next look."""
        stop.wait(_POLL)

    def join(
        self,
        _group: str,
        partitions: Collection[Partition],
        _database: str,
        _categories: Collection[str] | None,
    ) -> Assignment:
        """There is nothing to share."""
        return Fixed(partitions)


class Pages(Protocol):
    """As `Source`, with partitions that are plain pairs of topic and number."""

    def partitions(self, wanted: EventFilter | None = None, /) -> Sequence[tuple[str, int]]:
        """See `Source`."""

    def start(self, partition: tuple[str, int], /) -> int:
        """See `Source`."""

    def end(self, partition: tuple[str, int], /) -> int:
        """See `Source`."""

    def count(self, partition: tuple[str, int], after: int, /) -> int:
        """See `Source`."""

    def log(self, partition: tuple[str, int], /) -> str:
        """See `Source`."""

    def reaches(self, partition: tuple[str, int], offset: int, /) -> bool:
        """See `Source`."""

    def page(
        self,
        partition: tuple[str, int],
        wanted: EventFilter,
        after: int,
        limit: int,
        /,
        *,
        keep_unreadable: bool,
    ) -> Page:
        """See `Source`, where unreadable events are always kept."""

    def state(self) -> object:
        """See `Source`."""

    def wait(self, seen: object, seconds: float, /) -> None:
        """Return as soon as the state is another one, or after so many seconds."""

    def join(
        self,
        group: str,
        topics: Collection[str],
        database: str,
        categories: Collection[str] | None,
        /,
    ) -> Membership:
        """Become one of the workers that share the partitions of these topics."""


@runtime_checkable
class Paged(Protocol):
    """A store that can be read in pages, such as the one on Kafka, out of its index."""

    @property
    def types(self) -> EventTypes:
        """The event classes that read it."""

    @property
    def pages(self) -> Pages:
        """Its log."""


class PagedSource:
    """The log of a store that can be read in pages."""

    def __init__(self, store: Paged) -> None:
        self._store = store

    @property
    def types(self) -> EventTypes:
        """The event classes of the store."""
        return self._store.types

    def partitions(self, wanted: EventFilter | None = None) -> Sequence[Partition]:
        """Those of the store, as of when it was opened."""
        return [Partition(*it) for it in self._store.pages.partitions(wanted)]

    def start(self, partition: Partition) -> int:
        """See `Source.start`."""
        return self._store.pages.start(partition)

    def end(self, partition: Partition) -> int:
        """See `Source.end`."""
        return self._store.pages.end(partition)

    def count(self, partition: Partition, after: int) -> int:
        """See `Source.count`."""
        return self._store.pages.count(partition, after)

    def log(self, partition: Partition) -> str:
        """See `Source.log`."""
        return self._store.pages.log(partition)

    def reaches(self, partition: Partition, offset: int) -> bool:
        """See `Source.reaches`."""
        return self._store.pages.reaches(partition, offset)

    def page(self, partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """See `Source.page`."""
        pages = self._store.pages
        return pages.page(partition, wanted, after, limit, keep_unreadable=True)

    def state(self) -> object:
        """See `Source.state`."""
        return self._store.pages.state()

    def wait(self, seen: object, _stop: threading.Event) -> None:
        """See `Source.wait`."""
        self._store.pages.wait(seen, _LONGEST)

    def join(
        self,
        group: str,
        partitions: Collection[Partition],
        database: str,
        categories: Collection[str] | None,
    ) -> Assignment:
        """See `Source.join`."""
        topics = dict.fromkeys(partition.topic for partition in partitions)
        membership = self._store.pages.join(group, list(topics), database, categories)
        return Shared(membership, partitions)


def source_of(store: EventStore) -> Source:
    """How projections read this store.

    Raises:
        ProjectionError: they cannot.
    """
    if isinstance(store, SqliteStore):
        return SqliteSource(store)
    if isinstance(store, Paged):
        return PagedSource(store)
    raise ProjectionError(f"projections cannot read from a {type(store).__name__} yet")
