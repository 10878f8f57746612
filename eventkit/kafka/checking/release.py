"""Which release of Kafka answers at an address.

Clients cannot ask a broker for its version. But it answers an ApiVersions request with the highest
`metadata.version` it supports, and each release raised that.
"""

import socket
import struct
from bisect import bisect_right
from io import BytesIO

_SECONDS = 10.0
_MOST = 1_000_000

# The first metadata.version of each release.
RELEASES = {
    1: "3.0",
    2: "3.1",
    3: "3.2",
    4: "3.3",
    8: "3.4",
    9: "3.5",
    12: "3.6",
    15: "3.7",
    20: "3.8",
    21: "3.9",
    22: "4.0",
    26: "4.1",
    28: "4.2",
    30: "4.3",
}

API_VERSIONS, VERSION = 18, 3


def release_at(address: str) -> str:
    """The release of the broker at an address, such as "4.3"; only where it speaks plain text.

    Parameters:
        address: `host:port`.

    Raises:
        OSError, ValueError: nothing answers there, or no Kafka.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS) as connection:
            answer = _ask(connection)
        level = _features(answer).get("metadata.version", 0)
    except struct.error as error:
        raise ValueError("the answer is none of Kafka's") from error
    levels = list(RELEASES)
    newest = bisect_right(levels, level)
    return RELEASES[levels[newest - 1]] if newest else "older than 3.0"


def _ask(connection: socket.socket) -> BytesIO:
    client = b"eventkit"
    head = struct.pack(">hhih", API_VERSIONS, VERSION, 1, len(client)) + client + b"\0"
    compact = bytes([len(client) + 1]) + client
    request = head + compact + compact + b"\0"
    connection.sendall(struct.pack(">i", len(request)) + request)
    with connection.makefile("rb") as answer:
        (size,) = struct.unpack(">i", answer.read(4))
        if not 0 <= size <= _MOST:
            raise ValueError("the answer is none of Kafka's")
        return BytesIO(answer.read(size))


def _features(answer: BytesIO) -> dict[str, int]:
    """Return the highest supported level of each feature in an ApiVersions response."""
    answer.read(4 + 2)  # correlation id, error code
    for _ in range(_count(answer)):
        answer.read(2 + 2 + 2)  # key, lowest and highest version of an API
        _skip_tags(answer)
    answer.read(4)  # throttle time
    features: dict[str, int] = {}
    for _ in range(_varint(answer)):
        tag, size = _varint(answer), _varint(answer)
        field = BytesIO(answer.read(size))
        if tag == 0:
            features = dict(_feature(field) for _ in range(_count(field)))
    return features


def _feature(field: BytesIO) -> tuple[str, int]:
    name = field.read(_count(field)).decode()
    _lowest, highest = struct.unpack(">hh", field.read(4))
    _skip_tags(field)
    return name, highest


def _count(data: BytesIO) -> int:
    """Read the length of an array or a string: one more than it is, 0 where there is none."""
    return max(0, _varint(data) - 1)


def _varint(data: BytesIO) -> int:
    value = shift = 0
    while True:
        (byte,) = data.read(1)
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value
        shift += 7


def _skip_tags(data: BytesIO) -> None:
    for _ in range(_varint(data)):
        _varint(data)
        data.read(_varint(data))
