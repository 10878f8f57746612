"""Kafka's frames: four bytes of length, then what the first bytes of a request or answer say."""

import asyncio
import struct
from enum import IntEnum
from typing import NamedTuple

MOST_BYTES = 128 << 20
"""Of one frame; brokers take 100 MB."""

_LENGTH = struct.Struct(">i")
_REQUEST = struct.Struct(">hhih")  # api key, its version, correlation id, length of the client id
_NUMBER = struct.Struct(">i")


class Api(IntEnum):
    """Requests of writers, by Kafka's numbers."""

    PRODUCE = 0
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Request(NamedTuple):
    """A request frame.

    Attributes:
        api: Kafka's number of the request.
        version: of its format.
        correlation_id: the answer has the same.
        client_id: the `client.id` of who sent it.
        frame: all its bytes, without the length.
    """

    api: int
    version: int
    correlation_id: int
    client_id: str
    frame: bytes


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame without its length.

    Raises:
        EOFError: the connection ended.
        ValueError: this is not Kafka's protocol.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if not 0 <= length <= MOST_BYTES:
        raise ValueError(f"a frame of {length} bytes is none of Kafka's")
    return await reader.readexactly(length)


def with_length(frame: bytes) -> bytes:
    """Return the frame as it goes over the wire."""
    return _LENGTH.pack(len(frame)) + frame


def request_of(frame: bytes) -> Request:
    """Return what the head of a request says.

    Raises:
        ValueError: this is not Kafka's protocol.
    """
    try:
        api, version, correlation_id, length = _REQUEST.unpack_from(frame)
    except struct.error as error:
        raise ValueError("a request without a head") from error
    name = frame[_REQUEST.size : _REQUEST.size + max(length, 0)]
    return Request(api, version, correlation_id, name.decode(errors="replace"), frame)


def answered_id(frame: bytes) -> int:
    """Return the correlation id of the request that an answer belongs to.

    Raises:
        ValueError: this is not Kafka's protocol.
    """
    if len(frame) < _NUMBER.size:
        raise ValueError("an answer without a head")
    (number,) = _NUMBER.unpack_from(frame)
    return int(number)
