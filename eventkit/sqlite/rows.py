"""Rows of the events table, and the recorded events they stand for."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json

from eventkit.codec import AvroCodec
from eventkit.errors import CodecError, EventkitError, EventTypeError, StoreCorrupted
from eventkit.events import (
    Event,
    Metadata,
    Position,
    RecordedEvent,
    UnreadableEvent,
    event_type,
)
from eventkit.store import PlainEvent

COLUMNS = (
    "position", "event_id", "aggregate_id", "version", "event_type",
    "timestamp", "workspace_id", "metadata", "data",
)  # fmt: skip
TOPIC = "events"
"""What a position of this store names as its topic: there is one log, the file."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONG = 500
"""Characters of metadata; longer ones hardly come twice, and would fill the memory."""


class NewRow(NamedTuple):
    """An event on its way in: all of its row but position, aggregate id and version."""

    event_id: bytes
    event_type: str
    timestamp: int
    workspace_id: str | None
    metadata: str
    data: bytes


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def position_of(number: int) -> Position:
    """The public form of a row's position."""
    return Position(TOPIC, 0, number)


def new_rows(
    codec: AvroCodec, events: Sequence[Event], event_ids: Sequence[UUID], metadata: Metadata | None
) -> list[NewRow]:
    """The rows of one append; their timestamp is now, unless the metadata has one.

    Raises:
        CodecError: an event cannot be encoded.
    """
    timestamp, workspace_id, rest = time.time_ns() // 1_000, None, "{}"
    if metadata is not None:
        if metadata.timestamp is not None:
            timestamp = to_micros(metadata.timestamp)
        workspace_id = metadata.workspace_id
        rest = _metadata_json(metadata)
    return [
        NewRow(
            event_id.bytes, event_type(event), timestamp, workspace_id, rest, codec.encode(event)
        )
        for event, event_id in zip(events, event_ids, strict=True)
    ]


class RowEvent(RecordedEvent):
    """A recorded event that makes of its row what is asked for, when it is asked for.

    Folding an aggregate needs the event and the version alone; ids, metadata and position cost as
    much as the decoding itself.
    """

    __slots__ = ("_place", "_row")
    _place: Callable[[int], Position]
    _row: Sequence[Any]

    def __getattr__(self, name: str) -> Any:
        """Called for a slot that is empty still."""
        make = _LATER.get(name)
        if make is None:
            raise AttributeError(f"a recorded event has no {name!r}")
        try:
            value = make(self)
        except _NONSENSE as error:
            raise _damaged(self._row, error) from error
        object.__setattr__(self, name, value)
        return value

    @property
    def timestamp(self) -> datetime:
        """When it happened, in UTC."""
        try:
            return from_micros(self._row[5])
        except OverflowError as error:
            raise _damaged(self._row, error) from error


_LATER: dict[str, Callable[[RowEvent], object]] = {
    "event_id": lambda it: UUID(bytes=it._row[1]),  # noqa: SLF001 - this file's own class
    "metadata": lambda it: read_metadata(*it._row[5:8]),  # noqa: SLF001
    "position": lambda it: it._place(it._row[0]),  # noqa: SLF001
}
_NONSENSE = (ValueError, TypeError, AttributeError, OverflowError)
"""What comes of a damaged row: of a UUID, a moment or JSON that is none."""
_new_event = object.__new__
# Slots are filled through their descriptors: the class refuses assignment, and looking an attribute
# up by name costs more than filling it.
_set_row = vars(RowEvent)["_row"].__set__
_set_place = vars(RowEvent)["_place"].__set__
_set_aggregate_id = vars(RecordedEvent)["aggregate_id"].__set__
_set_version = vars(RecordedEvent)["version"].__set__
_set_type = vars(RecordedEvent)["type"].__set__
_set_event = vars(RecordedEvent)["event"].__set__


def recorded(
    row: Sequence[Any], codec: AvroCodec, place: Callable[[int], Position] = position_of
) -> RecordedEvent:
    """The recorded event of a whole row (`COLUMNS`).

    Parameters:
        row: as it was read.
        codec: decodes its body.
        place: the public form of its position.

    Raises:
        EventTypeError, CodecError: its body cannot be read by the classes of today.
    """
    try:
        event = codec.decode(row[4], row[8])
    except (EventTypeError, CodecError) as error:
        raise error.located(_name_of(row)) from error.__cause__
    it = _new_event(RowEvent)
    _set_row(it, row)
    _set_place(it, place)
    _set_aggregate_id(it, row[2])
    _set_version(it, row[3])
    _set_type(it, row[4])
    _set_event(it, event)
    return it


