"""Whether the state that comes back from a snapshot is the state that was kept.

To be equal is not enough. Of two equal states, one may hold the same list in two fields, so that
the next event changes both, and the other two lists. And 4 equals 4.0, but an event that makes a
text of it makes another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, time
from decimal import Decimal
from itertools import chain
from typing import Any

from pydantic import BaseModel

from eventkit.mutability import IMMUTABLE, can_change

_LEAVES = frozenset(IMMUTABLE)
_TOLD_BY_REPR = (float, Decimal)
"""Their values may be equal and differ (-0.0, 1.50), or be the same and unequal (NaN)."""
_TOLD_BY_EQUALITY = _LEAVES.difference((*_TOLD_BY_REPR, datetime, time))
_CONTAINERS = (list, tuple, dict, set, frozenset)
_MISSING = object()


def loss(kept: Mapping[str, Any], back: Mapping[str, Any]) -> str | None:
    """What a snapshot makes another of, and what to do about it; None where that is nothing.

    Parameters:
        kept: the values of the fields, by name.
        back: the same, as they come back from the snapshot.
    """
    try:
        return _Comparison().loss(kept, back)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return f"it could not be compared: {type(error).__name__}: {error}"


class _Comparison:
    """Walks through two states side by side."""

    def __init__(self) -> None:
        self._met: dict[int, str] = {}  # objects that can change, and the field they were met in
        self._todo: list[tuple[str, Any, Any]] = []

    def loss(self, kept: Mapping[str, Any], back: Mapping[str, Any]) -> str | None:
        for name, value in kept.items():
            self._todo.append((name, value, back.get(name, _MISSING)))
            while self._todo:
                found = self._difference(*self._todo.pop())
                if found is not None:
                    return found
        return None

    def _difference(self, field: str, value: Any, other: Any) -> str | None:
        kind = type(value)
        if kind is not type(other):
            return _changed(field, value, other)
        if kind in _LEAVES:
            return None if _same(value, other) else _changed(field, value, other)
        if _changes(value):
            if id(value) in self._met:
                return _shared(self._met[id(value)], field, kind)
            self._met[id(value)] = field
        if isinstance(value, BaseModel):
            return self._model_difference(field, value, other)
        if isinstance(value, _CONTAINERS):
            self._add(field, _parts(value, other))
            return None if len(value) == len(other) else _changed(field, value, other)
        return None if _same(value, other) else _changed(field, value, other)

    def _model_difference(self, field: str, value: BaseModel, other: BaseModel) -> str | None:
        kind = type(value)
        private = value.__pydantic_private__ or {}
        private_back = other.__pydantic_private__ or {}
        for name in private:
            if name not in private_back or not _equal(private[name], private_back[name]):
                return (
                    f"{field!r} holds a {kind.__name__} with the private attribute {name!r}, which "
                    "a snapshot does not keep; make it a field"
                )
        names, fields, fields_back = kind.__pydantic_fields__, vars(value), vars(other)
        if len(fields) > len(names) and _fields_change(value):
            return (
                f"{field!r} holds a {kind.__name__} that has computed "
                f"{min(fields.keys() - names)!r} once and would compute it anew; make it a "
                "property, or a field"
            )
        self._add(field, [(fields[name], fields_back[name]) for name in names])
        if private:
            self._add(field, [(private[name], private_back[name]) for name in private])
        return None

    def _add(self, field: str, pairs: Iterable[tuple[Any, Any]]) -> None:
        for value, other in pairs:
            kind = type(value)
            plain = kind is type(other) and kind in _TOLD_BY_EQUALITY
            if not plain or value != other:  # what is plain and equal, as most is, is done
                self._todo.append((field, value, other))


def _changes(value: Any) -> bool:
    """Whether a value can change: what has no hash says so, and a model unless it is frozen."""
    if isinstance(value, BaseModel):
        return not value.model_config.get("frozen")
    return type(value).__hash__ is None


def _fields_change(model: BaseModel) -> bool:
    """Whether what a model computes from its fields may be another the next time."""
    infos = type(model).model_fields.values()
    return _changes(model) or any(can_change(info.annotation) for info in infos)


def _parts(value: Any, other: Any) -> Iterable[tuple[Any, Any]]:
    """What a value holds, each part with its counterpart in the other one."""
    if isinstance(value, (list, tuple)):
        return zip(value, other, strict=False)
    if isinstance(value, dict):
        return chain(
            zip(value, other, strict=False), zip(value.values(), other.values(), strict=False)
        )
    counterparts = {item: item for item in other}
    return ((item, counterparts.get(item, _MISSING)) for item in value)


def _same(value: Any, other: Any) -> bool:
    """Whether two values of one type, which hold no others, are the same for all that asks."""
    if isinstance(value, _TOLD_BY_REPR):
        return repr(value) == repr(other)
    if isinstance(value, (datetime, time)):
        clock, other_clock = value.replace(tzinfo=None), other.replace(tzinfo=None)
        return repr(clock) == repr(other_clock) and str(value.tzinfo) == str(other.tzinfo)
    return _equal(value, other)


def _equal(value: object, other: object) -> bool:
    try:
        return bool(value == other)
    except Exception:  # noqa: BLE001 - the user's code may raise anything
        return False


def _changed(field: str, value: object, other: object) -> str:
    became = "nothing" if other is _MISSING else f"{other!r:.60} ({type(other).__name__})"
    if isinstance(value, datetime) and isinstance(other, datetime):
        advice = "keep it in UTC"
    else:
        advice = "set values of the very type of the field, or type the field as they are"
    return f"{value!r:.60} ({type(value).__name__}) in {field!r} would become {became}; {advice}"


def _shared(first: str, second: str, kind: type) -> str:
    where = f"twice in {first!r}" if first == second else f"in {first!r} and in {second!r}"
    frozen = (
        f", or freeze {kind.__name__} if it never changes" if issubclass(kind, BaseModel) else ""
    )
    return (
        f"one {kind.__name__} is {where}, and a snapshot would make two of it; "
        f"keep a copy in one of the places{frozen}"
    )
