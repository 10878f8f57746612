"""Records that a stranger might write: random, cut off, changed, and hostile by design."""

import json
import random
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from eventkit.kafka.records import framed, new_records

Fields = list[tuple[str, bytes | None]]


class Stranger(NamedTuple):
    """A record that is no event, or none that takes effect."""

    key: bytes | None
    value: bytes | None
    headers: Fields
    timestamp: int = 0


def true_record(aggregate_id: str, version: int, body: bytes) -> Stranger:
    """A record as the library writes it, by a writer of another name."""
    (new,) = new_records(aggregate_id, [(uuid.uuid4(), "ParcelMoved", body)], 0)
    (headers,) = framed([new], uuid.uuid4().hex, version, "stranger")
    return Stranger(new.key, new.value, [(name, _bytes(value)) for name, value in headers])


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


HOSTILE: dict[str, list[bytes | None]] = {
    "ce_append": [
        b"", None, b".", b"a.0", b"a.0.0", b"a.1.1", b"a.-1.1", b"a.0.-1", b"a.2147483648.1",
        b"a.0.2147483649", b"a.0.100001", b"a.9999999999999999999999.1", b"a.0." + b"9" * 5_000,
        b"\xff.0.x", "a.\u0660.\u0661".encode(), b"a. 0.1", b"-",
    ],
    "ce_aggregateversion": [
        b"", None, b"-1", b"0", b"1.0", b"1e3", b"99999999999999999999", b"9" * 5_000,
        b"9" * 4_000, str(1 << 63).encode(), "\u0663".encode(), b" 4", b"4\n", b"0x4", b"\x00",
    ],
    "ce_writer": [None, b"\xff\xfe"],
    "ce_id": [b"", None, b"x" * 36, b"-" * 36, b"0" * 31, b"0" * 33, b"\x00" * 16, b"0" * 100_000],
    "ce_type": [b"", None, b"\xff"],
    "ce_time": [
        b"", None, b"0000-00-00T00:00:00.000000Z", b"2024-02-31T00:00:00.000000Z",
        b"2024-01-01T24:00:00.000000Z", b"2024-01-01T00:00:00.000000+01:00",
        b"99999-01-01T00:00:00.000000Z", b"2024-01-01T00:00:00Z", b"now", b"9" * 100_000,
        b"2024-01-01T00:00:00.00000-Z", b"-001-01-01T00:00:00.000000Z",
    ],
    "ce_workspaceid": [b"\xff"],
    "ce_causedbyuser": [None, b"\xff", b"\xed\xa0\x80"],
    "ce_extra": [
        b"", None, b"{", b"[]", b"1", b"null", b'{"a":1}', b'{"a":{"b":"c"}}', b"[" * 50_000,
        b'{"a":' * 5_000 + b'"x"' + b"}" * 5_000, b'{"a":"\\ud800"}', b"\xff", b'"\x1b[31m\nfake"',
        json.dumps(dict.fromkeys(map(str, range(20_000)), 1)).encode(), b"9" * 5_000,
    ],
}  # fmt: skip
"""Values that no sound record has, by header."""

KEYS: list[bytes | None] = [
    None, b"", b"parcel", b"-", b"-1", b"parcel-", b"\xff", b"parcel-\x00", b"parcel-\x00x",
    b"\x00", b"parcel-\x1b[31m", b"parcel-\n", b"../parcel-1", b"PARCEL-1", b"van-1",
    b"p-" * 50_000,
    b"parcel-" + b"x" * 1_025, b"parcel-" + b"x" * 900_000, "parcel-\u202eevil".encode(),
    b"parcel-'; DROP TABLE events; --", b'parcel-"', b"parcel-\xed\xa0\x80", b"parcel-\\u0000",
]  # fmt: skip


def hostile(body: bytes) -> Iterator[Stranger]:
    """Records that are wrong in one way each; `parcel-1` is at version 3."""
    true = true_record("parcel-1", 4, body)
    for name, values in HOSTILE.items():
        for value in values:
            changed = [(it, value if it == name else before) for it, before in true.headers]
            if name not in dict(true.headers):
                changed.append((name, value))
            yield true._replace(headers=changed)
        if name in dict(true.headers) and name != "ce_extra":
            yield true._replace(headers=[it for it in true.headers if it[0] != name])
            yield true._replace(headers=[*true.headers, (name, dict(true.headers)[name])])
    for key in KEYS:
        yield true_record("parcel-1", 2, body)._replace(key=key)  # of a new aggregate: a gap
    yield true._replace(value=None)
    yield true._replace(key=None, value=None, headers=[])
    yield true._replace(headers=[])
    yield true._replace(headers=[("x" * 100_000, b"")])
    yield true._replace(
        headers=[*true.headers, *((f"h{it}", b"") for it in range(5_000)), ("h1", None)]
    )
    yield true._replace(value=b"x" * 900_000, headers=true.headers[1:])
    for version in (1, 3, 9, 10, 1 << 31, 1 << 62, 1 << 64):
        yield true_record("parcel-1", version, body)
        yield true_record("parcel-1", version, b"\x00" * 900_000)
    yield true_record("parcel-unknown-home", 2, body)


def mangled(true: Stranger, chance: random.Random) -> Stranger:
    """A true record of a version that is long taken, cut off or with bits turned over."""
    headers: Fields = [(name, _mangled(value or b"", chance)) for name, value in true.headers]
    chosen = chance.randrange(4)
    if chosen == 0:
        return Stranger(chance.randbytes(20), chance.randbytes(50), headers)
    if chosen == 1:
        return true._replace(headers=chance.sample(headers, chance.randrange(len(headers))))
    if chosen == 2:
        return true._replace(headers=headers)
    return true._replace(key=_mangled(true.key or b"", chance), value=chance.randbytes(30))


def _mangled(value: bytes, chance: random.Random) -> bytes:
    match chance.randrange(5):
        case 0:
            return value[: chance.randrange(len(value) + 1)]
        case 1 if value:
            flipped = bytearray(value)
            flipped[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
            return bytes(flipped)
        case 2:
            return chance.randbytes(chance.randrange(40))
        case _:
            return value
