"""How events find the methods that apply them: the `@apply` decorator and its table."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from eventkit.errors import AggregateError
from eventkit.events import Event

Apply = Callable[[Any, Any], object]
_Method = TypeVar("_Method", bound=Apply)
_MARK = "_eventkit_apply"


def apply(method: _Method) -> _Method:
    """Mark a method as the one that applies the event class its parameter is typed with.

    `def _created(self, event: TaskCreated) -> None` applies `TaskCreated` and its subclasses;
    `event: TaskCompleted | TaskReopened` applies both. It changes the state and nothing else.

    Raises:
        AggregateError: it stands above another decorator, or on something that is no method.
    """
    if not isinstance(method, types.FunctionType):
        raise AggregateError(
            f"@apply goes right above `def`, below other decorators, not on a "
            f"{type(method).__name__}"
        )
    # Event classes defined inside a function are not found through the module: keep the names
    # that are in sight where the class body stands.
    outer = sys._getframe(1).f_back  # noqa: SLF001 - the only way to a caller's names
    in_module = outer is None or outer.f_locals is outer.f_globals
    names = {} if outer is None or in_module else outer.f_locals
    setattr(method, _MARK, {k: v for k, v in names.items() if isinstance(v, type)})
    return method


def apply_table(cls: type) -> dict[type[Event], Apply]:
    """The apply method of each event class, those of subclasses winning over inherited ones.

    Raises:
        NameError: an annotation names a class that is not defined yet.
        AggregateError: a method is not typed with an event class, or two claim the same one.
    """
    table: dict[type[Event], Apply] = {}
    for owner in reversed(cls.__mro__):
        own: dict[type[Event], Apply] = {}
        for method in _marked(owner):
            for event_class in _applied_by(method):
                if event_class in own:
                    raise AggregateError(
                        f"{cls.__name__} has two @apply methods for {event_class.__name__}: "
                        f"{own[event_class].__name__} and {method.__name__}. Keep one."
                    )
                own[event_class] = method
        table.update(own)
    # An overridden method keeps its mark in the parent class, but must not run any more.
    return {event: getattr(cls, method.__name__) for event, method in table.items()}


def find_apply(table: Mapping[type[Event], Apply], event_class: type[Event]) -> Apply | None:
    """The method for an event class: its own, or that of its nearest base class."""
    return next((table[base] for base in event_class.__mro__ if base in table), None)


def _marked(owner: type) -> Iterator[Any]:
    return (value for value in vars(owner).values() if hasattr(value, _MARK))


def _applied_by(method: types.FunctionType) -> tuple[type[Event], ...]:
    code = inspect.unwrap(method).__code__
    names = code.co_varnames[1 : code.co_argcount]
    hint = None
    if len(names) == 1:
        hint = get_type_hints(method, localns=getattr(method, _MARK)).get(names[0])
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if not all(isinstance(option, type) and issubclass(option, Event) for option in options):
        raise AggregateError(
            f"@apply {method.__qualname__} needs one parameter typed with an event class: "
            f"def {method.__name__}(self, event: TaskCreated) -> None"
        )
    return options
