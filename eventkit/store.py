"""The seam: what every event store does, and the words in which it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self, cast
from uuid import UUID

from pydantic import BaseModel

from eventkit.errors import EventkitError, InvalidInput
from eventkit.events import (
    Event,
    EventTypes,
    Metadata,
    Position,
    RecordedEvent,
    check_metadata,
    utc,
)
from eventkit.ids import category_of

MAX_EVENTS_PER_APPEND = 100_000


class Append(NamedTuple):
    """One atomic write that is asked for: events of one aggregate.

    Parameters:
        aggregate_id: `category-id`.
        events: at least one, in order.
        expected_version: the version the aggregate must be at; None takes whatever is current.
        metadata: who, when and why, the same for all its events.
        event_ids: one id an event, given by a caller who wants a retry to be safe.
    """

    aggregate_id: str
    events: Sequence[Event]
    expected_version: int | None = None
    metadata: Metadata | None = None
    event_ids: Sequence[UUID] | None = None

    def check(self) -> None:
        """Refuse what no store could write.

        Raises:
            InvalidInput: no events, something that is no event, ids that do not fit the events,
                a negative expected version, metadata that was never validated.
        """
        category_of(self.aggregate_id)
        events, expected = self.events, self.expected_version
        if isinstance(cast("object", events), Event):
            raise InvalidInput("events is a list: write [event]")
        if not 0 < len(events) <= MAX_EVENTS_PER_APPEND:
            raise InvalidInput(
                f"an append takes 1 to {MAX_EVENTS_PER_APPEND:,} events, not {len(events):,}"
            )
        for event in events:
            if not isinstance(event, Event):
                raise InvalidInput(f"only events can be appended, not {type(event).__name__}")
        if self.metadata is not None:
            check_metadata(self.metadata)
        if expected is not None and (type(expected) is not int or expected < 0):
            raise InvalidInput(f"expected_version is 0 or more, or None, not {expected!r}")
        if self.event_ids is not None:
            self._check_event_ids(self.event_ids)

    def _check_event_ids(self, event_ids: Sequence[UUID]) -> None:
        if len(event_ids) != len(self.events):
            raise InvalidInput(f"{len(event_ids)} event ids for {len(self.events)} events")
        for event_id in event_ids:
            if not isinstance(event_id, UUID):
                raise InvalidInput(f"event_ids are uuid.UUID values, not {event_id!r}")
        if len(event_ids) > 1 and len(set(event_ids)) != len(event_ids):
            raise InvalidInput("event_ids holds the same id twice")


def check_together(appends: Sequence[Append]) -> None:
    """Refuse appends that no store could write together.

    Raises:
        InvalidInput: none, an aggregate or an event id twice, more events than one append may
            have, or one that no store could write alone.
    """
    if isinstance(cast("object", appends), Append):
        raise InvalidInput("appends is a list: write [append]")
    if not appends:
        raise InvalidInput("append_all takes at least one append")
    aggregates: set[str] = set()
    event_ids: set[UUID] = set()
    for asked in appends:
        if not isinstance(asked, Append):
            raise InvalidInput(f"append_all takes Append values, not {type(asked).__name__}")
        asked.check()
        if asked.aggregate_id in aggregates:
            raise InvalidInput(
                f"append_all names {asked.aggregate_id} twice: put all its events into one append"
            )
        aggregates.add(asked.aggregate_id)
        given = asked.event_ids or ()
        if not event_ids.isdisjoint(given):
            raise InvalidInput("append_all was given the same event id twice")
        event_ids.update(given)
    events = sum(len(asked.events) for asked in appends)
    if events > MAX_EVENTS_PER_APPEND:
        raise InvalidInput(
            f"append_all takes up to {MAX_EVENTS_PER_APPEND:,} events, not {events:,}"
        )


class Appended(NamedTuple):
    """One append that took effect.

    `version` and `position` are those of its last event. `already_recorded` says that a retry
    found its events in the log and wrote nothing.
    """

    aggregate_id: str
    version: int
    position: Position
    event_ids: tuple[UUID, ...]
    already_recorded: bool = False


class EventFilter(NamedTuple):
    """Which events to replay; what is None does not matter.

    `types` are recorded names. `since` is inclusive, `until` exclusive, so that intervals join.
    """

    types: tuple[str, ...] | None = None
    workspace_id: str | None = None
    categories: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


class Page(NamedTuple):
    """A stretch of the log: its matching events, and how far it was read to find them."""

    events: list[RecordedEvent]
    read_to: int


class PlainEvent(NamedTuple):
    """A recorded event for readers without its class: the body as the writer's schema reads it."""

    event_id: UUID
    aggregate_id: str
    version: int
    type: str
    data: dict[str, Any]
    metadata: Metadata
    position: Position


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of an aggregate at a version, kept to save folding; never the truth.

    Parameters:
        aggregate_id: whose state it is.
        version: how many events are folded into it.
        state: the typed fields, as Avro with the fingerprint of their schema.
        timestamp: the latest timestamp among those events.
        fold: fingerprint of the code that folded them.
    """

    aggregate_id: str
    version: int
    state: bytes
    timestamp: datetime
    fold: str


class SnapshotStore(Protocol):
    """Where a store keeps the newest snapshot of each aggregate."""

    def load_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """The newest snapshot, or None."""

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, unless a newer one with the same fold is there."""

    def encode_state(self, model: type[BaseModel], values: dict[str, object]) -> bytes:
        """The typed fields as Avro; their schema is kept in the store."""

    def decode_state(self, model: type[BaseModel], data: bytes) -> dict[str, object] | None:
        """The typed fields, or None where they were written with another schema."""


