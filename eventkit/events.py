"""What is recorded: events, their metadata and their place in the log."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, NoReturn, cast
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from typing_extensions import TypeVar

from eventkit.errors import AmbiguousEventType, EventkitError, InvalidInput, UnknownEventType


class Event(BaseModel):
    """A fact of the past, named in the past tense; subclass it with typed fields.

    The class name is the recorded type. A class can be renamed without touching history::

        class TaskAdded(Event, event_type="TaskCreated"): ...   # goes on writing TaskCreated
        class TaskAdded(Event, aliases=("TaskCreated",)): ...   # writes TaskAdded, reads both

    Events are frozen, refuse unknown fields and compare by content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    _eventkit_type: ClassVar[str] = "Event"
    _eventkit_aliases: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(
        cls, *, event_type: str | None = None, aliases: Sequence[str] = (), **kwargs: Any
    ) -> None:
        """Let the class options pass: `__pydantic_init_subclass__` gets them with the fields."""
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, event_type: str | None = None, aliases: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if isinstance(aliases, str):
            raise InvalidInput(f"{cls.__name__}: aliases is a tuple of names, as ({aliases!r},)")
        cls._eventkit_type = event_type or cls.__name__
        cls._eventkit_aliases = tuple(aliases)
        ALL_EVENT_TYPES.bind(cls)


def event_type(event: Event | type[Event]) -> str:
    """The name under which an event, or the events of a class, are recorded."""
    return event._eventkit_type  # noqa: SLF001 - kept out of the way of users' field names


def qualified_name(cls: type) -> str:
    """`module.Class`, the name a message can point at."""
    return f"{cls.__module__}.{cls.__qualname__}"


class EventTypes:
    """Which class reads which recorded type.

    Every event class is known to the process. Two classes may share a name (two test modules,
    two bounded contexts) as long as nobody asks for that name without having said which one is
    meant: a store has an `EventTypes` of its own, in which the classes it was used with come first.
    """

    def __init__(self, parent: EventTypes | None = None) -> None:
        self._parent = parent
        self._claims: dict[str, dict[str, type[Event]]] = {}
        self._bound: set[type[Event]] = set()
        self._lock = threading.Lock()

    def bind(self, cls: type[Event]) -> None:
        """Let `cls` read its recorded type and aliases; a class defined again replaces itself."""
        if cls in self._bound:
            return
        with self._lock:
            for name in (cls._eventkit_type, *cls._eventkit_aliases):
                self._claims.setdefault(name, {})[qualified_name(cls)] = cls
            self._bound.add(cls)

    def bind_to_write(self, cls: type[Event]) -> None:
        """`bind`, unless the name that `cls` records is one by which others are read here.

        Events of both would stand in the log under one name, and nobody could read either again.

        Raises:
            AmbiguousEventType: another class has that name, or that alias; nothing was changed.
            InvalidInput: it is `Event` itself.
        """
        if cls is Event:
            raise InvalidInput("Event itself tells nothing: append events of a class made of it")
        name = cls._eventkit_type
        with self._lock:
            others = {*self._claims.get(name, ())} - {qualified_name(cls)}
        if others:
            raise AmbiguousEventType(name, sorted({*others, qualified_name(cls)}))
        self.bind(cls)

    def bind_all(self, classes: Iterable[type[Event]]) -> None:
        """`bind` each of the classes."""
        for cls in classes:
            self.bind(cls)

    def resolve(self, name: str) -> type[Event]:
        """The class that reads the recorded type `name`.

        Raises:
            UnknownEventType: no class does.
            AmbiguousEventType: several classes claim it.
        """
        claims = self._claims.get(name)
        if not claims:
            if self._parent is None:
                raise UnknownEventType(name)
            return self._parent.resolve(name)
        if len(claims) > 1:
            raise AmbiguousEventType(name, sorted(claims))
        return next(iter(claims.values()))

    def names(self, cls: type[Event]) -> tuple[str, ...]:
        """Every recorded type that `cls` reads: its own name first, then its aliases."""
        return (cls._eventkit_type, *cls._eventkit_aliases)

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._bound)


ALL_EVENT_TYPES = EventTypes()
"""Every event class defined in this process."""


