"""Schemas and bytes that few of stand for much: refused soon, and without the memory they ask for.

Every case runs in a thread, whose stack is small, and with a limit on what it may allocate.
"""

import json
import os
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventkit.codec import AvroCodec, careful
from eventkit.codec.schema import AvroSchema
from eventkit.errors import CodecError, UnencodableEvent
from eventkit.events import EventTypes
from tests.unit.codec_kit import Kept, event_class

MEGABYTES = 1 << 20
SOON = 15.0
"""Seconds; what is tested takes less than three on a machine at work."""
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST = 400 * MEGABYTES


def varint(number: int) -> bytes:
    """As Avro writes a number."""
    zigzag = (number << 1) ^ (number >> 63)
    out = b""
    while zigzag > 127:
        out += bytes([zigzag & 127 | 128])
        zigzag >>= 7
    return out + bytes([zigzag])


def record(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "Thing", "fields": [{"name": "a", "type": kind}]}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def fields(count: int, kind: Any, first: Any = ()) -> dict[str, Any]:
    rest = [{"name": f"f{number}", "type": kind} for number in range(count)]
    return {"type": "record", "name": "Wide", "fields": [*first, *rest]}


def doubled(levels: int) -> dict[str, Any]:
    """Each record holds the one before twice; none has a byte."""
    schema: dict[str, Any] = {"type": "record", "name": "D0", "fields": []}
    for level in range(1, levels):
        twice = [{"name": "a", "type": schema}, {"name": "b", "type": f"D{level - 1}"}]
        schema = {"type": "record", "name": f"D{level}", "fields": twice}
    return schema


def chained(length: int) -> dict[str, Any]:
    """Records within records, although the schema itself is flat."""
    kinds: list[Any] = [{"type": "record", "name": "N0", "fields": []}]
    for number in range(1, length):
        inner = [{"name": "a", "type": f"N{number - 1}"}]
        kinds.append({"type": "record", "name": f"N{number}", "fields": inner})
    named = [{"name": f"f{number}", "type": kind} for number, kind in enumerate(kinds)]
    return {"type": "record", "name": "R", "fields": named}


def nested(levels: int) -> Any:
    kind: Any = "int"
    for _ in range(levels):
        kind = array(kind)
    return kind


TREE = {
    "type": "record",
    "name": "A",
    "fields": [
        {"name": "l", "type": ["null", "A"]},
        {"name": "r", "type": ["null", "A"]},
        *({"name": f"n{number}", "type": "null"} for number in range(900)),
    ],
}
"""A byte or two bring a record of 900 nulls."""
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 10**9, "scale": 2}
SPARSE = fields(900, "null", [{"name": "x", "type": "boolean"}])

BOMBS: dict[str, tuple[Any, bytes]] = {
    "a text of 2^40 bytes": (record("string"), varint(1 << 40) + b"abc"),
    "a text of a negative length": (record("string"), varint(-1) + b"abc"),
    "bytes of 2^62 bytes": (record("bytes"), varint(1 << 62) + b"abc"),
    "a fixed of 2^40 bytes": (record({"type": "fixed", "name": "F", "size": 1 << 40}), b"abc"),
    "2^60 numbers": (record(array("int")), varint(1 << 60) + b"\2\2\2"),
    "-2^63 numbers": (record(array("int")), varint(-(1 << 63)) + b"\2\2\2"),
    "2^60 entries": (record({"type": "map", "values": "null"}), varint(1 << 60) + b"\2a\2b"),
    "2^60 nulls": (record(array("null")), varint(1 << 60) + b"\0"),
    "2^60 records without fields": (
        record(array({"type": "record", "name": "E", "fields": []})),
        varint(1 << 60) + b"\0",
    ),
    "2^60 fixed of no bytes": (
        record(array({"type": "fixed", "name": "F", "size": 0})),
        varint(1 << 60) + b"\0",
    ),
    "2^60 nulls of a schema that holds itself": (
        {
            "type": "record",
            "name": "A",
            "fields": [{"name": "n", "type": array("null")}, {"name": "a", "type": ["null", "A"]}],
        },
        varint(1 << 60),
    ),
    "many nulls a byte, in an array": (record(array(SPARSE)), varint(1 << 19) + b"\1" * (1 << 19)),
    "many nulls a byte, in itself": (TREE, b"\2\2" + b"\2\0\0" * 100_000),
    "2^30 records without a byte": (doubled(30), b""),
    "2^90 records without a byte": (doubled(90), b""),
    "4,000 records in each other": (chained(4_000), b""),
    "a record that is its own field": (record("Thing"), b"\0"),
    "a number of a megabyte": (TREE, b"\xff" * MEGABYTES + b"\0"),
    "a decimal of a megabyte": (record(DECIMAL), varint(MEGABYTES) + b"\x7f" * MEGABYTES),
    "a branch that is not there": (record(["null", "string"]), varint(1 << 40)),
    "a symbol that is not there": (
        record({"type": "enum", "name": "E", "symbols": ["A"]}),
        varint(1 << 33),
    ),
    "a moment beyond the years": (
        record({"type": "long", "logicalType": "timestamp-micros"}),
        varint((1 << 63) - 1),
    ),
    "arrays in arrays": (record(nested(180)), b"\2" * MEGABYTES),
    "a JSON text that nests": (
        record({"type": "string", "logicalType": "json"}),
        varint(200_000) + b"[" * 200_000,
    ),
}

