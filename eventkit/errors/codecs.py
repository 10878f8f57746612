"""Names and bytes that do not lead to one event class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventkit.errors.root import EventkitError

if TYPE_CHECKING:
    from collections.abc import Sequence


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
