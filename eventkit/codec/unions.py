"""The shape of a union: each value is written with the branch of its own class."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from types import NoneType
from typing import Any, Union

from typing_extensions import override

from eventkit.codec.scalars import NONE
from eventkit.codec.shapes import Convert, Misfit, Reading, Shape, Writing
from eventkit.codec.wires import Wires
from eventkit.codec.written import Written


def union_of(members: Sequence[Shape]) -> Shape:
    """The union of the members; one of one member is that member.

    Raises:
        Misfit: Avro, or a reader, could not tell two of the members apart.
    """
    flat: list[Shape] = []
    for member in members:
        for part in member.members if isinstance(member, UnionShape) else (member,):
            if part not in flat:
                flat.append(part)
    return flat[0] if len(flat) == 1 else UnionShape(flat)


class UnionShape(Shape):
    """Several types, of which each value has one."""

    base = "union"

    def __init__(self, members: Sequence[Shape]) -> None:
        self.members = tuple(members)
        self.label = " | ".join(member.label for member in members)
        self.takes = tuple(python for member in members for python in member.takes)
        _check_distinct(self.members)
        present = [member for member in members if member is not NONE]
        self.only = present[0] if len(present) == 1 else None
        if self.only is not None and self.only.plain:
            self.plain = self.only.plain | {NoneType}

    @override
    def children(self) -> tuple[Shape, ...]:
        return self.members

    @override
    def wire(self, wires: Wires) -> Any:
        return Union[tuple(member.wire(wires) for member in self.members)]  # noqa: UP007 - a type made at run time

    def starting_with(self, value: Any) -> UnionShape:
        """The same union with the member of `value` first, as Avro wants it for a default."""
        first = [member for member in self.members if type(value) in member.takes]
        return UnionShape([*first, *(member for member in self.members if member not in first)])

    @override
    def writer(self, writing: Writing) -> Convert:
        if self.only is not None:
            return _optional_writer(self.only, writing)
        branches = {
            python: (_branch(member, writing), member.writer(writing))
            for member in self.members
            for python in member.takes
        }

        def convert(value: Any) -> Any:
            found = branches.get(type(value)) or _by_base_class(branches, value)
            if found is None:
                raise Misfit(f"{value!r:.100} ({type(value).__name__}) is no {self.label}")
            branch, write = found
            return branch, write(value)

        return convert

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        same = [m for m in self.members if (m.base, m.logical) == (written.base, written.logical)]
        if written.is_named:
            called = [member for member in same if member.answers_to(written.name)]
            same = called or (same if len(same) == 1 and written.alone else [])
        if len(same) == 1:
            return same[0].reader(written, reading)
        for member in self.members:
            if not (member.is_named and written.is_named):
                with suppress(Misfit):
                    return member.reader(written, reading)
        raise self.cannot_read(written)


def _check_distinct(members: Sequence[Shape]) -> None:
    """Avro allows one branch of each unnamed type, and writing needs one of each Python type."""
    for number, member in enumerate(members):
        for other in members[:number]:
            if member.base == other.base and not member.is_named:
                raise Misfit(
                    f"{other.label} and {member.label} are both {member.base} in Avro, and a "
                    "union cannot hold both; wrap one of them in a model"
                )
            if set(member.takes) & set(other.takes):
                raise Misfit(
                    f"a value of {other.label} can be one of {member.label} too; wrap one of them "
                    "in a model"
                )


def _branch(member: Shape, writing: Writing) -> str:
    return writing.names[member.key] if member.is_named else member.base


def _optional_writer(only: Shape, writing: Writing) -> Convert:
    write = only.writer(writing)
    if only.plain:  # fastavro tells None from it as fast as a named branch would
        return lambda value: None if value is None else write(value)
    branch = _branch(only, writing)
    return lambda value: None if value is None else (branch, write(value))


def _by_base_class(branches: dict[type, Any], value: Any) -> Any:
    if isinstance(value, bool):
        return None
    return next((branches[base] for base in type(value).__mro__ if base in branches), None)