class Subscription(Protocol):
    """Recorded events one by one: those that are there, then each new one as it comes.

    To be iterated by one thread. Within an aggregate the order is that of the versions, nothing is
    left out and nothing comes twice; between partitions there is no order. It ends when it is
    closed, or when its store is. An error leaves it where it stands: asked for the next event, it
    tries again.
    """

    @property
    def positions(self) -> list[Position]:
        """Where it stands: as `from_position`, another subscription goes on from here."""

    def __iter__(self) -> Self: ...

    def __next__(self) -> RecordedEvent:
        """The next event; waits until there is one.

        Raises:
            UnknownEventType, CodecError: the next event cannot be read by the classes of today.
            StoreBusy, StoreUnavailable: the log cannot be read.
        """

    def ready(self, most: int, /) -> list[RecordedEvent] | None:
        """The next events, as many as are there and no more than so many; None at the end."""

    def when_ready(self, call: Callable[[], None], /) -> Callable[[], None]:
        """Have a call made, once, from any thread, when there may be more than `ready` found.

        Also when it has ended. Returns what takes it back.
        """

    def close(self) -> None:
        """End it, from any thread; whoever waits for an event is told that there is none."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class EventStore(Protocol):
    """Append, read by aggregate, replay: the three duties, and no way to change history."""

    @property
    def types(self) -> EventTypes:
        """The event classes this store reads and writes."""

    @property
    def snapshots(self) -> SnapshotStore:
        """The snapshots beside the events."""

    def append(
        self,
        aggregate_id: str,
        events: Sequence[Event],
        expected_version: int | None = None,
        metadata: Metadata | None = None,
        event_ids: Sequence[UUID] | None = None,
    ) -> Appended:
        """Write events of one aggregate, all or none; returns when they are durable.

        Parameters: see `Append`.

        Raises:
            ConcurrencyError: the aggregate is not at the expected version.
            DuplicateEventId: an id is taken by other content.
            InvalidInput, CodecError: this append cannot be written at all.
            StoreBusy, StoreUnavailable: this call wrote nothing; try again later. That says
                nothing of an earlier call with the same event ids whose outcome was not known.
            OutcomeUnknown: it cannot be told; retry with the same event ids. A retry is told so as
                well, while this store knows that an earlier call may take effect.
        """

    def append_each(self, appends: Sequence[Append]) -> list[Appended | EventkitError]:
        """Write many appends, each on its own as if by that many callers, in their order.

        Returns one result an append: what was written, or the error it would have raised.

        Raises:
            StoreBusy, StoreUnavailable, StoreClosed: the store could write none of them.
        """

    def append_all(self, appends: Sequence[Append]) -> list[Appended]:
        """Write appends to several aggregates, all or none of them.

        Each has its own expected version, metadata and event ids. With the same event ids a retry
        is safe: where all are recorded it gives the same results and writes nothing.

        Returns one result an append, in their order, once every reader can read all of them. Until
        then a reader may see those of some aggregates before those of others.

        Raises:
            ConcurrencyError, DuplicateEventId: one of them cannot be; nothing of any was written.
            InvalidInput, CodecError: they cannot be written at all; see `check_together`.
            StoreBusy, StoreUnavailable: this call wrote nothing; try again later. See `append`.
            OutcomeUnknown: it cannot be told; retry. Its event ids are those of all, in order.
        """

    def get_events(
        self,
        aggregate_id: str,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
    ) -> list[RecordedEvent]:
        """The events of one aggregate, in order of version.

        Parameters:
            aggregate_id: `category-id`.
            from_version: the first version to read, 1 or more.
            to_version: the last version to read; None reads to the end.
            as_of: a moment; reading stops before the first event that is later.
        """

    def replay(
        self,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[RecordedEvent]:
        """All events that match, in the order of the log, in constant memory.

        What does not match is dropped without decoding its body. Events appended while the
        replay runs may or may not be seen. Parameters: see `EventFilter`.
        """

    def subscribe(
        self,
        from_position: Position | Sequence[Position] | None = None,
        event_types: Sequence[type[Event] | str] | None = None,
        workspace_id: str | None = None,
        categories: Sequence[str] | None = None,
    ) -> Subscription:
        """All events that match, and on with each new one, within some 20 ms; see `Subscription`.

        Parameters:
            from_position: the last event that is known, as its `position` tells; of several
                partitions, one of each. Those that are not named are read from their beginning, so
                a subscription that is to go on keeps its `positions`. None reads all.
            event_types, workspace_id, categories: see `EventFilter`.

        Raises:
            InvalidInput: a position is none of this log, or what `replay` refuses.
        """

    def wait(self, position: Position, timeout: float | None = None) -> None:
        """Return when the event at a position, told by another process, can be read here.

        Parameters:
            position: as `Appended.position` tells it.
            timeout: seconds; that of the store unless given.

        Raises:
            InvalidInput: this log has no such topic or partition.
            StoreUnavailable: the log is not that far, which is `retryable`, or cannot be read.
        """

    def close(self) -> None:
        """Finish what was accepted and let go of everything; a second call does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def event_filter(
    types: EventTypes,
    event_types: Sequence[type[Event] | str] | None = None,
    workspace_id: str | None = None,
    categories: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> EventFilter:
    """The filter that the parameters of `replay` ask for; classes are bound to their names.

    Raises:
        InvalidInput: a datetime without a time zone, a text where a list is meant, what can be
            no category.
    """
    for name, value in (("event_types", event_types), ("categories", categories)):
        if isinstance(value, str):
            raise InvalidInput(f"{name} is a list: write [{value!r}]")
    for category in categories or ():
        if "-" in category:
            raise InvalidInput(
                f"{category!r} is no category: that is what stands before the first '-' of an id"
            )
        category_of(f"{category}-x")
    names: list[str] = []
    for item in event_types or ():
        if isinstance(item, str):
            names.append(item)
        else:
            types.bind(item)
            names.extend(types.names(item))
    return EventFilter(
        types=None if event_types is None else tuple(names),
        workspace_id=workspace_id,
        categories=None if categories is None else tuple(categories),
        since=None if since is None else utc(since),
        until=None if until is None else utc(until),
    )
