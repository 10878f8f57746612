"""Which values can change after they were made, and copies of events that hold such values."""

from __future__ import annotations

from copy import copy, deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cached_property, lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin
from uuid import UUID

import pydantic
from pydantic import BaseModel
from typing_extensions import TypeAliasType

from eventkit.events import Event

IMMUTABLE = (
    NoneType, bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta, UUID, Enum,
)  # fmt: skip
"""Types whose values never change, so that all who hold one may share it."""
_READ_AS_IMMUTABLE = (
    pydantic.AwareDatetime, pydantic.NaiveDatetime, pydantic.PastDatetime, pydantic.FutureDatetime,
    pydantic.PastDate, pydantic.FutureDate,
)  # fmt: skip
"""Annotations of pydantic's own that such values have."""
_AS_THEIR_PARTS = (tuple, frozenset, Union, UnionType)
"""What can change only where a part of it can."""
_MOST_CLASSES = 4_096

_E = TypeVar("_E", bound=Event)


def own_copy(event: _E) -> _E:
    """The event for somebody who may change what it holds; itself where nothing in it can change.

    An event is frozen, the lists, dicts, sets and models in its fields are not: an apply method
    that keeps one as state would change the event with the state.
    """
    names = _changing_parts(type(event))
    if not names:
        return event
    copied = copy(event)
    parts = vars(copied)
    parts.update({name: deepcopy(parts[name]) for name in names if name in parts})
    return copied


def can_change(annotation: Any) -> bool:
    """Whether a value of this type can change after it was made; True where that is not known."""
    return _can_change(annotation, frozenset())


@lru_cache(maxsize=_MOST_CLASSES)
def _changing_parts(cls: type[Event]) -> tuple[str, ...]:
    """The fields of an event class that can change, and what it computes once and keeps."""
    fields = [name for name, info in cls.model_fields.items() if can_change(info.annotation)]
    return (*fields, *_kept_results(cls))


def _kept_results(cls: type) -> list[str]:
    """The names of the cached properties of a class."""
    members = {
        name: value for owner in reversed(cls.__mro__) for name, value in vars(owner).items()
    }
    return [
        name for name, value in members.items() if isinstance(_unwrapped(value), cached_property)
    ]


def _unwrapped(member: Any) -> Any:
    """A member of a class without what `computed_field` puts around it."""
    return getattr(member, "wrapped", member)


def _can_change(annotation: Any, within: frozenset[type]) -> bool:
    """As `can_change`; a class that is looked at already says nothing new about itself."""
    meant = _without_names(annotation)
    origin, args = get_origin(meant), get_args(meant)
    if meant is None or meant is Ellipsis or origin is Literal:
        return False
    if isinstance(meant, type) and not args:
        return _class_can_change(meant, within)
    if origin in _AS_THEIR_PARTS:
        return any(_can_change(arg, within) for arg in args)
    return True


def _without_names(annotation: Any) -> Any:
    """The type behind aliases, new names and metadata."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        else:
            return annotation


def _class_can_change(cls: type, within: frozenset[type]) -> bool:
    if cls in within or issubclass(cls, (*IMMUTABLE, *_READ_AS_IMMUTABLE)):
        return False
    if not issubclass(cls, BaseModel) or not cls.model_config.get("frozen"):
        return True
    if cls.__private_attributes__ or _kept_results(cls):
        return True
    annotations = [info.annotation for info in cls.model_fields.values()]
    return any(_can_change(annotation, within | {cls}) for annotation in annotations)
