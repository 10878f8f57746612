"""Retries: an append whose event ids are in the log already has happened."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from eventkit.codec import AvroCodec, fingerprint_of
from eventkit.errors import CodecError, DuplicateEventId, EventTypeError
from eventkit.sqlite.rows import NewRow, position_of
from eventkit.sqlite.writes import Write
from eventkit.store import Appended

_MOST_IDS = 500
_LOOK_UP = (
    "SELECT event_id, aggregate_id, version, event_type, data, position FROM events WHERE event_id"
)


class Known(NamedTuple):
    """Where an event id is recorded, and with which content."""

    aggregate_id: str
    version: int
    event_type: str
    data: bytes
    position: int


def known_events(connection: sqlite3.Connection, writes: Sequence[Write]) -> dict[bytes, Known]:
    """What the log holds under the event ids that callers gave."""
    asked = [row.event_id for write in writes if write.may_be_retry for row in write.rows]
    known: dict[bytes, Known] = {}
    for start in range(0, len(asked), _MOST_IDS):
        some = asked[start : start + _MOST_IDS]
        rows = connection.execute(f"{_LOOK_UP} IN ({','.join('?' * len(some))})", some)
        known.update((event_id, Known(*rest)) for event_id, *rest in rows)
    return known


def retry_of(
    write: Write, known: Mapping[bytes, Known], codec: AvroCodec
) -> Appended | DuplicateEventId | None:
    """What a write with ids of the caller's comes to, if any of its ids is in the log.

    It is a retry if all its events stand there, in its aggregate, one after the other, with the
    same content, and where it expected them. Metadata is not compared: a retry may carry a later
    timestamp. None: no id is known, the write is new.
    """
    found = [known.get(row.event_id) for row in write.rows]
    first = next((entry for entry in found if entry is not None), None)
    if first is None:
        return None
    start = write.expected if write.expected is not None else first.version - 1
    for offset, (row, entry) in enumerate(zip(write.rows, found, strict=True), start=1):
        reason = _difference(write, entry, start + offset) or _other_content(row, entry, codec)
        if reason:
            taken = entry or first
            event_id = UUID(bytes=row.event_id if entry else _id_of(write, found))
            return DuplicateEventId(event_id, taken.aggregate_id, taken.version, reason)
    last = found[-1]
    assert last is not None  # noqa: S101 - a missing one is a difference
    return Appended(
        write.aggregate_id, last.version, position_of(last.position), write.event_ids,
        already_recorded=True,
    )  # fmt: skip


def _difference(write: Write, entry: Known | None, version: int) -> str:
    if entry is None:
        return "other events of the same append are not recorded"
    if entry.aggregate_id != write.aggregate_id:
        return f"the append is for {write.aggregate_id}"
    if entry.version != version:
        return f"the append expects it at version {version}"
    return ""


def _other_content(row: NewRow, entry: Known | None, codec: AvroCodec) -> str:
    """Compare bytes; where the class has changed since, compare what both mean today."""
    if entry is None or (entry.event_type, entry.data) == (row.event_type, row.data):
        return ""
    try:
        if fingerprint_of(entry.data) != fingerprint_of(row.data):
            then, now = (codec.decode(it.event_type, it.data) for it in (entry, row))
            if then == now:
                return ""
    except (EventTypeError, CodecError):
        return "its content cannot be compared, for nothing here reads what is recorded"
    return "its content differs"


def _id_of(write: Write, found: Sequence[Known | None]) -> bytes:
    return next(row.event_id for row, entry in zip(write.rows, found, strict=True) if entry)
