"""A fingerprint of the code that folds events, so that no snapshot outlives a change of it."""

from __future__ import annotations

import hashlib
import re
import sys
import types
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import date, time, timedelta, tzinfo
from decimal import Context, Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, partial, singledispatchmethod
from pathlib import PurePath
from types import EllipsisType, NoneType
from typing import Annotated, Any, ForwardRef, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, TypeAdapter

from eventkit.aggregate import Aggregate, apply_methods
from eventkit.events import Event

_SIMPLE = (
    NoneType, EllipsisType, bool, int, float, complex, str, bytes, Decimal, Fraction, date, time,
    timedelta, tzinfo, UUID, PurePath, range,
)  # fmt: skip
"""Types whose values `repr` tells apart, in every process alike."""
_OPEN = {*sys.stdlib_module_names, "pydantic", "pydantic_core", "annotated_types"}
"""Packages whose objects are looked into; those of others only if they compare by value, because
a client or a meter with its counts is no constant."""
_RULES = 2
"""Which states may be snapshots: counted up where they become fewer, so that none of those that
are not allowed any more is used."""


def fold_fingerprint(cls: type[Aggregate]) -> str:
    """16 hex digits that change when the code of an aggregate class changes.

    Covered are all functions of the class and its bases, and the functions, classes and constants
    that they name, however deep, as far as they are in the packages of the class, its bases or its
    events. Comments, docstrings and formatting do not count. Another Python version compiles to
    other code: that costs one fold and loses nothing.

    Not covered is what the code reads from files, from other packages, through names made at run
    time, or from objects that tell nobody what they hold (`copy.copy` cannot copy them); after such
    a change set another `snapshot_version` on the class.
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
        own = self._is_own(type(value))
        if isinstance(value, _SIMPLE) and not own:
            self.write(type(value).__qualname__, value)
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            if own and not isinstance(value, type):
                self.add(type(value))
                self._add_attributes(value)
            self._visit(value)

    @singledispatchmethod
    def _visit(self, value: Any) -> None:
        """An object of some other kind: what it is made of, as far as it is a constant."""
        kind = type(value)
        self.write("object", kind.__qualname__)
        wrapped = getattr(value, "__dict__", {}).get("__wrapped__")
        if wrapped is not None:  # such as functools.cache puts around a function
            self.add(wrapped)
        elif self._is_own(kind):
            self._add_parts(value, with_state=False)
        elif _package(kind) in _OPEN or _compares_by_value(kind):
            self._add_parts(value)

    def _add_parts(self, value: Any, *, with_state: bool = True) -> None:
        """What `copy.copy` would make another of the kind from."""
        try:
            parts = value.__reduce_ex__(2)
        except Exception:  # noqa: BLE001 - a lock, a connection: nothing that is constant
            return
        if not isinstance(parts, tuple):
            self.write("named", parts)
            return
        make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        self.add((make, arguments, list(items or ()), list(pairs or ())))
        if with_state:
            self.add(state)

    def _add_attributes(self, value: Any) -> None:
        """The attributes of an object of one's own, without the results that it only keeps."""
        kind = type(value)
        inside = getattr(value, "__dict__", {})
        kept = {name for name in inside if isinstance(getattr(kind, name, None), cached_property)}
        self.add({name: inside[name] for name in inside if name not in kept})
        for owner in kind.__mro__:
            for name, member in sorted(vars(owner).items()):
                if isinstance(member, types.MemberDescriptorType):
                    with suppress(AttributeError):  # nothing was put into that slot
                        self.add((name, member.__get__(value)))

    @_visit.register
    def _(self, value: types.FunctionType) -> None:
        self.write("function", value.__name__)
        if hasattr(value, "registry") and hasattr(value, "dispatch"):  # functools.singledispatch
            for cls, function in sorted(value.registry.items(), key=_order_of_class):
                self.add((cls, function))
            return
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
    def _(self, value: singledispatchmethod) -> None:  # type: ignore[type-arg]
        self.add(value.dispatcher)

    @_visit.register
    def _(self, value: Context) -> None:  # its flags tell what has been computed
        self.write("context", value.prec, value.rounding, value.Emin, value.Emax)
        self.write(
            value.capitals,
            value.clamp,
            sorted(it.__name__ for it in value.traps if value.traps[it]),
        )

    @_visit.register
    def _(self, value: TypeAdapter) -> None:  # type: ignore[type-arg]
        # What it is made of holds addresses, which are others in each process.
        self._add_annotation(getattr(value, "_type", None), checked=True)

    @_visit.register
    def _(self, value: ForwardRef) -> None:  # it tells whether it was resolved already
        self.write("forward", value.__forward_arg__)

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
        self.add(getattr(value, "default_factory", None))
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
        """The fields and what is checked in them.

        An old event without a field gets today's default: the fold depends on it. It is not
        validated again, while the models of a state are as often as the fold makes one.
        """
        checked = not issubclass(model, Event)
        for name, field in model.model_fields.items():
            self.write("field", name)
            self._add_annotation(field.annotation, checked=checked)
            self.add((_plain(field.default), field.default_factory))
            if checked:
                self.add(field.metadata)
        for name, private in model.__private_attributes__.items():
            self.write("private", name)
            self.add((_plain(private.default), private.default_factory))

    def _add_annotation(self, annotation: Any, *, checked: bool) -> None:
        annotation = getattr(annotation, "__value__", annotation)  # of `type Name = ...`
        annotation = getattr(annotation, "__supertype__", annotation)  # of a NewType
        parts = get_args(annotation)
        self.write("of", str(get_origin(annotation)), len(parts))
        if not parts:
            self.add(annotation)
        elif get_origin(annotation) is Annotated and not checked:
            parts = parts[:1]
        for part in parts:
            self._add_annotation(part, checked=checked)

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


def _compares_by_value(cls: type) -> bool:
    compare: object = cls.__eq__
    return compare is not object.__eq__


def _order_of_class(item: tuple[type, object]) -> tuple[str, str]:
    """Sorts what is registered for classes, which modules may do in any order."""
    cls, _ = item
    return cls.__module__, cls.__qualname__


def _order(item: object) -> tuple[str, str]:
    """Sorts the members of a set, which have no order of their own."""
    name = repr(item) if isinstance(item, _SIMPLE) else getattr(item, "__qualname__", "")
    return type(item).__qualname__, name