def utc(moment: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        InvalidInput: it is no datetime, or one without a time zone, so that it names no instant.
    """
    if not isinstance(moment, datetime):
        raise InvalidInput(f"a moment is a datetime with a time zone, not {moment!r}")
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise InvalidInput(
            f"{moment.isoformat()} has no time zone; write datetime(..., tzinfo=UTC) "
            "or add an offset."
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"{moment.isoformat()} lies before year 1 or after 9999") from error


def _text(value: object) -> object:
    """Take ids as text, and refuse half a character (a lone surrogate): no store can keep it."""
    if isinstance(value, str) and not value.isascii():
        value.encode()
    return str(value) if isinstance(value, UUID) else value


_Utc = Annotated[AwareDatetime, AfterValidator(utc)]
_Text = Annotated[str, BeforeValidator(_text)]


class Metadata(BaseModel):
    """Who, when and why: what is known of an event beside its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestamp: _Utc | None = Field(
        default=None,
        description="When it happened, with a time zone; set at append unless given.",
    )
    caused_by_user: _Text | None = Field(default=None, description="Who did it.")
    causation_id: _Text | None = Field(
        default=None, description="The command or event that led to it."
    )
    correlation_id: _Text | None = Field(
        default=None, description="The conversation that it belongs to."
    )
    workspace_id: _Text | None = Field(default=None, description="The tenant that it belongs to.")
    extra: dict[_Text, _Text] = Field(
        default_factory=dict, description="Anything else that is known, text to text."
    )


def check_metadata(metadata: Metadata) -> None:
    """Refuse metadata with a value that no store could write.

    `Metadata(...)` takes none, but pydantic checks nothing where a copy is made with changed values
    (`model_copy(update=...)`), or an instance without validation (`model_construct`).

    Raises:
        InvalidInput: a value is of another type, or missing, or of no field.
    """
    if not isinstance(cast("object", metadata), Metadata):
        raise InvalidInput(f"metadata is a Metadata, not {type(metadata).__name__}")
    values = metadata.__dict__
    if _is_plain(*values.values()):
        return
    try:
        checked = type(metadata).model_validate(values).__dict__
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _unchecked(".".join(map(str, first["loc"])), first["msg"]) from error
    for name, value in checked.items():
        if name not in values:
            raise _unchecked(name, "it has no value")
        if value != values[name]:
            kind = type(values[name]).__name__
            raise _unchecked(name, f"a {kind} is not what is kept, but {value!r} is")


def _is_plain(
    timestamp: object = None,
    user: object = None,
    causation: object = None,
    correlation: object = None,
    workspace: object = None,
    extra: object = None,
    *others: object,
) -> bool:
    """Whether values of metadata are as validation leaves them; costs a fifth of it."""
    return (
        (timestamp is None or (type(timestamp) is datetime and timestamp.tzinfo is UTC))
        and (user is None or _is_text(user))
        and (causation is None or _is_text(causation))
        and (correlation is None or _is_text(correlation))
        and (workspace is None or _is_text(workspace))
        and type(extra) is dict
        and (not extra or all(_is_text(it) for each in extra.items() for it in each))
        and not others
    )


def _is_text(value: object) -> bool:
    """Whether it is a text, and holds no half of a character (a lone surrogate)."""
    try:
        return type(value) is str and (value.isascii() or value.encode() != b"")
    except UnicodeEncodeError:
        return False


def _unchecked(name: str, reason: str) -> InvalidInput:
    return InvalidInput(
        f"metadata.{name} cannot be written: {reason}. model_copy(update=...) and model_construct "
        "check nothing; make it with Metadata(...)."
    )


class Position(NamedTuple):
    """A place in the log. Compare positions of one partition only; treat the parts as opaque."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


_E_co = TypeVar("_E_co", bound=Event, covariant=True, default=Event)


class RecordedEvent(Generic[_E_co]):
    """An event as the store holds it; immutable, compared by all its parts.

    A handler that gets one type of event may say so: `recorded: RecordedEvent[TaskCreated]`.

    Parameters:
        event_id: its own id.
        aggregate_id: `category-id`.
        version: its number among the events of the aggregate, from 1.
        type: the recorded name of its type.
        event: the event itself.
        metadata: who, when and why; the timestamp is always there.
        position: its place in the log.
    """

    __slots__ = ("aggregate_id", "event", "event_id", "metadata", "position", "type", "version")
    __match_args__ = (
        "event_id", "aggregate_id", "version", "type", "event", "metadata", "position",
    )  # fmt: skip

    event_id: UUID
    aggregate_id: str
    version: int
    type: str
    event: _E_co
    metadata: Metadata
    position: Position

    def __init__(
        self,
        event_id: UUID,
        aggregate_id: str,
        version: int,
        type: str,  # noqa: A002 - the public name of the field
        event: _E_co,
        metadata: Metadata,
        position: Position,
    ) -> None:
        values = (event_id, aggregate_id, version, type, event, metadata, position)
        for name, value in zip(self.__match_args__, values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC."""
        moment = self.metadata.timestamp
        assert moment is not None  # noqa: S101 - set at append
        return moment

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a recorded event never changes; {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a recorded event never changes; {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RecordedEvent):
            return NotImplemented
        return _parts(self) == _parts(other)

    def __hash__(self) -> int:
        return hash(self.event_id)

    def __repr__(self) -> str:
        parts = zip(self.__match_args__, _parts(self), strict=True)
        return f"RecordedEvent({', '.join(f'{name}={value!r}' for name, value in parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordedEvent, _parts(self)


class UnreadableEvent(RecordedEvent):
    """One that cannot be read today: to ask for its `event` raises why.

    Where more of it than the body is damaged, to ask for that raises as well; its aggregate id,
    version, type and position are there in any case, as far as they can be told.

    Parameters:
        aggregate_id, version, type, position: as of `RecordedEvent`.
        event_id, metadata: as well; None where they cannot be read.
        error: why it cannot be read.
    """

    __slots__ = ("error",)
    error: EventkitError

    def __init__(
        self,
        event_id: UUID | None,
        aggregate_id: str,
        version: int,
        type: str,  # noqa: A002 - the public name of the field
        error: EventkitError,
        metadata: Metadata | None,
        position: Position,
    ) -> None:
        names = ("event_id", "aggregate_id", "version", "type", "error", "metadata", "position")
        values = (event_id, aggregate_id, version, type, error, metadata, position)
        for name, value in zip(names, values, strict=True):
            if value is not None:
                object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> NoReturn:
        """Called for a slot that is empty, as that of the event."""
        if name in self.__match_args__:
            raise self.error
        raise AttributeError(f"a recorded event has no {name!r}")

    def __repr__(self) -> str:
        return f"UnreadableEvent({self.aggregate_id!r}, {self.version}, {self.error})"


def _parts(recorded: RecordedEvent) -> tuple[object, ...]:
    return tuple(getattr(recorded, name) for name in RecordedEvent.__match_args__)
