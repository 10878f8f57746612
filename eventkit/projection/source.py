"""The seam to the log: what projections read from, in partitions, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from eventkit.errors import ProjectionError
from eventkit.events import EventTypes
from eventkit.sqlite import SqliteStore
from eventkit.sqlite.rows import TOPIC
from eventkit.store import EventFilter, EventStore, Page


class Partition(NamedTuple):
    """A part of the log that has an order of its own; one aggregate is in one partition."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Source(Protocol):
    """A log to read; offsets are those of the positions in it."""

    @property
    def types(self) -> EventTypes:
        """The event classes that read it."""

    def partitions(self) -> Sequence[Partition]:
        """The partitions to read."""

    def start(self, partition: Partition) -> int:
        """The offset before the first event: the checkpoint of one who has read nothing."""

    def end(self, partition: Partition) -> int:
        """The offset of the newest event, `start` in an empty log."""

    def page(self, partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """Up to `limit` matching events after an offset, and how far the log was read for them."""


class SqliteSource:
    """The log of the embedded store: one partition."""

    _ONLY = Partition(TOPIC, 0)

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    @property
    def types(self) -> EventTypes:
        """The event classes of the store."""
        return self._store.types

    def partitions(self) -> Sequence[Partition]:
        """The one there is."""
        return (self._ONLY,)

    def start(self, _partition: Partition) -> int:
        """Before the first event, which is at 1."""
        return 0

    def end(self, _partition: Partition) -> int:
        """The newest event's offset, or 0."""
        return self._store.last_position()

    def page(self, _partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """See `Source.page`."""
        return self._store.page(wanted, after, limit)


class Pages(Protocol):
    """As `Source`, with partitions that are plain pairs of topic and number."""

    def partitions(self) -> Sequence[tuple[str, int]]:
        """See `Source`."""

    def start(self, partition: tuple[str, int], /) -> int:
        """See `Source`."""

    def end(self, partition: tuple[str, int], /) -> int:
        """See `Source`."""

    def page(
        self, partition: tuple[str, int], wanted: EventFilter, after: int, limit: int, /
    ) -> Page:
        """See `Source`."""


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

    def partitions(self) -> Sequence[Partition]:
        """All of the store, as of when it was opened."""
        return [Partition(*it) for it in self._store.pages.partitions()]

    def start(self, partition: Partition) -> int:
        """See `Source.start`."""
        return self._store.pages.start(partition)

    def end(self, partition: Partition) -> int:
        """See `Source.end`."""
        return self._store.pages.end(partition)

    def page(self, partition: Partition, wanted: EventFilter, after: int, limit: int) -> Page:
        """See `Source.page`."""
        return self._store.pages.page(partition, wanted, after, limit)


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
