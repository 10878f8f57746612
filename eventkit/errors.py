"""Every error eventkit raises, in one tree.

EventkitError
├── InvalidInput                 a value handed in cannot be used (also a ValueError)
│   ├── InvalidAggregateId
│   ├── InvalidUrl
│   ├── InvalidSetting           a setting of Kafka's clients cannot be used
│   ├── InvalidApp               the module with the user's classes cannot be used
│   └── InvalidCloudEvent        a line of an import cannot be used
├── ConcurrencyError             somebody else appended first: load again, decide again
├── DuplicateEventId             an event id is taken by other content
├── AggregateNotFound            no events (yet) under this id, or not up to that version
├── AggregateError               an aggregate class cannot fold what it was given
│   └── MissingApply
├── EventTypeError               the name of an event type does not lead to one class
│   ├── UnknownEventType
│   └── AmbiguousEventType
├── CodecError                   bytes and classes do not fit together
│   ├── UnsupportedType
│   ├── UnencodableEvent
│   ├── UndecodableEvent
│   ├── UnknownSchema
│   └── IncompatibleSchema
├── StoreError                   the event store itself
│   ├── StoreClosed
│   ├── StoreBusy                try again: locked, or the queue is full
│   ├── StoreUnavailable         disk full, read-only, not reachable
│   │   └── KafkaUnavailable     no broker answers, or it does not let us in
│   │       └── KafkaNotAllowed  the user lacks a permission
│   ├── TopicUnsafe              a topic is missing, or could lose or reorder history
│   ├── StoreCorrupted
│   ├── NotAnEventStore          a file of another program, or of a newer eventkit
│   └── OutcomeUnknown           retry with the same event ids
└── ProjectionError              a projection cannot go on
    ├── InvalidProjection        the class is written wrongly
    ├── HandlerFailed
    ├── CheckpointMoved          another worker runs the same projection
    ├── RebuildNeeded            its tables were made by an earlier definition
    └── ReadModelError           the database of the read models
        ├── TableTaken           a table of this name belongs to somebody else
        ├── ReadModelBusy        try again: locked
        └── ReadModelUnavailable disk full, read-only, not reachable
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class EventkitError(Exception):
    """Base of all errors of eventkit.

    `retryable` says whether the same call may succeed later; `where` names the recorded event that
    the error was met at, if it was met while reading one.
    """

    retryable = False
    where: str | None = None

    def located(self, where: str) -> Self:
        """The same error, which from now on says where in the log it was met."""
        self.where = where
        self.args = (f"{where}: {self}",)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors can be copied and sent to another process, whatever their constructors take."""
        return _rebuilt, (type(self), self.args), vars(self)


def _rebuilt(cls: type[EventkitError], args: tuple[object, ...]) -> EventkitError:
    return cls.__new__(cls, *args)


class InvalidInput(EventkitError, ValueError):
    """A value handed to eventkit cannot be used; the message says which and why."""


class InvalidAggregateId(InvalidInput):
    """An aggregate id that is not `category-id`."""

    def __init__(self, aggregate_id: object, reason: str) -> None:
        super().__init__(
            f"{aggregate_id!r} is not an aggregate id: {reason}. "
            "Write it as category-id, for example 'task-42'."
        )
        self.aggregate_id, self.reason = aggregate_id, reason


class InvalidUrl(InvalidInput):
    """A store URL that leads to no store."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url!r} is not a store URL: {reason}")
        self.url, self.reason = url, reason


class InvalidSetting(InvalidInput):
    """A setting of Kafka's clients cannot be used; the message says which and why."""


class InvalidApp(InvalidInput):
    """The module with the user's classes is missing, fails, or lacks what a command needs."""


class InvalidCloudEvent(InvalidInput):
    """Text that is no CloudEvent in JSON, or none that an event class of this process reads."""


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


class EventTypeError(EventkitError):
    """The recorded name of an event type does not lead to exactly one class."""


class UnknownEventType(EventTypeError):
    """No event class of this process reads the recorded type."""

    def __init__(self, event_type: str) -> None:
        super().__init__(
            f"no event class reads the recorded type {event_type!r}. Import the module that "
            f"defines it (CLI: --app), or, if the class was renamed, give it "
            f"aliases=({event_type!r},)."
        )
        self.event_type = event_type


class AmbiguousEventType(EventTypeError):
    """Several event classes claim the same recorded type."""

    def __init__(self, event_type: str, claimants: Sequence[str]) -> None:
        super().__init__(
            f"{len(claimants)} event classes are called {event_type!r}: {', '.join(claimants)}. "
            "Give one of them another recorded name: class X(Event, event_type='...')."
        )
        self.event_type, self.claimants = event_type, tuple(claimants)


class CodecError(EventkitError):
    """Bytes and classes do not fit together."""


class UnsupportedType(CodecError):
    """A field of a class has a type that has no Avro form."""

    def __init__(self, type_name: str, reason: str) -> None:
        super().__init__(f"{type_name} has no Avro schema: {reason}")
        self.type_name, self.reason = type_name, reason


class UnencodableEvent(CodecError):
    """An event holds a value that its Avro schema cannot carry."""

    def __init__(self, event_type: str, reason: str) -> None:
        super().__init__(f"{event_type} cannot be written: {reason}")
        self.event_type, self.reason = event_type, reason


