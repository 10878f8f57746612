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
│   ├── ReentrantCall            a signal handler called what it interrupted
│   ├── StoreUnavailable         disk full, read-only, not reachable
│   │   ├── KafkaUnavailable     no broker answers, or it does not let us in
│   │   │   └── KafkaNotAllowed  the user lacks a permission
│   │   └── CategoryAdded        open it again: the log has more categories by now
│   ├── TopicUnsafe              a topic is missing, or could lose or reorder history
│   ├── GroupTaken               workers with another database are in a consumer group
│   ├── StoreCorrupted
│   ├── NotAnEventStore          a file of another program, or of a newer eventkit
│   └── OutcomeUnknown           retry with the same event ids
└── ProjectionError              a projection cannot go on
    ├── InvalidProjection        the class is written wrongly
    ├── HandlerFailed
    ├── DeadLetterNotFound       no event is parked under this number (any more)
    ├── CheckpointMoved          another worker runs the same projection
    ├── ProjectionBehind         try again: it did not come to a position in time
    ├── RebuildNeeded            its tables were made by an earlier definition
    └── ReadModelError           the database of the read models
        ├── TableTaken           a table of this name belongs to somebody else
        ├── ReadModelBusy        try again: locked
        └── ReadModelUnavailable disk full, read-only, not reachable
"""

from eventkit.errors.aggregates import (
    AggregateError,
    AggregateNotFound,
    ConcurrencyError,
    DuplicateEventId,
    MissingApply,
)
from eventkit.errors.codecs import (
    AmbiguousEventType,
    CodecError,
    EventTypeError,
    IncompatibleSchema,
    UndecodableEvent,
    UnencodableEvent,
    UnknownEventType,
    UnknownSchema,
    UnsupportedType,
)
from eventkit.errors.inputs import (
    InvalidAggregateId,
    InvalidApp,
    InvalidCloudEvent,
    InvalidInput,
    InvalidSetting,
    InvalidUrl,
)
from eventkit.errors.projections import (
    CheckpointMoved,
    DeadLetterNotFound,
    HandlerFailed,
    InvalidProjection,
    ProjectionBehind,
    ProjectionError,
    ReadModelBusy,
    ReadModelError,
    ReadModelUnavailable,
    RebuildNeeded,
    TableTaken,
)
from eventkit.errors.root import (
    EventkitError,
)
from eventkit.errors.stores import (
    CategoryAdded,
    GroupTaken,
    KafkaNotAllowed,
    KafkaUnavailable,
    NotAnEventStore,
    OutcomeUnknown,
    ReentrantCall,
    StoreBusy,
    StoreClosed,
    StoreCorrupted,
    StoreError,
    StoreUnavailable,
    TopicUnsafe,
)

__all__ = [
    "AggregateError",
    "AggregateNotFound",
    "AmbiguousEventType",
    "CategoryAdded",
    "CheckpointMoved",
    "CodecError",
    "ConcurrencyError",
    "DeadLetterNotFound",
    "DuplicateEventId",
    "EventTypeError",
    "EventkitError",
    "GroupTaken",
    "HandlerFailed",
    "IncompatibleSchema",
    "InvalidAggregateId",
    "InvalidApp",
    "InvalidCloudEvent",
    "InvalidInput",
    "InvalidProjection",
    "InvalidSetting",
    "InvalidUrl",
    "KafkaNotAllowed",
    "KafkaUnavailable",
    "MissingApply",
    "NotAnEventStore",
    "OutcomeUnknown",
    "ProjectionBehind",
    "ProjectionError",
    "ReadModelBusy",
    "ReadModelError",
    "ReadModelUnavailable",
    "RebuildNeeded",
    "ReentrantCall",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupted",
    "StoreError",
    "StoreUnavailable",
    "TableTaken",
    "TopicUnsafe",
    "UndecodableEvent",
    "UnencodableEvent",
    "UnknownEventType",
    "UnknownSchema",
    "UnsupportedType",
]

# Tracebacks and pickles name the place that users import from.
for _name in __all__:
    globals()[_name].__module__ = __name__
