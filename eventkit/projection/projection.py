"""What a user writes: a projection, with its tables and its handlers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, get_args

from sqlalchemy import Table

from eventkit.errors import InvalidAggregateId, InvalidProjection
from eventkit.events import Event, EventTypes, RecordedEvent
from eventkit.ids import category_of
from eventkit.projection.handlers import effects_of, handlers_of, with_subclasses
from eventkit.store import EventFilter

BoundHandler = Callable[[RecordedEvent, Any], object]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
RESERVED = "eventkit_"
"""How the tables begin that eventkit keeps beside the read models."""

OnFailure = Literal["park", "stop"]


class Projection:
    """Builds a read model from events.

    Subclass it with a `name`, at least one table and handlers::

        class OpenTasks(Projection):
            name = "open_tasks"
            tasks = Table("open_tasks", MetaData(), Column("task_id", String, primary_key=True))

            @on(TaskCreated)
            def created(self, recorded: RecordedEvent, tx: Transaction) -> None:
                tx.insert(self.tasks, {"task_id": recorded.aggregate_id})

    Reach the tables as `self.tasks`, never by the class or the module: a projection may be run on
    copies of its tables. Write only through `tx`, and keep nothing in the instance: when a batch
    fails, its handlers run again.

    A class without a `name` is a base for others and is not run itself. One that builds nothing,
    and has an `@effect` alone, needs neither tables nor handlers.

    Class attributes:
        name: what the projection is called in commands and in the database.
        version: raise it when the handlers change; the read model then asks to be rebuilt.
        categories: the categories to read; None reads all.
        on_failure: what happens when a handler fails at an event again and again. "park" notes it
            as a dead letter, with all later events of its aggregate, and goes on with the others;
            "stop" ends the run.
        group: the consumer group of its workers on Kafka, to which `.vVERSION` is added; its name
            unless given. Workers of a group share the events, so where the same projection runs
            into two databases, one of the two needs a group of its own.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    categories: ClassVar[Sequence[str] | None] = None
    on_failure: ClassVar[OnFailure] = "park"
    group: ClassVar[str | None] = None

    _eventkit_handlers: ClassVar[Mapping[str, tuple[type[Event], ...]]] = {}
    _eventkit_effects: ClassVar[Mapping[str, tuple[type[Event], ...]]] = {}
    _eventkit_tables: ClassVar[Mapping[str, Table]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._eventkit_handlers = handlers_of(cls)
        cls._eventkit_effects = effects_of(cls)
        cls._eventkit_tables = _tables_of(cls)
        if hasattr(cls, "name"):
            _check(cls)

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Put the tables on the instance, so that it can be pointed at copies of them."""
        if not hasattr(cls, "name"):
            raise InvalidProjection(f"{cls.__name__} has no name: name = 'open_tasks'")
        self = super().__new__(cls)
        self.__dict__.update(cls._eventkit_tables)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} v{self.version}>"


def _tables_of(cls: type[Projection]) -> dict[str, Table]:
    attributes = {name: getattr(cls, name) for owner in cls.__mro__ for name in vars(owner)}
    return {name: value for name, value in attributes.items() if isinstance(value, Table)}


def _check(cls: type[Projection]) -> None:
    """Raise InvalidProjection unless the class can be run."""
    what = cls.__name__
    for attribute in ("name", "group"):
        name: object = getattr(cls, attribute)
        if attribute == "group" and name is None:
            continue
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidProjection(
                f"{what}: {attribute} = {name!r} is no name for a projection; write up to 100 of "
                "the characters A-Z a-z 0-9 _ - beginning with a letter"
            )
    if type(cls.version) is not int or cls.version < 1:
        raise InvalidProjection(f"{what}: version is 1, 2, 3, ..., not {cls.version!r}")
    if cls.on_failure not in get_args(OnFailure):
        raise InvalidProjection(f'{what}: on_failure is "park" or "stop", not {cls.on_failure!r}')
    _check_categories(cls)
    if cls._eventkit_effects and not (cls._eventkit_tables or cls._eventkit_handlers):
        return
    _check_tables(cls)
    if not cls._eventkit_handlers:
        raise InvalidProjection(f"{what} handles no event: mark a method with @on(TaskCreated)")


def _check_categories(cls: type[Projection]) -> None:
    if cls.categories is None:
        return
    if isinstance(cls.categories, str) or not cls.categories:
        raise InvalidProjection(
            f"{cls.__name__}: categories is a list of names, as ['task'], or None for all, "
            f"not {cls.categories!r}"
        )
    for category in cls.categories:
        try:
            category_of(f"{category}-x")
        except InvalidAggregateId as error:
            raise InvalidProjection(
                f"{cls.__name__}: {category!r} is no category: {error.reason}"
            ) from error
        if "-" in category:
            raise InvalidProjection(f"{cls.__name__}: {category!r} is no category: it holds a '-'")


def _check_tables(cls: type[Projection]) -> None:
    tables = list(cls._eventkit_tables.values())
    if not tables:
        raise InvalidProjection(
            f"{cls.__name__} has no table to build: give it a class attribute such as "
            "tasks = Table('open_tasks', MetaData(), Column(...)); without tables it may have "
            "methods with @effect alone"
        )
    names = [table.fullname for table in tables]
    for table in tables:
        if names.count(table.fullname) > 1:
            raise InvalidProjection(f"{cls.__name__} has the table {table.fullname!r} twice")
        if "." in table.name:
            raise InvalidProjection(
                f"{cls.__name__}: the table name {table.name!r} holds a '.'; a schema is told "
                "beside the name: Table('open_tasks', MetaData(), ..., schema='work')"
            )
        if table.name.startswith(RESERVED):
            raise InvalidProjection(
                f"{cls.__name__}: table names that begin with {RESERVED!r} are eventkit's own; "
                f"rename {table.name!r}"
            )


def tables_of(projection: Projection) -> dict[str, Table]:
    """The tables this instance writes to, by attribute name."""
    names = projection._eventkit_tables  # noqa: SLF001 - a function beside the class
    return {name: getattr(projection, name) for name in names}


def _handlers(projection: Projection) -> Mapping[str, tuple[type[Event], ...]]:
    return projection._eventkit_handlers  # noqa: SLF001 - a function beside the class


def effects_on(projection: Projection) -> Mapping[str, tuple[type[Event], ...]]:
    """Its effects, by name, with the classes of which each is one."""
    return projection._eventkit_effects  # noqa: SLF001 - a function beside the class


def has_effects_alone(projection: Projection) -> bool:
    """Whether it builds nothing: it has no tables and no handlers."""
    return not _handlers(projection)


def filter_of(projection: Projection, types: EventTypes) -> EventFilter:
    """The events the projection reads: the names its classes are or were recorded under."""
    return _filter(projection, types, handled_events(projection))


def effects_filter_of(projection: Projection, types: EventTypes) -> EventFilter:
    """The events that it has effects of."""
    return _filter(projection, types, effected_events(projection))


def _filter(
    projection: Projection, types: EventTypes, wanted: Iterable[type[Event]]
) -> EventFilter:
    categories = None if projection.categories is None else tuple(projection.categories)
    classes = dict.fromkeys(wanted)
    if Event in classes:
        return EventFilter(categories=categories)
    types.bind_all(classes)
    names = dict.fromkeys(name for cls in classes for name in types.names(cls))
    return EventFilter(types=tuple(names), categories=categories)


def handled_events(projection: Projection) -> Iterator[type[Event]]:
    """The classes it has handlers for, with all that are derived from them."""
    return _classes_in(_handlers(projection))


def effected_events(projection: Projection) -> Iterator[type[Event]]:
    """The classes it has effects of, with all that are derived from them."""
    return _classes_in(effects_on(projection))


def _classes_in(marked: Mapping[str, tuple[type[Event], ...]]) -> Iterator[type[Event]]:
    for classes in marked.values():
        for cls in classes:
            yield from with_subclasses(cls)


class Dispatch:
    """Finds the handlers of each event class, once a class."""

    def __init__(self, projection: Projection) -> None:
        self._handlers: list[tuple[tuple[type[Event], ...], BoundHandler]] = [
            (classes, getattr(projection, name)) for name, classes in _handlers(projection).items()
        ]
        self._found: dict[type[Event], tuple[BoundHandler, ...]] = {}

    def __call__(self, event_class: type[Event]) -> tuple[BoundHandler, ...]:
        """The handlers of an event class, in the order in which they run."""
        found = self._found.get(event_class)
        if found is None:
            found = tuple(
                handler for classes, handler in self._handlers if issubclass(event_class, classes)
            )
            self._found[event_class] = found
        return found
