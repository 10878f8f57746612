"""Which handlers an event goes to: the `@on` decorator and its table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from eventkit.errors import InvalidProjection
from eventkit.events import Event

Handler = Callable[[Any, Any, Any], object]
"""`def created(self, recorded: RecordedEvent, tx: Transaction) -> None`."""
_Method = TypeVar("_Method", bound=Handler)
_MARK = "_eventkit_on"
_PARAMETERS = 3
_NOT_PLAIN = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)
"""Calling one of these would not run its body."""


def on(*event_classes: type[Event]) -> Callable[[_Method], _Method]:
    """Mark a method of a projection as the handler of event classes.

    It gets every event of these classes and of their subclasses; `@on(Event)` gets all there are.
    Several handlers of one event run in the order in which they are written.

    Parameters:
        event_classes: one or more.

    Raises:
        InvalidProjection: something else was given, or nothing.
    """
    if not event_classes:
        raise InvalidProjection("@on needs an event class: @on(TaskCreated)")
    for item in cast("tuple[object, ...]", event_classes):
        if not (isinstance(item, type) and issubclass(item, Event)):
            raise InvalidProjection(f"@on takes event classes, and {item!r} is none")

    def mark(method: _Method) -> _Method:
        if not inspect.isfunction(method) or any(kind(method) for kind in _NOT_PLAIN):
            raise InvalidProjection(
                f"@on marks plain methods (def, without await or yield), and {method!r} is none"
            )
        _check_parameters(method)
        # Set on top of each other, `@on(A)` and `@on(B)` add up.
        setattr(method, _MARK, (*event_classes, *getattr(method, _MARK, ())))
        return method

    return mark


def _check_parameters(method: Callable[..., object]) -> None:
    try:
        inspect.signature(method).bind(*range(_PARAMETERS))
    except TypeError as error:
        raise InvalidProjection(
            f"{method.__qualname__} is called with the recorded event and the transaction: "
            f"def {method.__name__}(self, recorded, tx)"
        ) from error


def handlers_of(cls: type) -> dict[str, tuple[type[Event], ...]]:
    """The handlers of a class by name, those of its base classes first, with what each handles.

    A method that overrides a handler takes its place. It handles the same events unless it has an
    `@on` of its own.
    """
    found: dict[str, tuple[type[Event], ...]] = {}
    for owner in reversed(cls.__mro__):
        for name, value in vars(owner).items():
            if name in found and not callable(value):
                del found[name]
            elif hasattr(value, _MARK):
                found[name] = getattr(value, _MARK)
    return found


def with_subclasses(event_class: type[Event]) -> Iterator[type[Event]]:
    """The class, and all classes that are derived from it so far."""
    yield event_class
    for subclass in event_class.__subclasses__():
        yield from with_subclasses(subclass)