class UndecodableEvent(CodecError):
    """The bytes of a record do not fit the schema they name: they are damaged."""

    def __init__(self, event_type: str, fingerprint: str, reason: str) -> None:
        super().__init__(
            f"a record of type {event_type!r} cannot be read with its schema {fingerprint}: "
            f"{reason}. It is damaged, or was written by another program."
        )
        self.event_type, self.fingerprint, self.reason = event_type, fingerprint, reason


class UnknownSchema(CodecError):
    """The schema a record was written with is not in the store."""

    def __init__(self, fingerprint: str, event_type: str) -> None:
        super().__init__(
            f"a record of type {event_type!r} was written with schema {fingerprint}, which this "
            "store does not hold; the record cannot be read without it."
        )
        self.fingerprint, self.event_type = fingerprint, event_type


class IncompatibleSchema(CodecError):
    """Today's class cannot read a record written with an older (or newer) schema."""

    def __init__(self, event_type: str, fingerprint: str, reason: str) -> None:
        super().__init__(
            f"{event_type} of today cannot read a record written with schema {fingerprint}: "
            f"{reason}. Give added fields a default and keep the types of the others."
        )
        self.event_type, self.fingerprint, self.reason = event_type, fingerprint, reason


class StoreError(EventkitError):
    """Something is wrong with the event store, not with what was asked of it."""


class StoreClosed(StoreError):
    """The store was closed, or belongs to another process."""

    def __init__(self, what: str, reason: str = "is closed") -> None:
        super().__init__(f"{what} {reason}; open it again with connect().")
        self.what = what


class StoreBusy(StoreError):
    """Others kept the store busy for longer than the time-out; nothing was written."""

    retryable = True


class StoreUnavailable(StoreError):
    """The store cannot be read or written now; the message says why and how to go on."""


class KafkaUnavailable(StoreUnavailable):
    """No broker answers in time, or it does not let this client in."""

    retryable = True

    def __init__(self, bootstrap: str, reason: str) -> None:
        super().__init__(f"Kafka at {bootstrap} cannot be used: {reason}")
        self.bootstrap, self.reason = bootstrap, reason


class KafkaNotAllowed(KafkaUnavailable):
    """The user of Kafka lacks a permission; the message says which."""

    retryable = False


class TopicUnsafe(StoreError):
    """A topic is missing, or could lose or reorder history; each finding says how to mend it."""

    def __init__(self, findings: Sequence[object]) -> None:
        super().__init__("\n".join(["the topics are not safe to use:", *map(str, findings)]))
        self.findings = tuple(findings)


class StoreCorrupted(StoreError):
    """The store's data is damaged."""


class NotAnEventStore(StoreError):
    """The file or address holds something else, or a newer format."""


class OutcomeUnknown(StoreError):
    """It cannot be told whether the append took effect; retry with the same event ids."""

    retryable = True

    def __init__(self, event_ids: Sequence[UUID], reason: str) -> None:
        super().__init__(
            f"it is not known whether the append of {len(event_ids)} event(s) took effect: "
            f"{reason}. Retry it with event_ids=error.event_ids: what is already there is not "
            "written twice."
        )
        self.event_ids, self.reason = tuple(event_ids), reason


class ProjectionError(EventkitError):
    """A projection is declared wrongly or cannot go on."""


class InvalidProjection(ProjectionError):
    """A projection class cannot be run the way it is written."""


class HandlerFailed(ProjectionError):
    """A projection's handler raised; the events before it are in the read model, it is not."""

    def __init__(
        self,
        projection: str,
        event_type: str,
        aggregate_id: str,
        version: int,
        position: str,
        cause: BaseException,
    ) -> None:
        first_line = str(cause).partition("\n")[0]  # SQLAlchemy adds the statement and a link
        super().__init__(
            f"projection {projection} failed on {event_type}, {aggregate_id} version {version} at "
            f"{position}: {type(cause).__name__}: {first_line}. The read model "
            "holds all events before it; mend the handler and run again."
        )
        self.projection = projection
        self.event_type = event_type
        self.aggregate_id = aggregate_id
        self.version = version
        self.position = position


class CheckpointMoved(ProjectionError):
    """Somebody else moved this projection's checkpoint: two workers run the same projection."""

    retryable = True

    def __init__(self, projection: str, expected: int, actual: int | None) -> None:
        found = (
            "its tables were made anew"
            if actual is None
            else f"its checkpoint is at {actual}, not at {expected}"
        )
        super().__init__(
            f"projection {projection}: {found}; another worker runs or rebuilds it. This batch was "
            "given up; stop one of the two."
        )
        self.projection, self.expected, self.actual = projection, expected, actual


class RebuildNeeded(ProjectionError):
    """The tables in the database were made by another version or definition of the projection."""

    def __init__(self, projection: str, reason: str) -> None:
        super().__init__(
            f"projection {projection}: {reason}. Nothing was changed; rebuild it (Runner.rebuild, "
            f"or: eventkit projection rebuild {projection})."
        )
        self.projection, self.reason = projection, reason


class ReadModelError(ProjectionError):
    """Something is wrong with the database of the read models."""


class TableTaken(ReadModelError):
    """A table of this name is there already, and belongs to something else."""

    def __init__(self, projection: str, table: str, owner: str) -> None:
        super().__init__(
            f"projection {projection}: the table {table!r} belongs to {owner}; nothing was "
            "changed. Give the projection's table another name, or use another database."
        )
        self.projection, self.table, self.owner = projection, table, owner


class ReadModelBusy(ReadModelError):
    """Others kept the database locked for longer than the time-out; nothing was written."""

    retryable = True


class ReadModelUnavailable(ReadModelError):
    """The database cannot be read or written now; the message says why and how to go on."""
