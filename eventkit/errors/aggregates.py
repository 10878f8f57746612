"""Appending to aggregates, loading and folding them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventkit.errors.root import EventkitError

if TYPE_CHECKING:
    from uuid import UUID


class ConcurrencyError(EventkitError):
    """The aggregate is not at the expected version; nothing was written."""

    retryable = True

    def __init__(self, aggregate_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{aggregate_id} is at version {actual}, not at the expected {expected}; nothing was "
            "written. Load it again and decide again (Repository.execute does both)."
        )
        self.aggregate_id, self.expected, self.actual = aggregate_id, expected, actual


class DuplicateEventId(EventkitError):
    """An event id given by the caller already belongs to something else; nothing was written."""

    def __init__(self, event_id: UUID, aggregate_id: str, version: int, reason: str) -> None:
        super().__init__(
            f"event id {event_id} is taken by {aggregate_id} version {version}, and {reason}; "
            "nothing was written. Use a new id for a new event, and for a retry exactly the same "
            "events, ids and expected version."
        )
        self.event_id = event_id
        self.aggregate_id = aggregate_id
        self.version = version
        self.reason = reason


class AggregateNotFound(EventkitError, LookupError):
    """There are no events under this aggregate id, or not as many as asked for."""

    def __init__(self, aggregate_id: str, detail: str = "has no events") -> None:
        super().__init__(f"{aggregate_id} {detail}")
        self.aggregate_id, self.detail = aggregate_id, detail


class AggregateError(EventkitError):
    """An aggregate class cannot be used the way it is written or called."""


class MissingApply(AggregateError):
    """The aggregate class has no apply method for an event it was given."""

    def __init__(self, aggregate_type: str, event_type: str) -> None:
        super().__init__(
            f"{aggregate_type} has no @apply method for {event_type}. Add one; if the event "
            "changes nothing in the state, let the method do nothing."
        )
        self.aggregate_type, self.event_type = aggregate_type, event_type
