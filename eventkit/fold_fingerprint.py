"""A fingerprint of the code that folds events, so that no snapshot outlives a change of it."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel

from eventkit.aggregate import Aggregate, applied_events

_CONSTANTS = (type(None), bool, int, float, complex, str, bytes)


def fold_fingerprint(cls: type[Aggregate]) -> str:
    """16 hex digits that change when the code of an aggregate class changes.

    Covered are all functions of the class and its bases, and the functions, classes and constants
    of the user's own packages that they name, however deep. Comments, docstrings and formatting do
    not count. Another Python version compiles to other code: that costs one fold and loses nothing.
    Not covered is what the code reads from files, from other packages, or through names made at
    run time; after such a change set another `snapshot_version` on the class.
    """
    walk = _Walk(cls)
    walk.add_class(cls)
    for event_class in applied_events(cls):
        walk.add_class(event_class)
    walk.add_text("snapshot_version", getattr(cls, "snapshot_version", None))
    return walk.digest()


class _Walk:
    """Visits code in a fixed order, each piece once."""

    def __init__(self, cls: type) -> None:
        self._hash = hashlib.blake2b(digest_size=8)
        self._seen: set[int] = set()
        self._packages = {cls.__module__.partition(".")[0]}

    def digest(self) -> str:
        return self._hash.hexdigest()

    def add_text(self, *parts: object) -> None:
        self._hash.update(repr(parts).encode("utf-8", "backslashreplace"))

    def add_class(self, cls: type) -> None:
        if id(cls) in self._seen:
            return
        self._seen.add(id(cls))
        for owner in reversed(cls.__mro__):
            if self._is_own(owner):
                self.add_text("class", owner.__qualname__)
                for name, value in sorted(vars(owner).items()):
                    self._add_member(name, value)
        if issubclass(cls, BaseModel):
            self._add_fields(cls)

    def _add_fields(self, model: type[BaseModel]) -> None:
        """An old event without a field gets today's default: the fold depends on it."""
        for name, field in model.model_fields.items():
            self.add_text("field", name, repr(field.annotation), _stable(field.default))
            for part in _parts(field.annotation):
                self._add_global("type", part)

    def _add_member(self, name: str, value: Any) -> None:
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if isinstance(value, types.FunctionType) and self._is_own(value):
            self.add_text("def", name)
            self._add_function(value)
        elif isinstance(value, (*_CONSTANTS, Enum)) and not name.startswith("__"):
            self.add_text("is", name, _stable(value))

    def _add_function(self, function: types.FunctionType) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        self._add_code(function.__code__, function.__doc__)
        self.add_text("defaults", _stable(function.__defaults__), _stable(function.__kwdefaults__))
        for cell in function.__closure__ or ():
            self._add_global("closure", cell.cell_contents)
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self._add_named(name, function.__globals__[name], function.__code__)

    def _add_named(self, name: str, value: Any, code: types.CodeType) -> None:
        if isinstance(value, types.ModuleType):
            if value.__name__.partition(".")[0] in self._packages:
                for attribute in sorted(_names(code)):
                    if hasattr(value, attribute):
                        self._add_global(f"{name}.{attribute}", getattr(value, attribute))
        else:
            self._add_global(name, value)

    def _add_global(self, name: str, value: Any) -> None:
        if isinstance(value, types.FunctionType):
            if self._is_own(value):
                self._add_function(value)
        elif isinstance(value, type):
            if self._is_own(value):
                self.add_class(value)
        else:
            self.add_text("constant", name, _stable(value))

    def _add_code(self, code: types.CodeType, doc: str | None = None) -> None:
        self.add_text(code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            elif constant is not doc or doc is None:
                self.add_text(_stable(constant))

    def _is_own(self, thing: Any) -> bool:
        return str(getattr(thing, "__module__", "")).partition(".")[0] in self._packages


def _names(code: types.CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(inner) for inner in _inner(code)))


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, types.CodeType))


def _parts(annotation: Any) -> Iterator[type]:
    """The classes an annotation is made of."""
    if isinstance(annotation, type):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _stable(value: Any) -> str:
    """A text that is the same in every process; sets have no order, objects have addresses."""
    match value:
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_stable, value)))}}}"
        case dict():
            return f"{{{', '.join(f'{_stable(k)}: {_stable(v)}' for k, v in value.items())}}}"
        case tuple() | list():
            return f"({', '.join(map(_stable, value))})"
        case Enum():
            return f"{type(value).__qualname__}.{value.name}={value.value!r}"
        case _ if isinstance(value, _CONSTANTS):
            return repr(value)
        case _:
            return f"<{type(value).__qualname__}>"
