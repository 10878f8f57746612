"""The binary form of a record, by fastavro."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import fastavro
from fastavro import _read_py

from eventkit.codec.schema import HEADER_SIZE, AvroSchema
from eventkit.codec.shapes import Misfit
from eventkit.codec.written import Written

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
    if not holds_itself(schema):
        return direct

    def write_nested(datum: Any) -> bytes:
        _check_depth(datum, MAX_DEPTH)
        return direct(datum)

    return write_nested


def record_reader(schema: AvroSchema, *, with_names: bool) -> Read:
    """A function from the bytes of a record, header included, to what fastavro reads in them.

    It raises ValueError, EOFError and much else where the bytes were not written with this schema.

    Parameters:
        schema: the schema of the writer.
        with_names: return a value of a named type in a union together with its name.
    """
    options = {"return_named_type": with_names}
    parsed, named = schema.parsed, {"writer": schema.named, "reader": {}}
    read_data = _READ_DATA
    # The fast reader ends the process where bytes nest without end; this one a RecursionError.
    by_public_name = _read_py if holds_itself(schema) else fastavro

    def read_by_public_name(data: bytes) -> Any:
        buffer = BytesIO(data)
        buffer.seek(HEADER_SIZE)
        datum = by_public_name.schemaless_reader(buffer, parsed, None, **options)
        return _whole(datum, buffer, data)

    def read(data: bytes) -> Any:
        buffer = BytesIO(data)
        buffer.seek(HEADER_SIZE)
        datum = read_data(buffer, parsed, named, None, options)
        return datum if buffer.tell() == len(data) else _whole(datum, buffer, data)

    return read_by_public_name if read_data is None or by_public_name is _read_py else read


def _whole(datum: Any, buffer: BytesIO, data: bytes) -> Any:
    rest = len(data) - buffer.tell()
    if rest:
        raise ValueError(f"{rest} bytes follow the last field")
    return datum


def holds_itself(schema: AvroSchema) -> bool:
    """Whether a record of this schema can be nested in itself, to any depth."""
    return _is_cyclic(Written(schema.parsed, schema.named), ())


def _is_cyclic(node: Written, within: tuple[str, ...]) -> bool:
    if node.base == "record":
        name = node.name
        return name in within or any(_is_cyclic(f, (*within, name)) for f in node.fields().values())
    if node.base == "union":
        return any(_is_cyclic(branch, within) for branch in node.branches())
    if node.base in ("array", "map"):
        return _is_cyclic(node.within("items" if node.base == "array" else "values"), within)
    return False


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
