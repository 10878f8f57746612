"""The shape of a pydantic model: an Avro record."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import override

from eventkit.codec.names import class_names
from eventkit.codec.reading import RecordReader
from eventkit.codec.shapes import Convert, Misfit, Reading, Shape, Writing
from eventkit.codec.unions import UnionShape
from eventkit.codec.wires import Wires
from eventkit.codec.writing import RecordWriter
from eventkit.codec.written import Written


class RecordShape(Shape):
    """A pydantic model, field by field under their Python names.

    `fields` and `infos` are filled in after construction, because a model may hold itself.
    """

    base = "record"

    def __init__(self, model: type[BaseModel]) -> None:
        self.label = model.__name__
        self.model = model
        self.key = model
        self.aka = class_names(model)
        self.takes = (model,)
        self.fields: dict[str, Shape] = {}
        self.infos: dict[str, FieldInfo] = {}

    @override
    def children(self) -> tuple[Shape, ...]:
        return tuple(self.fields.values())

    @override
    def wire(self, wires: Wires) -> Any:
        def stand_in(token: str) -> type:
            return dataclasses.make_dataclass(token, list(self._wire_fields(wires)))

        return wires.named(self.key, stand_in)

    def _wire_fields(self, wires: Wires) -> Iterator[tuple[str, Any]]:
        for name, shape in self.fields.items():
            info, ordered = self.infos[name], shape
            if isinstance(shape, UnionShape) and not info.is_required():
                ordered = shape.starting_with(info.get_default())
            yield name, ordered.wire(wires)

    @override
    def writer(self, writing: Writing) -> Convert:
        model, record = self.model, self.record_writer(writing)

        def convert(value: Any) -> dict[str, Any]:
            if type(value) is not model:
                raise Misfit(
                    f"it holds a {type(value).__name__}, and only {model.__name__} itself can be "
                    "written; where several classes may stand, write their union"
                )
            return record.datum(value.__dict__)

        return convert

    def record_writer(self, writing: Writing) -> RecordWriter:
        """What writes the fields of this record; it may be asked for while it is being made."""
        writer: RecordWriter | None = writing.records.get(self.key)
        if writer is None:
            writer = writing.records[self.key] = RecordWriter()
            writer.learn(self.fields, writing)
        return writer

    @override
    def reader(self, written: Written, reading: Reading) -> Convert:
        return self.record_reader(written, reading).read

    def record_reader(self, written: Written, reading: Reading) -> RecordReader:
        """What reads the fields of a written record; it may be asked for while it is being made.

        Raises:
            Misfit: it was no record, or one of another class, or a field cannot be read.
        """
        if written.base != "record" or not (written.alone or self.answers_to(written.name)):
            raise self.cannot_read(written)
        key = (self.key, written.name)
        reader: RecordReader | None = reading.records.get(key)
        if reader is None:
            reader = reading.records[key] = RecordReader(self.model)
            try:
                reader.learn(self.fields, self.infos, written, reading)
            except Misfit:
                del reading.records[key]
                raise
        return reader
