"""Event sourcing on Kafka, or embedded on SQLite."""

from eventkit.aggregate import Aggregate
from eventkit.connection import connect
from eventkit.errors import (
    AggregateNotFound,
    ConcurrencyError,
    DuplicateEventId,
    EventkitError,
    OutcomeUnknown,
)
from eventkit.events import Event, Metadata, Position, RecordedEvent
from eventkit.folding import apply
from eventkit.repository import Repository
from eventkit.store import Append, Appended, EventStore

__all__ = [
    "Aggregate",
    "AggregateNotFound",
    "Append",
    "Appended",
    "ConcurrencyError",
    "DuplicateEventId",
    "Event",
    "EventStore",
    "EventkitError",
    "Metadata",
    "OutcomeUnknown",
    "Position",
    "RecordedEvent",
    "Repository",
    "apply",
    "connect",
]