def recorded_anyway(
    row: Sequence[Any], codec: AvroCodec, place: Callable[[int], Position] = position_of
) -> RecordedEvent:
    """As `recorded`; where it cannot be read, an `UnreadableEvent` of what can be."""
    reason: EventkitError
    unreadable = [column for column in row if isinstance(column, DamagedText)]
    if unreadable:
        reason = _damaged(row, ValueError(f"{unreadable[0]!r:.80} is no UTF-8 text"))
    else:
        try:
            return recorded(row, codec, place)
        except (EventTypeError, CodecError) as error:
            reason = error
    event_id, metadata = None, None
    try:
        event_id = UUID(bytes=row[1])
    except _NONSENSE as error:
        reason = _damaged_too(row, error, reason)
    try:
        metadata = read_metadata(*row[5:8])
    except _NONSENSE as error:
        reason = _damaged_too(row, error, reason)
    return UnreadableEvent(event_id, row[2], row[3], row[4], reason, metadata, place(row[0]))


class DamagedText(str):
    """A text that is no UTF-8, with a backslash and a number for each byte that is at fault."""

    __slots__ = ()


@contextmanager
def damaged_texts_kept(connection: sqlite3.Connection) -> Iterator[None]:
    """Have a connection read texts that are no UTF-8 as `DamagedText`, rather than not at all."""
    before, connection.text_factory = connection.text_factory, _text
    try:
        yield
    finally:
        connection.text_factory = before


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return DamagedText(raw.decode(errors="backslashreplace"))


def plain(
    row: Sequence[Any], codec: AvroCodec, place: Callable[[int], Position] = position_of
) -> PlainEvent:
    """The event of a whole row, its body read by the schema it was written with.

    Parameters: as of `recorded`.

    Raises:
        CodecError: its body cannot be read.
        StoreCorrupted: what else the row holds cannot be read.
    """
    number, event_id, aggregate_id, version, type_name, timestamp, workspace_id, rest, data = row
    try:
        values = codec.decode_plain(type_name, data)
    except CodecError as error:
        raise error.located(_name_of(row)) from error.__cause__
    try:
        metadata = read_metadata(timestamp, workspace_id, rest)
        known_as = UUID(bytes=event_id)
    except _NONSENSE as error:
        raise _damaged(row, error) from error
    return PlainEvent(known_as, aggregate_id, version, type_name, values, metadata, place(number))


def read_metadata(timestamp: int, workspace_id: str | None, rest: str) -> Metadata:
    """The metadata of a row."""
    known = json.loads(rest) if len(rest) > _LONG else _parsed(rest)
    return Metadata.model_construct(
        timestamp=from_micros(timestamp),
        workspace_id=workspace_id,
        caused_by_user=known.get("caused_by_user"),
        causation_id=known.get("causation_id"),
        correlation_id=known.get("correlation_id"),
        extra=dict(known.get("extra", ())),
    )


def _name_of(row: Sequence[Any]) -> str:
    return f"{row[2]} version {row[3]}"


def _damaged(row: Sequence[Any], error: Exception) -> StoreCorrupted:
    return StoreCorrupted(
        f"the row is damaged ({type(error).__name__}: {error}); restore the file from a backup. "
        "An index of a log on Kafka can be deleted: it is built again."
    ).located(_name_of(row))


def _damaged_too(row: Sequence[Any], error: Exception, before: EventkitError) -> StoreCorrupted:
    """Damage beside another one, of which a traceback tells as the cause."""
    found = _damaged(row, error)
    found.__cause__ = before
    return found


def _metadata_json(metadata: Metadata) -> str:
    known: dict[str, Any] = {
        name: value
        for name in ("caused_by_user", "causation_id", "correlation_id")
        if (value := getattr(metadata, name)) is not None
    }
    if metadata.extra:
        known["extra"] = metadata.extra
    return to_json(known).decode() if known else "{}"


@lru_cache(maxsize=4096)
def _parsed(rest: str) -> dict[str, Any]:
    """The JSON of the metadata column; the few users of a service make the same text again."""
    known: dict[str, Any] = json.loads(rest)
    return known
