"""What a shape is: one Python type, how its values are written to Avro and read back exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from types import NoneType
from typing import Any

from eventkit.codec.wires import Wires
from eventkit.codec.written import NAMED, Written

Convert = Callable[[Any], Any]


class Misfit(Exception):
    """A value does not fit its shape, or a written schema does not fit the shape that reads it."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path

    @classmethod
    def at(cls, step: str, error: Exception) -> Misfit:
        """The same complaint, seen from one step further out."""
        if isinstance(error, Misfit):
            return cls(error.reason, f"{step}.{error.path}" if error.path else step)
        return cls(f"{type(error).__name__}: {error}", step)

    def __str__(self) -> str:
        return f"field {self.path}: {self.reason}" if self.path else self.reason


class Writing:
    """What the writers of one schema share.

    Parameters:
        names: the Avro name of each record and enum, by the key of its shape.
    """

    def __init__(self, names: dict[Hashable, str]) -> None:
        self.names = names
        self.records: dict[Hashable, Any] = {}


class Shape(ABC):
    """One Python type in Avro.

    The schema itself is derived by the library, from the type that `wire` gives it; the other
    methods are about values.
    """

    label: str
    """What messages call the type, as the user would write it."""
    base: str
    """Avro type: a primitive, `array`, `map`, `record`, `enum` or `union`."""
    logical: str | None = None
    """Avro logical type."""
    plain: frozenset[type] = frozenset()
    """Exact Python types whose values fastavro writes as they are, with no check needed."""
    takes: tuple[type, ...] = ()
    """Exact Python types of the values; a union tells its members apart by them."""
    empty: bool = False
    """Whether a value takes no bytes at all."""
    key: Hashable = None
    """What its name in Avro is found by; None for types that need none."""
    aka: frozenset[str] = frozenset()
    """Names in Avro, without a namespace, under which it may have been written."""

    @property
    def is_named(self) -> bool:
        """Whether a union knows it by its name."""
        return self.base in NAMED

    def answers_to(self, full_name: str) -> bool:
        """Whether it may have been written under this name."""
        return full_name.rpartition(".")[2] in self.aka

    def children(self) -> tuple[Shape, ...]:
        """The shapes this one is made of."""
        return ()

    @abstractmethod
    def wire(self, wires: Wires) -> Any:
        """The Python type that the library derives the Avro schema from."""

    @abstractmethod
    def writer(self, writing: Writing) -> Convert:
        """How a value becomes what fastavro writes.

        The function raises `Misfit`, or whatever the value raises, where it cannot be kept exactly.
        """

    @abstractmethod
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        """How what fastavro read becomes a value; None where it is one already.

        Parameters:
            written: the schema it was written with, never a union (see `Reading.reader`).
            reading: what the readers of one written schema share.

        Raises:
            Misfit: a value of that schema can be no value of this shape.
        """

    def cannot_read(self, written: Written) -> Misfit:
        """The complaint that a type was changed into another one."""
        return Misfit(f"it was written as {written} and is {self.label} now")

    def __repr__(self) -> str:
        return self.label


class Reading:
    """What the readers of one written schema share: those of records, which may hold themselves."""

    def __init__(self) -> None:
        self.records: dict[tuple[Hashable, str], Any] = {}

    def reader(self, shape: Shape, written: Written) -> Convert | None:
        """How a value written with `written` becomes one of `shape`; None where it is one already.

        Raises:
            Misfit: no value of that schema can be read.
        """
        if written.base != "union":
            return shape.reader(written, self)
        branches = written.branches()
        readers: dict[Any, Convert | None] = {}
        for branch in branches:
            key = branch.name if branch.is_named else branch.python
            if key in readers:
                raise Misfit(f"two branches of the written union cannot be told apart: {branch}")
            readers[key] = self._branch_reader(shape, branch)
        if not any(readers.values()):
            return None
        if len(readers) == 2 and readers.get(NoneType, self) is None:  # noqa: PLR2004 - null and another
            return _optional(readers, named=any(branch.is_named for branch in branches))
        return _by_branch(readers)

    def _branch_reader(self, shape: Shape, branch: Written) -> Convert | None:
        """As `reader`, but what cannot be read is refused only when such a value turns up."""
        try:
            read = shape.reader(branch, self)
        except Misfit as error:
            return _refuse(error)
        return same if read is None and branch.is_named else read


def same(value: Any) -> Any:
    """The value itself."""
    return value


def _refuse(error: Misfit) -> Convert:
    def refuse(_: Any) -> Any:
        raise Misfit(error.reason, error.path)

    return refuse


def _optional(readers: dict[Any, Convert | None], *, named: bool) -> Convert:
    (read,) = (read for read in readers.values() if read is not None)
    if named:  # a value of a named type comes with its name
        return lambda value: None if value is None else read(value[1])
    return lambda value: None if value is None else read(value)


def _by_branch(readers: dict[Any, Convert | None]) -> Convert:
    def read(value: Any) -> Any:
        key = type(value)
        if key is tuple:
            key, value = value
        found = readers[key]
        return value if found is None else found(value)

    return read
