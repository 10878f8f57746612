"""A fingerprint of the code that folds events, so that no snapshot outlives a change of it."""

from __future__ import annotations

import hashlib
import re
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, partial, singledispatchmethod
from pathlib import PurePath
from types import EllipsisType, NoneType
from typing import Any, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

from eventkit.aggregate import Aggregate, apply_methods

_SIMPLE = (
    NoneType, EllipsisType, bool, int, float, complex, str, bytes, Decimal, Fraction, date, time,
    timedelta, tzinfo, UUID, PurePath, range,
)  # fmt: skip
"""Types whose values `repr` tells apart, in every process alike."""
_RULES = 2
"""Which states may be snapshots: counted up where they become fewer, so that none of those that
are not allowed any more is used."""


def fold_fingerprint(cls: type[Aggregate]) -> str:
    """16 hex digits that change when the code of an aggregate class changes.

    Covered are all functions of the class and its bases, and the functions, classes and constants
    that they name, however deep, as far as they are in the packages of the class, its bases or its
    events. Comments, docstrings and formatting do not count. Another Python version compiles to
    other code: that costs one fold and loses nothing.

    Not covered is what the code reads from files, from other packages, or through names made at
    run time; after such a change set another `snapshot_version` on the class.
    """
    methods = apply_methods(cls)
    foreign = {"eventkit", "pydantic", *sys.stdlib_module_names}
    walk = _Walk({_package(it) for it in (*cls.__mro__, *methods)} - foreign | {_package(cls)})
    walk.write("rules", _RULES)
    walk.add(cls)
    for event_class, name in sorted(methods.items(), key=lambda item: (item[1], str(item[0]))):
        walk.write("applies", name)
        walk.add(event_class)
    walk.write("snapshot_version", getattr(cls, "snapshot_version", None))
    return walk.digest()


class _Walk:
    """Visits code and data in a fixed order, each piece once.

    Parameters:
        packages: the names of those that are the user's own.
    """

    def __init__(self, packages: Collection[str]) -> None:
        self._packages = packages
        self._hash = hashlib.blake2b(digest_size=8)
        # Objects are kept, not only their ids: the id of one that is gone is given to another.
        self._seen: dict[int, object] = {}

    def digest(self) -> str:
        return self._hash.hexdigest()

    def write(self, *parts: object) -> None:
        self._hash.update(repr(parts).encode("utf-8", "backslashreplace"))

    def add(self, value: Any) -> None:
        """Add anything that code can name."""
        if isinstance(value, _SIMPLE):
            self.write(type(value).__qualname__, value)
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            self._visit(value)

    @singledispatchmethod
    def _visit(self, value: Any) -> None:
        """An object of some other kind: what is the user's own of it."""
        self.write("object", type(value).__qualname__)
        inside = getattr(value, "__dict__", {})
        if self._is_own(type(value)):
            self.add(type(value))
            self.add(inside)
        elif "__wrapped__" in inside:  # such as functools.cache puts around a function
            self.add(inside["__wrapped__"])

    @_visit.register
    def _(self, value: types.FunctionType) -> None:
        self.write("function", value.__name__)
        if not self._is_own(value):
            return
        self._add_code(value.__code__, value.__doc__)
        self.add((value.__defaults__, value.__kwdefaults__, _closure(value)))
        for name in sorted(_names(value.__code__)):
            if name in value.__globals__:
                self.write("name", name)
                self._add_global(value.__globals__[name], value.__code__)

    @_visit.register(staticmethod)
    @_visit.register(classmethod)
    @_visit.register(types.MethodType)
    def _(self, value: Any) -> None:
        self.add(value.__func__)

    @_visit.register
    def _(self, value: property) -> None:
        self.add((value.fget, value.fset, value.fdel))

    @_visit.register
    def _(self, value: cached_property) -> None:  # type: ignore[type-arg]
        self.add(value.func)

    @_visit.register
    def _(self, value: partial) -> None:  # type: ignore[type-arg]
        self.add((value.func, value.args, value.keywords))

    @_visit.register
    def _(self, value: re.Pattern) -> None:  # type: ignore[type-arg]
        self.write(value.pattern, value.flags)

    @_visit.register(list)
    @_visit.register(tuple)
    def _(self, value: Any) -> None:
        self.write(type(value).__qualname__, len(value))
        for item in value:
            self.add(item)

    @_visit.register
    def _(self, value: AbstractSet) -> None:  # type: ignore[type-arg]
        self.write("set", len(value))
        for item in sorted(value, key=_order):
            self.add(item)

    @_visit.register
    def _(self, value: Mapping) -> None:  # type: ignore[type-arg]
        self.write("mapping", len(value))
        for key, item in value.items():
            self.add(key)
            self.add(item)

    @_visit.register
    def _(self, value: Enum) -> None:
        self.write(type(value).__qualname__, value.name)
        self.add(value.value)

    @_visit.register
    def _(self, value: type) -> None:
        self.write("class", value.__qualname__)
        for owner in reversed(value.__mro__):
            if self._is_own(owner):
                for name, member in sorted(vars(owner).items()):
                    self._add_member(name, member)
        if issubclass(value, BaseModel) and self._is_own(value):
            self._add_fields(value)

    def _add_member(self, name: str, value: Any) -> None:
        special = name.startswith(("__", "_eventkit_", "_abc_"))
        if not special or isinstance(value, types.FunctionType):
            self.write("member", name)
            self.add(value)

    def _add_fields(self, model: type[BaseModel]) -> None:
        """An old event without a field gets today's default: the fold depends on it."""
        for name, field in model.model_fields.items():
            self.write("field", name)
            self._add_annotation(field.annotation)
            self.add((_plain(field.default), field.default_factory))

    def _add_annotation(self, annotation: Any) -> None:
        parts = get_args(annotation)
        self.write("of", str(get_origin(annotation)), len(parts))
        if not parts:
            self.add(annotation)
        for part in parts:
            self._add_annotation(part)

    def _add_global(self, value: Any, code: types.CodeType) -> None:
        if not isinstance(value, types.ModuleType):
            self.add(value)
        elif value.__name__.partition(".")[0] in self._packages:
            for name in sorted(_names(code)):
                if hasattr(value, name):
                    self.write("attribute", value.__name__, name)
                    self._add_global(getattr(value, name), code)

    def _add_code(self, code: types.CodeType, doc: str | None = None) -> None:
        self.write(code.co_code, code.co_exceptiontable, code.co_flags, code.co_argcount)
        self.write(code.co_kwonlyargcount, code.co_names, code.co_varnames, code.co_freevars)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            elif constant is not doc or doc is None:
                self.add(constant)

    def _is_own(self, thing: Any) -> bool:
        return _package(thing) in self._packages


def _package(thing: Any) -> str:
    return str(getattr(thing, "__module__", "")).partition(".")[0]


def _names(code: types.CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(inner) for inner in _inner(code)))


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, types.CodeType))


def _closure(function: types.FunctionType) -> list[object]:
    """What a function sees of the functions around it; a name not bound yet is left out."""
    found: list[object] = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            found.append(...)
    return found


def _plain(default: object) -> object:
    """A default, or a text where pydantic means that there is none."""
    return default if type(default).__module__ != "pydantic_core._pydantic_core" else "none"


def _order(item: object) -> tuple[str, str]:
    """Sorts the members of a set, which have no order of their own."""
    name = repr(item) if isinstance(item, _SIMPLE) else getattr(item, "__qualname__", "")
    return type(item).__qualname__, name
