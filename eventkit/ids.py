"""Aggregate ids (`category-id`) and event ids (UUIDv7)."""

from __future__ import annotations

import os
import random
import re
import time
from functools import lru_cache
from uuid import UUID, SafeUUID

from eventkit.errors import InvalidAggregateId

MAX_CATEGORY = 200
"""Characters; `<category>.snapshots` must fit Kafka's limit of 249 for a topic name."""
MAX_AGGREGATE_ID = 1024
"""Bytes of UTF-8; the id is the Kafka key of every event."""

KNOWN_IDS = 8_192
"""Aggregates for which an answer is kept that takes longer to find again than to look up.

A cache's table is made anew while entries come and go. Beyond some 100 KB the C library takes it
from the heap of the thread that asks, and a service with many threads keeps a hole of that size in
each of their heaps: caches of 65,536 cost a service with 200 threads 80 MB more than these.
"""

_CATEGORY = re.compile(r"[A-Za-z0-9._]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@lru_cache(maxsize=KNOWN_IDS)
def category_of(aggregate_id: str) -> str:
    """The category of an aggregate id: what stands before its first `-`.

    Raises:
        InvalidAggregateId: the id is not `category-id`.
    """
    if not isinstance(aggregate_id, str):
        raise InvalidAggregateId(aggregate_id, "it must be a string")
    category, dash, rest = aggregate_id.partition("-")
    if not dash or not rest:
        raise InvalidAggregateId(aggregate_id, "it needs a category, a '-' and an id")
    if not _CATEGORY.fullmatch(category) or len(category) > MAX_CATEGORY:
        reason = f"its category may hold 1 to {MAX_CATEGORY} of the characters A-Z a-z 0-9 . _"
        raise InvalidAggregateId(aggregate_id, reason)
    if _CONTROL.search(rest):
        raise InvalidAggregateId(aggregate_id, "it holds a control character")
    try:
        size = len(aggregate_id.encode())
    except UnicodeEncodeError as error:
        raise InvalidAggregateId(aggregate_id, "it is no valid Unicode text") from error
    if size > MAX_AGGREGATE_ID:
        raise InvalidAggregateId(
            aggregate_id[:40] + "...", f"it is longer than {MAX_AGGREGATE_ID} bytes"
        )
    return category


_new = object.__new__
_set_int = vars(UUID)["int"].__set__
_set_is_safe = vars(UUID)["is_safe"].__set__
_random = random.Random()  # noqa: S311 - ids are unique, not secret
os.register_at_fork(after_in_child=_random.seed)


def new_event_id() -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits.

    The random bits come from a generator of our own, seeded by the operating system and again
    after `fork()`: reading `os.urandom` each time would release the interpreter lock, which costs
    more than the whole append when many threads append at once; and the shared generator of
    `random` is reset by whoever calls `random.seed`.
    """
    bits = _random.getrandbits(74)
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7000 << 64 | (bits >> 62) << 64  # version 7, then 12 random bits
    value |= 0x8000_0000_0000_0000 | (bits & 0x3FFF_FFFF_FFFF_FFFF)  # variant, 62 random bits
    return _uuid(value)


def _uuid(value: int) -> UUID:
    """`UUID(int=value)` without the checks of its constructor, which take longer than the rest."""
    event_id = _new(UUID)
    _set_int(event_id, value)
    _set_is_safe(event_id, SafeUUID.unknown)
    return event_id
