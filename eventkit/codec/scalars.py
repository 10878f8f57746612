"""Shapes of single values: text, numbers, moments, identifiers, enums."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from types import NoneType
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from typing_extensions import override

from eventkit.codec.names import class_names, is_avro_name
from eventkit.codec.shapes import Convert, Misfit, Reading, Shape, Writing
from eventkit.codec.wires import DurationWire, NaiveDatetimeWire, Wires
from eventkit.codec.written import Written

_MICROSECOND = timedelta(microseconds=1)
_INT64 = 1 << 63


class Scalar(Shape):
    """A type with one Avro form, given by the functions that convert and check its values.

    Parameters:
        python: the type.
        base: its Avro type.
        logical: its Avro logical type.
        wire: the type to hand to the library, where that is not `python` itself.
        write: from a value of exactly `python` to Avro; None says that fastavro takes it as it is.
        read: the way back; None says that fastavro returns it as it is.
        reads: other Avro types that can be read, each with its conversion.
    """

    def __init__(
        self,
        python: type,
        base: str,
        logical: str | None = None,
        *,
        wire: Any = None,
        write: Convert | None = None,
        read: Convert | None = None,
        reads: dict[tuple[str, str | None], Convert] | None = None,
    ) -> None:
        self.label = python.__name__
        self.base = base
        self.logical = logical
        self.takes = (python,)
        self.empty = base == "null"
        if write is None:
            self.plain = frozenset(self.takes)
        self._python = python
        self._wire = python if wire is None else wire
        self._write = write
        self._readers: dict[tuple[str, str | None], Convert | None] = {(base, logical): read}
        self._readers |= reads or {}

    @override
    def wire(self, wires: Wires) -> Any:
        return self._wire

    @override
    def writer(self, writing: Writing) -> Convert:
        python, write = self._python, self._write

        def convert(value: Any) -> Any:
            if type(value) is not python:
                value = _without_subclass(python, value)
            return value if write is None else write(value)

        return convert

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        if written.base == "enum" and ("string", None) in self._readers:
            return self._readers["string", None]
        try:
            return self._readers[written.base, written.logical]
        except KeyError:
            raise self.cannot_read(written) from None


def _without_subclass(python: type, value: Any) -> Any:
    """A value of a subclass as one of `python` itself, if nothing is lost by that."""
    if isinstance(value, python) and not isinstance(value, bool):
        plain = _BASE_VALUE[python](value) if python in _BASE_VALUE else value
        if type(plain) is python and plain == value:
            return plain
    if python in (float, Decimal) and type(value) is int and python(value) == value:
        return python(value)  # such as a default of 0, which pydantic does not convert
    raise Misfit(f"{value!r:.100} is no {python.__name__}, but {_indefinite(value)}")


def _indefinite(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _plain_datetime(value: datetime) -> datetime:
    return datetime.combine(value.date(), value.timetz())


_BASE_VALUE: dict[type, Convert] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes.__bytes__,
    datetime: _plain_datetime,
    UUID: lambda value: UUID(int=value.int),
    Decimal: Decimal,
}


def _exact_float(value: int) -> float:
    if int(number := float(value)) != value:
        raise Misfit(f"{value} was written as a whole number that float cannot hold exactly")
    return number


def _instant(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        raise Misfit(
            f"{value.isoformat()} has no time zone, so it names no instant; add tzinfo=UTC or an "
            "offset, or type the field pydantic.NaiveDatetime"
        )
    return value.astimezone(UTC)


def _wall_clock(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise Misfit(f"{value.isoformat()} has a time zone, which this field does not keep")
    return value


def _time_of_day(value: time) -> time:
    if value.tzinfo is not None:
        raise Misfit(f"{value.isoformat()} has a time zone, which Avro does not keep for a time")
    return value


def _microseconds(value: timedelta) -> int:
    count = value // _MICROSECOND
    if not -_INT64 <= count < _INT64:
        raise Misfit(f"{value} is longer than 64 bits of microseconds")
    return count


def _duration(count: int) -> timedelta:
    return timedelta(microseconds=count)


NONE = Scalar(NoneType, "null")
BOOL = Scalar(bool, "boolean")
INT = Scalar(int, "long", reads={("int", None): int})
STR = Scalar(str, "string", reads={("string", "uuid"): str})
DATETIME = Scalar(datetime, "long", "timestamp-micros", write=_instant)
NAIVE_DATETIME = Scalar(
    datetime, "long", "local-timestamp-micros", wire=NaiveDatetimeWire, write=_wall_clock
)
SCALARS = {
    shape.takes[0]: shape
    for shape in (
        NONE,
        BOOL,
        INT,
        STR,
        DATETIME,
        Scalar(bytes, "bytes"),
        Scalar(float, "double", reads={("long", None): _exact_float, ("int", None): float}),
        Scalar(UUID, "string", "uuid", reads={("string", None): UUID}),
        Scalar(date, "int", "date"),
        Scalar(time, "long", "time-micros", write=_time_of_day),
        Scalar(
            timedelta, "long", "duration-micros",
            wire=DurationWire, write=_microseconds, read=_duration,
        ),
        # As text: Avro's decimal needs a fixed scale, so 1.5 would come back as 1.50 or not fit.
        Scalar(
            Decimal, "string", wire=str, write=str, read=Decimal, reads={("long", None): Decimal}
        ),
    )
}  # fmt: skip


class EnumShape(Shape):
    """An enum, by value: an Avro enum where the values allow it, else its text or number."""

    def __init__(self, cls: type[Enum]) -> None:
        self.label = cls.__name__
        self.cls = cls
        self.takes = (cls,)
        self.symbols = [member.value for member in cls]
        if all(type(value) is int for value in self.symbols):
            self.base = "long"
        elif not all(isinstance(value, str) for value in self.symbols):
            raise Misfit("its values are neither all text nor all whole numbers")
        elif self.symbols and all(map(is_avro_name, self.symbols)) and not issubclass(cls, Flag):
            self.base = "enum"
        else:
            self.base = "string"
        if self.is_named:
            self.key = cls
            self.aka = class_names(cls)

    @override
    def wire(self, wires: Wires) -> Any:
        if not self.is_named:
            return int if self.base == "long" else str
        symbols = {f"symbol{number}": value for number, value in enumerate(self.symbols)}
        return wires.named(self.key, lambda token: Enum(token, symbols))

    @override
    def writer(self, writing: Writing) -> Convert:
        cls = self.cls

        def convert(value: Any) -> Any:
            if type(value) is not cls:
                raise Misfit(f"{value!r:.100} is no member of {cls.__name__}")
            return value.value

        return convert

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        texts = [("string", None), ("enum", None)]
        numbers = [("long", None), ("int", None)]
        if (written.base, written.logical) in (numbers if self.base == "long" else texts):
            return _member_reader(self.cls)
        raise self.cannot_read(written)


def _member_reader(cls: type[Enum]) -> Callable[[Any], Enum]:
    known: dict[Any, Enum] = {member.value: member for member in cls}

    def read(value: Any) -> Enum:
        member = known.get(value)
        if member is not None:
            return member
        try:
            return cls(value)  # a combination of flags, or what the class makes of a missing value
        except ValueError:
            raise Misfit(f"{value!r} is no member of {cls.__name__} today") from None

    return read


class TextShape(Shape):
    """A type that pydantic writes as text and reads back, such as a URL or an IP address."""

    base = "string"

    def __init__(self, label: str, adapter: TypeAdapter[Any], takes: tuple[type, ...]) -> None:
        self.label = label
        self.takes = takes
        self._adapter = adapter

    @override
    def wire(self, wires: Wires) -> Any:
        return str

    @override
    def writer(self, writing: Writing) -> Convert:
        return self._text

    def _text(self, value: Any) -> str:
        text = self._adapter.dump_python(value, mode="json")
        if not isinstance(text, str) or self._adapter.validate_python(text) != value:
            raise Misfit(f"{value!r:.100} does not come back from its text {text!r:.100}")
        return text

    @override
    def reader(self, written: Written, reading: Reading) -> Convert | None:
        if (written.base, written.logical) != ("string", None):
            raise self.cannot_read(written)
        return self._adapter.validate_python
