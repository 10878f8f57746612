"""Avro schemas, and the fingerprints by which records name them.

A record is written in Avro's single-object encoding: two bytes of marker, the CRC-64-AVRO of the
schema's Parsing Canonical Form in little-endian order, then the body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from eventkit.codec.written import Written
from eventkit.errors import CodecError, IncompatibleSchema

MARKER = b"\xc3\x01"
HEADER_SIZE = 10
_DEEPEST = 400
"""Levels of JSON in a schema; 64 records within records have 256."""
_MEANING = (
    "type", "name", "fields", "items", "values", "symbols", "size",
    "logicalType", "precision", "scale",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """One Avro schema.

    Parameters:
        name: the full name of the record.
        fingerprint: 8 bytes, as they stand in the header of a record.
        json: the whole schema, with logical types, defaults and documentation: what a store keeps.
        parsed: the schema as fastavro wants it.
        named: its named types, by full name.
    """

    name: str
    fingerprint: bytes
    json: str
    parsed: Any = field(compare=False, repr=False)
    named: dict[str, Any] = field(compare=False, repr=False)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @classmethod
    def of(cls, schema: Any) -> AvroSchema:
        """The schema that is given as JSON: text, or what `json.loads` made of it.

        Raises:
            CodecError: it is no Avro schema of a record.
        """
        try:
            content = json.loads(schema) if isinstance(schema, str) else schema
            _check_depth(content)
            named: dict[str, Any] = {}
            parsed: Any = parse_schema(content, named)
            crc = bytes.fromhex(fingerprint(to_parsing_canonical_form(content), "CRC-64-AVRO"))
            text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
            return cls(parsed["name"], crc, text, parsed, named)
        except Exception as error:
            raise CodecError(f"not an Avro schema of a record: {error}") from error

    @property
    def header(self) -> bytes:
        """The first 10 bytes of each record written with it."""
        return MARKER + self.fingerprint


def fingerprint_of(data: bytes) -> bytes:
    """The fingerprint in the header of a record: 8 bytes.

    Raises:
        CodecError: these bytes are no record in Avro's single-object encoding.
    """
    if len(data) < HEADER_SIZE or data[:2] != MARKER:
        raise CodecError(
            f"{len(data)} bytes that begin with {data[:HEADER_SIZE].hex(' ') or 'nothing'} are no "
            "Avro record: it would begin with c3 01 and the 8 bytes of a schema's fingerprint"
        )
    return bytes(data[2:HEADER_SIZE])


def check_same_meaning(stored: str, schema: AvroSchema, event_type: str) -> None:
    """Refuse a schema whose fingerprint belongs to another one already.

    The fingerprint says nothing of logical types: a whole number and a datetime have the same. So
    a field that changed from one to the other would be read wrongly, and silently.

    Parameters:
        stored: the schema kept under the fingerprint of `schema`, as JSON.
        schema: the schema of today.
        event_type: the recorded type, for the message.

    Raises:
        IncompatibleSchema: they differ in more than documentation and defaults.
    """
    if stored == schema.json:
        return
    before = AvroSchema.of(stored)
    if _meaning(before.parsed) == _meaning(schema.parsed):
        return
    raise IncompatibleSchema(
        event_type,
        schema.fingerprint.hex(),
        f"{_difference(before, schema)}, which Avro's fingerprint does not tell apart; write the "
        "new form into a field of another name",
    )


def _check_depth(content: Any) -> None:
    """Refuse a schema that those who walk through it could not, on the stack that they have."""
    level: list[Any] = [content] if isinstance(content, dict | list) else []
    depth = 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
        parts = [it.values() if isinstance(it, dict) else it for it in level]
        level = [it for part in parts for it in part if isinstance(it, dict | list)]


def _meaning(node: Any) -> Any:
    """A schema without what does not change how bytes are read."""
    if isinstance(node, list):
        return [_meaning(part) for part in node]
    if isinstance(node, dict):
        return {key: _meaning(node[key]) for key in _MEANING if key in node}
    return node


def _difference(before: AvroSchema, today: AvroSchema) -> str:
    then = Written(before.parsed, before.named).fields()
    now = Written(today.parsed, today.named).fields()
    changed = [
        f"field {name} was {then[name]} and is {now[name]} now"
        for name in now
        if name in then and _meaning(then[name].node) != _meaning(now[name].node)
    ]
    return changed[0] if changed else f"it was {before.name} with other fields"
