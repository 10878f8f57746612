"""Aggregates: the present, computed by folding events."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel

from eventkit.errors import AggregateError, MissingApply
from eventkit.events import Event, RecordedEvent, event_type
from eventkit.folding import Apply, apply_table, find_apply
from eventkit.ids import category_of, new_event_id
from eventkit.mutability import own_copy
from eventkit.state import StateFields


class Pending(NamedTuple):
    """An event recorded by an aggregate and not saved yet.

    It has its id already, so that saving again after an unknown outcome is safe.
    """

    event_id: UUID
    event: Event


class Aggregate:
    """An entity whose state is what its events made of it.

    Subclass it with typed fields (the state), methods that decide and `record` events, and
    `@apply` methods, one an event class, that change the state::

        class Task(Aggregate):
            title: str
            done: bool = False

            def complete(self) -> None:
                if self.done:
                    raise ValueError("already done")
                self.record(TaskCompleted())

            @apply
            def _completed(self, event: TaskCompleted) -> None:
                self.done = True

    Instead of `@apply` methods a class may define `def apply(self, event)` itself, as one `match`.
    A field without a default does not exist until an event sets it. Each aggregate has its own
    copies of defaults; what all share is typed `ClassVar`, or named in capitals. Fields whose names
    begin with `_` are no part of the state: no snapshot is taken of an aggregate that changed one,
    because the snapshot would lose it. `category` is the part of the aggregate ids before the `-`;
    it defaults to the class name in snake case.
    """

    __slots__ = ("_aggregate_id", "_pending", "_version")

    _eventkit_category: ClassVar[str] = "aggregate"
    _eventkit_fields: ClassVar[StateFields]
    _eventkit_declared: ClassVar[dict[type[Event], Apply] | None] = None
    _eventkit_table: ClassVar[dict[type[Event], Apply] | None] = None  # and what was looked up

    def __init_subclass__(cls, *, category: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._eventkit_category = category or _snake_case(cls.__name__)
        if "-" in cls._eventkit_category:
            raise AggregateError(
                f"{cls.__name__} cannot have the category {cls._eventkit_category!r}: a category "
                "ends at the first '-' of an aggregate id. Write '_' instead."
            )
        category_of(f"{cls._eventkit_category}-x")
        cls._eventkit_fields = StateFields(cls, Aggregate)
        try:
            cls._eventkit_declared = apply_table(cls)
        except NameError:  # an event class defined further down: resolved at the first event
            cls._eventkit_declared = None
        cls._eventkit_table = cls._eventkit_declared and dict(cls._eventkit_declared)

    def __init__(self, aggregate_id: str = "") -> None:
        """A new aggregate at version 0.

        Parameters:
            aggregate_id: `category-id`; without one it can be folded and tested, but not saved.
        """
        if aggregate_id:
            category_of(aggregate_id)
        self._aggregate_id = aggregate_id
        self._version = 0
        self._pending: list[Pending] = []
        self.__dict__.update(self._eventkit_fields.fresh())

    @property
    def aggregate_id(self) -> str:
        """`category-id`, or an empty string."""
        return self._aggregate_id

    @property
    def version(self) -> int:
        """How many events this state is made of, those not saved yet included."""
        return self._version

    @property
    def pending_events(self) -> tuple[Event, ...]:
        """The events recorded since the aggregate was loaded or saved, oldest first."""
        return tuple(item.event for item in self._pending)

    def record(self, event: Event) -> None:
        """Apply a new event and keep it for the next save.

        What is kept is the event as it is now: where it holds lists, dicts or models, neither what
        apply methods do with them nor what the caller does changes what is saved.

        Raises:
            MissingApply: the class has no apply method for it; nothing was recorded.
        """
        kept = own_copy(event)
        self.apply(own_copy(kept))
        self._version += 1
        self._pending.append(Pending(new_event_id(), kept))

    def apply(self, event: Event) -> None:
        """The fold: change the state by one event, through the `@apply` method of its class."""
        table = self._eventkit_table
        method = None if table is None else table.get(type(event))
        (method or self._apply_for(type(event)))(self, event)

    @classmethod
    def replay_from(cls, events: Iterable[Event | RecordedEvent], aggregate_id: str = "") -> Self:
        """The aggregate that these events, in order from the first on, make; they stay as they are.

        Parameters:
            events: events, or recorded events (these also tell the aggregate id).
            aggregate_id: the id, where plain events do not tell it.

        Raises:
            MissingApply: the class has no apply method for one of them.
            AggregateError: recorded events with a gap, or of several aggregates.
        """
        aggregate = cls(aggregate_id)
        for item in events:
            if isinstance(item, RecordedEvent):
                aggregate._aggregate_id = aggregate._aggregate_id or item.aggregate_id
                fold(aggregate, (item,), shared=True)
            else:
                aggregate.apply(own_copy(item))
                aggregate._version += 1
        return aggregate

    @classmethod
    def _apply_for(cls, event_class: type[Event]) -> Apply:
        declared = cls._declared()
        method = find_apply(declared, event_class)
        if method is None:
            raise MissingApply(cls.__name__, event_type(event_class))
        if cls._eventkit_table is None:
            cls._eventkit_table = dict(declared)
        cls._eventkit_table[event_class] = method
        return method

    @classmethod
    def _declared(cls) -> dict[type[Event], Apply]:
        if cls._eventkit_declared is None:
            try:
                cls._eventkit_declared = apply_table(cls)
            except NameError as error:
                raise AggregateError(
                    f"an @apply method of {cls.__name__} is typed with a class that is not "
                    f"defined: {error}. Define it in the module, or above the aggregate."
                ) from error
        return cls._eventkit_declared

    def __repr__(self) -> str:
        fields = "".join(f", {name}={value!r}" for name, value in state_of(self).items())
        return f"{type(self).__name__}({self._aggregate_id!r}, version={self._version}{fields})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Aggregate):
            return NotImplemented
        mine = (self._aggregate_id, self._version, state_of(self))
        return mine == (other._aggregate_id, other._version, state_of(other))

    __hash__ = None  # type: ignore[assignment]  # its state changes


# What the rest of eventkit does with aggregates are functions, so that the names of methods stay
# free for the words of the user's domain.


def category_of_class(cls: type[Aggregate]) -> str:
    """The category of the aggregates of a class."""
    return cls._eventkit_category


def applied_events(cls: type[Aggregate]) -> tuple[type[Event], ...]:
    """The event classes that have an `@apply` method."""
    return tuple(cls._declared())


def apply_methods(cls: type[Aggregate]) -> dict[type[Event], str]:
    """The name of the `@apply` method of each event class that has one."""
    return {event_class: method.__name__ for event_class, method in cls._declared().items()}


def state_model(cls: type[Aggregate]) -> type[BaseModel]:
    """The typed fields of a class as a pydantic model.

    Raises:
        AggregateError: the type of a field cannot be resolved or is none that pydantic knows.
    """
    return cls._eventkit_fields.model


def state_of(aggregate: Aggregate) -> dict[str, Any]:
    """The typed fields that are set, by name."""
    names = aggregate._eventkit_fields.names
    return {name: getattr(aggregate, name) for name in names if hasattr(aggregate, name)}


def undeclared_state(aggregate: Aggregate) -> set[str]:
    """Attributes set on the aggregate that are no part of its state: no snapshot keeps them.

    Private fields count only while they are not as a new aggregate has them.
    """
    fields, values = aggregate._eventkit_fields, vars(aggregate)
    return values.keys() - {*fields.names} - {*fields.unchanged(values)}


def restore(aggregate: Aggregate, version: int, values: Mapping[str, Any]) -> None:
    """Put a new aggregate where a snapshot was taken."""
    aggregate._version = version
    vars(aggregate).update(values)


def fold(
    aggregate: Aggregate, recorded_events: Iterable[RecordedEvent], *, shared: bool = False
) -> None:
    """Apply recorded events that follow the present version.

    Parameters:
        aggregate: goes on from its present version.
        recorded_events: those that follow.
        shared: whether somebody else may hold the events. If not, as when they were read for this
            fold alone, the state may take over what they hold.

    Raises:
        AggregateError: there is a gap, or they are of another aggregate.
        MissingApply: the class has no apply method for one of them.
    """
    apply, aggregate_id, version = aggregate.apply, aggregate._aggregate_id, aggregate._version
    for recorded in recorded_events:
        version += 1
        if recorded.version != version or recorded.aggregate_id != aggregate_id:
            raise AggregateError(
                f"{aggregate_id} at version {version - 1} cannot go on with "
                f"{recorded.aggregate_id} version {recorded.version}."
            )
        apply(own_copy(recorded.event) if shared else recorded.event)
        aggregate._version = version


def pending_of(aggregate: Aggregate) -> tuple[Pending, ...]:
    """What is recorded and not saved, with the ids it will have."""
    return tuple(aggregate._pending)


def saved(aggregate: Aggregate, count: int) -> None:
    """Forget the oldest pending events: they are in the store."""
    del aggregate._pending[:count]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
