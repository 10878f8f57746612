"""Murmur2 as Kafka's Java clients compute it: which partition a key belongs to.

librdkafka's own default is another hash. With this one, the records of an aggregate stand where
every Java producer and `kafka-console-producer.sh` would put them.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from eventkit.ids import KNOWN_IDS

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFF_FFFF
_POSITIVE = 0x7FFF_FFFF
_SIGN = 0x8000_0000


def murmur2(data: bytes) -> int:
    """The hash as a signed 32-bit number, as `org.apache.kafka.common.utils.Utils.murmur2`."""
    size = len(data)
    rest = size & 3
    h = _SEED ^ size
    for k in _words(size >> 2).unpack_from(data):
        k = k * _M & _MASK  # noqa: PLW2901 - named as in the algorithm's description
        h = h * _M & _MASK ^ ((k ^ k >> 24) * _M & _MASK)
    if rest:
        h = (h ^ int.from_bytes(data[size - rest :], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - 0x1_0000_0000 if h & _SIGN else h


@lru_cache(maxsize=KNOWN_IDS)
def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key, as Java's default partitioner chooses it.

    Parameters:
        key: the record's key.
        partitions: how many partitions the topic has, 1 or more.
    """
    return (murmur2(key) & _POSITIVE) % partitions


@lru_cache(maxsize=512)
def _words(count: int) -> Struct:
    """`count` little-endian unsigned 32-bit numbers."""
    return Struct(f"<{count}I")
