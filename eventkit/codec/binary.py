"""The binary form of a record, by fastavro."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro

from eventkit.codec.careful import Care, careful_reader
from eventkit.codec.schema import HEADER_SIZE, AvroSchema
from eventkit.codec.shapes import Misfit

MAX_DEPTH = 64
"""Levels of records within records that are written: the safe reader reads that on any stack."""

Write = Callable[[Any], bytes]
Read = Callable[[bytes], Any]


def record_writer(schema: AvroSchema) -> Write:
    """A function from what a `RecordWriter` made to the bytes of a record, header included."""
    header, parsed, named = schema.header, schema.parsed, schema.named
    write_data = _WRITE_DATA
    options: dict[str, Any] = {}

    def write_by_public_name(datum: Any) -> bytes:
        buffer = BytesIO()
        buffer.write(header)
        fastavro.schemaless_writer(buffer, parsed, datum)
        return buffer.getvalue()

    def write(datum: Any) -> bytes:
        data = bytearray(header)
        write_data(data, datum, parsed, named, "", options)
        return bytes(data)

    direct = write_by_public_name if write_data is None else write
    care = Care(schema)
    if not care.is_needed:
        return direct
    read = record_reader(schema, with_names=True)

    def write_with_care(datum: Any) -> bytes:
        if care.nests:
            _check_depth(datum, MAX_DEPTH)
        data = direct(datum)
        if care.bursts:
            read(data)  # what no reader would take is not written
        return data

    return write_with_care


def record_reader(schema: AvroSchema, *, with_names: bool) -> Read:
    """A function from the bytes of a record, header included, to what fastavro reads in them.

    It raises ValueError, EOFError and much else where the bytes were not written with this schema.

    Parameters:
        schema: the schema of the writer.
        with_names: return a value of a named type in a union together with its name.
    """
    options: dict[str, Any] = {"return_named_type": with_names}
    parsed, named = schema.parsed, {"writer": schema.named, "reader": {}}
    read_data = _READ_DATA
    care = Care(schema)
    if care.is_needed:
        return _from_header(careful_reader(schema, care, options))
    if read_data is None:
        return _from_header(lambda it: fastavro.schemaless_reader(it, parsed, None, **options))

    def read(data: bytes) -> Any:
        buffer = BytesIO(data)
        buffer.seek(HEADER_SIZE)
        datum = read_data(buffer, parsed, named, None, options)
        return datum if buffer.tell() == len(data) else _whole(datum, buffer, data)

    return read


def _from_header(read_body: Callable[[BytesIO], Any]) -> Read:
    def read(data: bytes) -> Any:
        buffer = BytesIO(data)
        buffer.seek(HEADER_SIZE)
        return _whole(read_body(buffer), buffer, data)

    return read


def _whole(datum: Any, buffer: BytesIO, data: bytes) -> Any:
    rest = len(data) - buffer.tell()
    if rest:
        raise ValueError(f"{rest} bytes follow the last field")
    return datum


def _check_depth(datum: Any, left: int) -> None:
    if isinstance(datum, dict):
        if not left:
            raise Misfit(f"it is nested more than {MAX_DEPTH} levels deep")
        for value in datum.values():
            _check_depth(value, left - 1)
    elif isinstance(datum, (list, tuple)):
        for value in datum:
            _check_depth(value, left)


def _inner_functions() -> tuple[Any, Any]:
    """What fastavro's public functions call once they have prepared the schema.

    That preparation takes longer than writing a small record. Where this fastavro has no such
    functions, or they have changed, the public ones do the same.
    """
    try:
        from fastavro import _read, _write  # noqa: PLC0415 - the C extension need not be there

        write_data, read_data = _write.write_data, _read._read_data  # type: ignore[attr-defined]  # noqa: SLF001
        named: dict[str, Any] = {}
        fields = [{"name": "text", "type": "string"}, {"name": "number", "type": ["null", "long"]}]
        probe = {"type": "record", "name": "Probe", "fields": fields}
        parsed = fastavro.parse_schema(probe, named)
        datum = {"text": "x", "number": 1}
        data = bytearray()
        write_data(data, datum, parsed, named, "", {})
        both = {"writer": named, "reader": {}}
        if read_data(BytesIO(bytes(data)), parsed, both, None, {}) == datum:
            return write_data, read_data
    except Exception:  # noqa: BLE001, S110  # pragma: no cover - another fastavro: go by its public names
        pass
    return None, None  # pragma: no cover - as above


_WRITE_DATA, _READ_DATA = _inner_functions()