NO_SCHEMAS: dict[str, str] = {
    "no JSON": "\x1b[31m{",
    "a number": "1",
    "null": "null",
    "a text": '"int"',
    "a list": "[1, 2]",
    "JSON that nests": "[" * 200_000,
    "half a schema": json.dumps(record(nested(190)))[:-2],
    "types that nest": json.dumps(record(nested(450))),
    "fields that are none": '{"type":"record","name":"R","fields":7}',
    "a type that is not there": json.dumps(record("Elsewhere")),
    "a default of another type": json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "default": "x"}]}
    ),
}


def codec_of(find: Callable[[bytes], str | None]) -> AvroCodec:
    types = EventTypes()
    types.bind_all([event_class("Thing", a=int)])
    return AvroCodec(types, find)


def kept(schema: str) -> tuple[AvroCodec, bytes]:
    """A codec whose store holds the schema under its own fingerprint, and a header."""
    known = AvroSchema.of(schema)
    held = {known.fingerprint: schema}
    return codec_of(held.get), known.header


def bounded(work: Callable[[], None]) -> None:
    """Work in a thread of its own, soon done and with little memory."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    before, peak = resident(), 0
    began, thread = monotonic(), threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and monotonic() < began + SOON:
        thread.join(0.01)
        peak = max(peak, resident() - before)
        assert peak < MOST, f"{peak / MEGABYTES:.0f} MB"
    assert not thread.is_alive()
    assert not failures, failures


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def decode_all_ways(codec: AvroCodec, data: bytes) -> None:
    for decode in (codec.decode, codec.decode_plain):
        with suppress(CodecError):
            decode("Thing", data)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused(bomb: str) -> None:
    schema, body = BOMBS[bomb]

    def read() -> None:
        codec, header = kept(json.dumps(schema))
        for decode in (codec.decode, codec.decode_plain):
            with pytest.raises(CodecError):
                decode("Thing", header + body)

    bounded(read)


@pytest.mark.parametrize("wrong", NO_SCHEMAS)
def test_a_text_that_is_no_schema_is_refused(wrong: str) -> None:
    codec = codec_of(lambda _: NO_SCHEMAS[wrong])

    def read() -> None:
        for decode in (codec.decode, codec.decode_plain):
            with pytest.raises(CodecError):
                decode("Thing", b"\xc3\x01" + b"\7" * 8)

    bounded(read)


LARGE = {
    "fields": fields(10_000, "int"),
    "names": {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": f"f{number}", "type": {"type": "record", "name": f"N{number}", "fields": []}}
            for number in range(4_000)
        ],
    },
    "branches": record([{"type": "fixed", "size": 1, "name": f"N{it}"} for it in range(5_000)]),
    "symbols": record({"type": "enum", "name": "E", "symbols": [f"S{it}" for it in range(25_000)]}),
    "a namespace": {"type": "record", "name": "a." * 200_000 + "R", "fields": []},
}


@pytest.mark.parametrize("large", LARGE)
def test_a_schema_as_large_as_a_message_is_read_in_seconds(large: str) -> None:
    def read() -> None:
        codec, header = kept(json.dumps(LARGE[large]))
        decode_all_ways(codec, header + b"\0" * 3)

    bounded(read)


def test_a_schema_under_the_fingerprint_of_another_is_refused() -> None:
    theirs = json.dumps(record("long"))
    codec = codec_of(lambda _: theirs)
    for decode in (codec.decode, codec.decode_plain):
        with pytest.raises(CodecError, match=r"written with schema 0707.*it was changed"):
            decode("Thing", b"\xc3\x01" + b"\7" * 8 + b"\2")


class Mark(BaseModel):
    """Says something by being there."""


class Marked(BaseModel):
    text: str
    one: Mark = Mark()
    two: Mark = Mark()
    three: Mark = Mark()
    four: Mark = Mark()


def test_what_a_reader_would_not_take_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(careful, "MAX_EMPTY", 10_000)
    cls = event_class("Thing", a=list[Marked])
    codec = Kept(cls)
    event = cls(a=[Marked(text="x")] * 1_000)
    assert codec.codec.decode("Thing", codec.write(event)) == event
    with pytest.raises(UnencodableEvent, match="values have no byte of their own"):
        codec.write(cls.model_construct(a=[Marked(text="")] * 4_000))


KINDS = st.recursive(
    st.sampled_from(["null", "int", "long", "string", "bytes", "double", "boolean"]),
    lambda inner: st.one_of(
        inner.map(array),
        inner.map(lambda it: {"type": "map", "values": it}),
        inner.map(lambda it: ["null", {"type": "array", "items": it}]),
    ),
    max_leaves=4,
)


@given(KINDS, st.binary(max_size=60))
def test_any_bytes_with_any_schema_give_an_error_of_the_codec(kind: Any, body: bytes) -> None:
    codec, header = kept(json.dumps(record(kind)))
    decode_all_ways(codec, header + body)


@given(st.integers(0, 1 << 32))
def test_a_schema_with_flipped_bits_gives_an_error_of_the_codec(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    text = bytearray(json.dumps(TREE | {"fields": TREE["fields"][:4]}).encode())
    for _ in range(chance.randint(1, 4)):
        text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
    changed = text.decode(errors="replace")
    codec = codec_of(lambda _: changed)
    decode_all_ways(codec, b"\xc3\x01" + chance.randbytes(8) + chance.randbytes(20))
