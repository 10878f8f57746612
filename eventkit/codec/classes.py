"""What is known of one pydantic class: its shape, its schema, and how it is written."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from pydantic import BaseModel

from eventkit.codec.annotations import shape_of
from eventkit.codec.binary import record_reader, record_writer
from eventkit.codec.derive import derive
from eventkit.codec.names import avro_full_name, avro_name
from eventkit.codec.reading import RecordReader
from eventkit.codec.records import RecordShape
from eventkit.codec.schema import AvroSchema
from eventkit.codec.shapes import Convert, Misfit, Reading
from eventkit.codec.unions import union_of
from eventkit.codec.written import Written
from eventkit.errors import UnencodableEvent
from eventkit.events import Event, event_type

_INT64 = 1 << 63
_MOST_CLASSES = 4_096


class Absent(BaseModel):
    """Stands for a field of an aggregate that no event has set yet."""


class ClassCodec:
    """Writes the records of one class, and says how records of it are read.

    Parameters:
        shape: what the class is made of.
        name: the name of its records in messages.
        full_name: their Avro name.
    """

    def __init__(self, shape: RecordShape, name: str, full_name: str) -> None:
        schema, writing = derive(shape, full_name)
        self.shape = shape
        self.schema = AvroSchema.of(schema)
        self._name = name
        self._datum = shape.record_writer(writing).datum
        self._write = record_writer(self.schema)

    def encode(self, values: dict[str, Any]) -> bytes:
        """A record of these field values.

        Raises:
            UnencodableEvent: a value cannot be kept exactly.
        """
        try:
            datum = self._datum(values)
        except Misfit as error:
            raise UnencodableEvent(self._name, str(error)) from error
        except RecursionError as error:
            raise UnencodableEvent(self._name, "it is nested too deeply") from error
        try:
            return self._write(datum)
        except Exception as error:
            raise UnencodableEvent(self._name, _blame(datum) or str(error)) from error

    def reader(self, written: AvroSchema) -> Convert:
        """How a record that fastavro read becomes an instance.

        Raises:
            Misfit: records of that schema cannot be read.
        """
        return self._record_reader(written).read

    @cached_property
    def decode(self) -> Callable[[bytes], dict[str, Any]]:
        """From a record of today's schema to its field values; raises whatever damage leads to."""
        read = record_reader(self.schema, with_names=True)
        values = self._record_reader(self.schema).values
        return lambda data: values(read(data))

    def _record_reader(self, written: AvroSchema) -> RecordReader:
        node = Written(written.parsed, written.named)
        return self.shape.record_reader(node, Reading())


@lru_cache(maxsize=_MOST_CLASSES)
def codec_of(model: type[BaseModel]) -> ClassCodec:
    """What is known of an event class, or of another pydantic class.

    Raises:
        UnsupportedType: it has a field that cannot be kept.
    """
    if issubclass(model, Event):
        recorded = event_type(model)
        return ClassCodec(shape_of(model), recorded, avro_full_name(recorded))
    return ClassCodec(shape_of(model), model.__name__, avro_name(model.__name__))


@lru_cache(maxsize=_MOST_CLASSES)
def state_codec_of(model: type[BaseModel]) -> ClassCodec:
    """What is known of the state of an aggregate, in which fields without a default may be absent.

    Raises:
        UnsupportedType: it has a field that cannot be kept.
    """
    shape, absent = shape_of(model), shape_of(Absent)
    for name, info in shape.infos.items():
        if info.is_required():
            shape.fields[name] = union_of([shape.fields[name], absent])
    name = avro_name(model.__name__)
    codec = ClassCodec(shape, model.__name__, name)
    if "logicalType" not in codec.schema.json:
        return codec
    # A snapshot is told from an older one by the fingerprint alone, which leaves out logical types;
    # so that they count, the name holds a checksum over all.
    checksum = zlib.crc32(codec.schema.json.encode())
    return ClassCodec(shape, model.__name__, f"{name}_{checksum:08x}")


def with_absent(codec: ClassCodec, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a state, with a stand-in for each that is missing."""
    return {name: values.get(name, _ABSENT) for name in codec.shape.fields}


def without_absent(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a state that are there."""
    return {name: value for name, value in values.items() if type(value) is not Absent}


_ABSENT = Absent()


def _blame(datum: Any, path: str = "") -> str | None:
    """What in a record fastavro cannot write, if it is a number or a text."""
    where = f"field {path}: " if path else ""
    if isinstance(datum, int) and not -_INT64 <= datum < _INT64:
        return f"{where}{datum} does not fit in 64 bits; type the field Decimal"
    if isinstance(datum, str) and any("\ud800" <= char <= "\udfff" for char in datum):
        return f"{where}{datum!r:.100} holds half a character (a lone surrogate)"
    if isinstance(datum, tuple):  # a value of a union, with its branch
        return _blame(datum[1], path)
    parts: Any = ()
    if isinstance(datum, dict):
        parts = datum.items()
    elif isinstance(datum, list):
        parts = enumerate(datum)
    found = (_blame(value, f"{path}.{step}" if path else str(step)) for step, value in parts)
    return next((reason for reason in found if reason), None)
