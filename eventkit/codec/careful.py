"""Reading bytes that may stand for far more than they are: counted, and only so far.

Most bytes of a record make one small value, so a record is about as large in memory as the message
it came in. Not with every schema:

- an array of values without a byte (null, a record without fields): its count, ten bytes at most,
  makes as many values as it says;
- records in records in records, each twice in the next, and none with a byte of its own;
- a record that holds itself: bytes nest it without end, and the fast reader ends the process;
- Avro's decimal: the time to read one grows with the square of its size.

Such a schema need not be anybody's mistake: `list[None]` has one. So it is read by fastavro's
reader in Python, with a decoder that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from fastavro import _read_py
from fastavro.io.binary_decoder import BinaryDecoder

from eventkit.codec.schema import HEADER_SIZE, AvroSchema
from eventkit.codec.written import Written

MAX_EMPTY = 1_000_000
"""Values without a byte of their own in one record, beside as many as it has bytes."""
_MOST_DECIMAL = 1_000
"""Bytes of a value, where the schema has a decimal; eventkit writes decimals as text."""
_DEEP = 200
"""Records within records that the fast reader is trusted with: it takes some of the stack."""
_VARINT = 10
"""Bytes of the longest number."""


class Care:
    """What there is to beware of when bytes of a schema are read.

    Parameters:
        schema: of the writer.

    Attributes:
        nests: a record can hold itself, or holds records within records beyond what is usual.
        decimals: it has Avro's decimals.
        empty: the most values without a byte of their own that a record, an item of an array or
            a branch of a union brings.
    """

    def __init__(self, schema: AvroSchema) -> None:
        self.nests = self.decimals = False
        self._repeated = 0
        self._records: dict[str, tuple[int, int]] = {}
        self._within: set[str] = set()
        self._alone, _ = self._walk(Written(schema.parsed, schema.named))
        self.empty = max([self._alone, self._repeated, *(it for it, _ in self._records.values())])

    @property
    def bursts(self) -> bool:
        """Whether few bytes may make many values."""
        return self._repeated > 0 or self._alone > MAX_EMPTY or (self.nests and self.empty > 0)

    @property
    def is_needed(self) -> bool:
        """Whether fastavro's fast reader must not have the bytes."""
        return self.nests or self.decimals or self.bursts

    def _walk(self, node: Written) -> tuple[int, int]:
        """How many values without a byte one value brings, and records within records."""
        self.decimals |= node.logical == "decimal"
        if node.base == "record":
            return self._record(node)
        if node.base == "union":
            found = [self._walk(it) for it in node.branches() if it.base != "null"]
            return max([0, *(it for it, _ in found)]), max([0, *(it for _, it in found)])
        if node.base in ("array", "map"):
            item, depth = self._walk(node.within("items" if node.base == "array" else "values"))
            self._repeated = max(self._repeated, item)
            return 0, depth
        return int(node.base == "null" or (node.base == "fixed" and node.node["size"] == 0)), 0

    def _record(self, node: Written) -> tuple[int, int]:
        name = node.name
        if name in self._within:
            self.nests = True
            return 0, 0
        if name not in self._records:
            self._within.add(name)
            fields = [self._walk(it) for it in node.fields().values()]
            self._within.discard(name)
            depth = 1 + max([0, *(it for _, it in fields)])
            self.nests |= depth > _DEEP
            self._records[name] = sum(it for it, _ in fields) + (not fields), depth
        return self._records[name]


def careful_reader(schema: AvroSchema, care: Care, options: dict[str, Any]) -> Callable[..., Any]:
    """A function that reads what follows the header; it raises whatever damage leads to."""
    parsed, named = schema.parsed, {"writer": schema.named, "reader": {}}

    def read(buffer: BytesIO) -> Any:
        decoder = _Counting(buffer, care)
        return _read_py.read_data(decoder, parsed, named, None, options)  # type: ignore[no-untyped-call]

    return read


class _Counting(BinaryDecoder):
    """A decoder that gives up where a message makes more than anybody writes."""

    def __init__(self, buffer: BytesIO, care: Care) -> None:
        super().__init__(buffer)  # type: ignore[no-untyped-call]
        self._buffer = buffer
        self._each = care.empty
        self._left = MAX_EMPTY + len(buffer.getbuffer()) - HEADER_SIZE
        self._most = _MOST_DECIMAL if care.decimals else len(buffer.getbuffer())
        self._spend(care.empty)

    def read_long(self) -> int:
        """A number, of 64 bits at most."""
        value = shift = 0
        for _ in range(_VARINT):
            byte = self._buffer.read(1)
            if not byte:
                raise EOFError("a number is cut off")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:  # noqa: PLR2004 - the bit that says that more follow
                return (value >> 1) ^ -(value & 1)
            shift += 7
        raise ValueError(f"a number of more than {_VARINT} bytes")

    read_int = read_long
    read_enum = read_long

    def read_index(self) -> int:
        """The number of a branch of a union."""
        self._spend(self._each)
        return self.read_long()

    def read_bytes(self) -> bytes:
        """Bytes after their length."""
        return self.read_fixed(self.read_long())

    def read_utf8(self, handle_unicode_errors: str = "strict") -> str:
        """A text after its length."""
        size = self.read_long()
        return self._exactly(size).decode(errors=handle_unicode_errors)

    def read_fixed(self, size: int) -> bytes:
        """So many bytes."""
        if size > self._most:
            raise ValueError(f"a value of {size} bytes, and {self._most} are the most here")
        return self._exactly(size)

    def iter_array(self) -> Iterator[None]:
        """Once for each item."""
        for _ in self._iter_array_or_map():  # type: ignore[no-untyped-call]
            self._spend(self._each)
            yield

    iter_map = iter_array

    def _exactly(self, size: int) -> bytes:
        found = self._buffer.read(size) if size >= 0 else b""
        if len(found) != size:
            raise EOFError(f"Expected {size} bytes, read {len(found)}")
        return found

    def _spend(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise ValueError(f"more than {MAX_EMPTY:,} values have no byte of their own")
