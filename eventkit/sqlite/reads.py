"""How a log is asked for its events: the same words for every store and what lies behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from eventkit.codec import AvroCodec
from eventkit.events import Event, EventTypes, Position, RecordedEvent
from eventkit.replaying import Replay
from eventkit.sqlite.rows import plain, recorded
from eventkit.store import EventFilter, PlainEvent, event_filter

T = TypeVar("T")
Read = Callable[[Sequence[Any], AvroCodec, Callable[[int], Position]], T]
"""Makes of a row what is asked for: `recorded` or `plain`."""
Versions = tuple[str, int, int | None, datetime | None]
"""Of one aggregate: its id, the first and the last version, the moment after which it ends."""


class Reads(ABC):
    """The reading half of a store, by two questions that each answers in its own way."""

    _types: EventTypes

    @abstractmethod
    def events_of(self, read: Read[T], asked: Versions) -> list[T]:
        """The events of one aggregate."""

    @abstractmethod
    def events_where(self, read: Read[T], wanted: EventFilter) -> Replay[T]:
        """All events that match, up to the newest at the start."""

    def get_events(
        self,
        aggregate_id: str,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
    ) -> list[RecordedEvent]:
        """The events of one aggregate; see `EventStore.get_events`."""
        return self.events_of(recorded, (aggregate_id, from_version, to_version, as_of))

    def plain_events_of(
        self,
        aggregate_id: str,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
    ) -> list[PlainEvent]:
        """The events of one aggregate, their bodies read without any event class."""
        return self.events_of(plain, (aggregate_id, from_version, to_version, as_of))

    def replay(
        self,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[RecordedEvent]:
        """All events that match, up to the newest at the start; see `EventStore.replay`."""
        wanted = event_filter(self._types, event_types, workspace_id, categories, since, until)
        return self.events_where(recorded, wanted)

    def plain_events(self, wanted: EventFilter) -> Replay[PlainEvent]:
        """All events that match, their bodies read without any event class."""
        return self.events_where(plain, wanted)
