"""Which handlers an event goes to: the decorators `@on` and `@effect`, and their tables."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from eventkit.errors import InvalidProjection
from eventkit.events import Event

Handler = Callable[[Any, Any, Any], object]
"""`def created(self, recorded: RecordedEvent, tx: Transaction) -> None`."""
Effect = Callable[[Any, Any], object]
"""`def mailed(self, recorded: RecordedEvent) -> None`."""
_Method = TypeVar("_Method", bound=Handler)
_EffectMethod = TypeVar("_EffectMethod", bound=Effect)
_MARK = "_eventkit_on"
_EFFECT_MARK = "_eventkit_effect"
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
    _check_classes("on", event_classes)

    def mark(method: _Method) -> _Method:
        _check_method("on", method, "the recorded event and the transaction", ("recorded", "tx"))
        # Set on top of each other, `@on(A)` and `@on(B)` add up.
        setattr(method, _MARK, (*event_classes, *getattr(method, _MARK, ())))
        return method

    return mark


def effect(*event_classes: type[Event]) -> Callable[[_EffectMethod], _EffectMethod]:
    """Mark a method of a projection as a side effect of event classes, such as to send a mail.

    It is called with the recorded event alone, after the read model holds the event for good, in
    the order of the log, and never for what a rebuild reads again. A projection that runs for the
    first time begins with what is recorded from then on.

    It is called at least once: a worker that dies between the effect and the note that it is done
    leaves it to the next one, which does it again. Where that would hurt, hand `recorded.event_id`
    on as the idempotency key; it is the same each time.

    An effect that raises is tried again, then parked: see `eventkit dead-letters`. Later effects
    of the same aggregate wait behind it.

    Parameters:
        event_classes: one or more; subclasses count as well.

    Raises:
        InvalidProjection: something else was given, or nothing.
    """
    _check_classes("effect", event_classes)

    def mark(method: _EffectMethod) -> _EffectMethod:
        _check_method("effect", method, "the recorded event", ("recorded",))
        setattr(method, _EFFECT_MARK, (*event_classes, *getattr(method, _EFFECT_MARK, ())))
        return method

    return mark


def _check_classes(decorator: str, event_classes: tuple[object, ...]) -> None:
    if not event_classes:
        raise InvalidProjection(f"@{decorator} needs an event class: @{decorator}(TaskCreated)")
    for item in event_classes:
        if not (isinstance(item, type) and issubclass(item, Event)):
            raise InvalidProjection(f"@{decorator} takes event classes, and {item!r} is none")


def _check_method(decorator: str, method: object, given: str, names: tuple[str, ...]) -> None:
    if not inspect.isfunction(method) or any(kind(method) for kind in _NOT_PLAIN):
        raise InvalidProjection(
            f"@{decorator} marks plain methods (def, without await or yield), and {method!r} is "
            "none"
        )
    try:
        inspect.signature(method).bind("self", *names)
    except TypeError as error:
        raise InvalidProjection(
            f"{method.__qualname__} is called with {given}: "
            f"def {method.__name__}({', '.join(('self', *names))})"
        ) from error


def handlers_of(cls: type) -> dict[str, tuple[type[Event], ...]]:
    """The handlers of a class by name, those of its base classes first, with what each handles.

    A method that overrides a handler takes its place. It handles the same events unless it has an
    `@on` of its own.
    """
    return _marked(cls, _MARK)


def effects_of(cls: type) -> dict[str, tuple[type[Event], ...]]:
    """The effects of a class, as `handlers_of` its handlers."""
    return _marked(cls, _EFFECT_MARK)


def _marked(cls: type, mark: str) -> dict[str, tuple[type[Event], ...]]:
    found: dict[str, tuple[type[Event], ...]] = {}
    for owner in reversed(cls.__mro__):
        for name, value in vars(owner).items():
            if name in found and not callable(value):
                del found[name]
            elif hasattr(value, mark):
                found[name] = getattr(value, mark)
    return found


def with_subclasses(event_class: type[Event]) -> Iterator[type[Event]]:
    """The class, and all classes that are derived from it so far."""
    yield event_class
    for subclass in event_class.__subclasses__():
        yield from with_subclasses(subclass)
