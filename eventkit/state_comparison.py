"""Whether the state that comes back from a snapshot is the state that was kept.

To be equal is not enough: of two equal states, one may hold the same list in two fields, so that
the next event changes both, and the other two lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from pydantic import BaseModel

from eventkit.mutability import IMMUTABLE, can_change

_LEAVES = frozenset(IMMUTABLE)


def loss(kept: Mapping[str, Any], back: Mapping[str, Any]) -> str | None:
    """What a snapshot makes another of, and what to do about it; None where that is nothing.

    Parameters:
        kept: the values of the fields, by name.
        back: the same, as they come back from the snapshot.
    """
    return _Comparison().loss(kept, back)


class _Comparison:
    """Walks through two states side by side."""

    def __init__(self) -> None:
        self._met: dict[int, str] = {}  # objects that can change, and the field they were met in
        self._todo: list[tuple[str, Any, Any]] = []

    def loss(self, kept: Mapping[str, Any], back: Mapping[str, Any]) -> str | None:
        for name, value in kept.items():
            self._todo.append((name, value, back.get(name)))
            while self._todo:
                found = self._difference(*self._todo.pop())
                if found is not None:
                    return found
        return None

    def _difference(self, field: str, value: Any, other: Any) -> str | None:
        kind = type(value)
        if kind in _LEAVES:
            return None
        if _changes(value):
            if id(value) in self._met:
                return _shared(self._met[id(value)], field, kind)
            self._met[id(value)] = field
        if kind is not type(other):
            return None
        if isinstance(value, BaseModel):
            return self._model_difference(field, value, other)
        self._add(field, _parts(value, other))
        return None

    def _model_difference(self, field: str, value: BaseModel, other: BaseModel) -> str | None:
        kind = type(value)
        private, private_back = (it.__pydantic_private__ or {} for it in (value, other))
        for name in private:
            if name not in private_back or not _equal(private[name], private_back[name]):
                return (
                    f"{field!r} holds a {kind.__name__} with the private attribute {name!r}, which "
                    "a snapshot does not keep; make it a field"
                )
        fields, fields_back = vars(value), vars(other)
        computed = fields.keys() - kind.model_fields
        if computed and _fields_change(value):
            return (
                f"{field!r} holds a {kind.__name__} that has computed {min(computed)!r} once and "
                "would compute it anew; make it a property, or a field"
            )
        self._add(field, ((fields[name], fields_back.get(name)) for name in kind.model_fields))
        self._add(field, ((private[name], private_back[name]) for name in private))
        return None

    def _add(self, field: str, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._todo.extend((field, *pair) for pair in pairs if type(pair[0]) not in _LEAVES)


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
    if isinstance(value, (set, frozenset)):
        counterparts = {item: item for item in other}
        return ((item, counterparts.get(item)) for item in value)
    return ()


def _equal(value: object, other: object) -> bool:
    try:
        return bool(value == other)
    except Exception:  # noqa: BLE001 - the user's code may raise anything
        return False


def _shared(first: str, second: str, kind: type) -> str:
    where = f"twice in {first!r}" if first == second else f"in {first!r} and in {second!r}"
    frozen = (
        f", or freeze {kind.__name__} if it never changes" if issubclass(kind, BaseModel) else ""
    )
    return (
        f"one {kind.__name__} is {where}, and a snapshot would make two of it; "
        f"keep a copy in one of the places{frozen}"
    )
