"""What a reader makes of any record of the log: its header fields, or why it is none of ours."""

from __future__ import annotations

import json
import re
from binascii import unhexlify
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from operator import itemgetter, methodcaller
from typing import Any, NamedTuple, Protocol

from eventkit.kafka.records import EPOCH, OPTIONAL, SECOND
from eventkit.store import MAX_EVENTS_PER_APPEND

Headers = Sequence[tuple[str, bytes | None]]

_needed = itemgetter(
    "ce_append", "ce_aggregateversion", "ce_writer", "ce_id", "ce_type", "ce_time"
)  # fmt: skip
_headers = methodcaller("headers")
_NOTED = OPTIONAL[1:]
_NOTES = frozenset(header for header, _ in _NOTED) | {"ce_extra"}
_SECOND_TEXT = re.compile(rb"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.")
_TIME_FORM = "2024-05-06T07:08:09.123456Z"
_ID_BYTES = 16
_LONG = 500
"""Bytes of `ce_extra`; longer ones hardly come twice, and would fill the memory."""
_new: Any = tuple.__new__
"""Makes a NamedTuple in half the time that calling its class takes."""


class LogRecord(NamedTuple):
    """A record of the log as readers take it.

    Where `problem` says why it is no event of ours, only `offset` and, if it is readable,
    `aggregate_id` mean something. Otherwise all fields are sound, as far as one record can tell;
    `data` is not decoded.

    Parameters:
        offset: its place in the partition.
        aggregate_id: `category-id`, the key.
        version: the version that it claims.
        append_id: which append of its writer it belongs to.
        part: its number in that append, from 0 and below `parts`.
        parts: how many events that append has.
        writer: the `transactional.id` of the producer.
        event_id: the 16 bytes of the UUID.
        type: the recorded type.
        timestamp: when it happened, in microseconds since 1970.
        workspace_id: the tenant, if there is one.
        metadata: what else is known, as JSON: `caused_by_user`, `causation_id`, `correlation_id`
            and `extra`, where given.
        data: the body, in Avro's single-object encoding.
        problem: why it is no event of ours, if it is none.
    """

    offset: int
    aggregate_id: str
    version: int
    append_id: bytes
    part: int
    parts: int
    writer: str
    event_id: bytes
    type: str
    timestamp: int
    workspace_id: str | None
    metadata: str
    data: bytes
    problem: str | None


class Consumed(Protocol):
    """What is read of `confluent_kafka.Message`."""

    def offset(self) -> int | None:
        """Its place in the partition."""

    def key(self) -> bytes | None:
        """The key."""

    def value(self) -> bytes | None:
        """The body."""

    def headers(self) -> Any:
        """Names and values; only through `headers_of`."""

    def set_headers(self, value: Any, /) -> None:
        """Replace them."""


def headers_of(message: Consumed) -> Headers | None:
    """The headers of a consumed message; None where there are none, or they cannot be taken out.

    For a name that is no UTF-8, confluent_kafka leaves an error pending and keeps tuples that have
    nothing in them: whoever touches them, or asks again, ends the process. A direct call of
    `headers()`, once the interpreter has specialised it, does not look for such an error;
    `methodcaller` does.
    """
    try:
        headers: Headers | None = _headers(message)
    except Exception:  # noqa: BLE001 - a SystemError, from the C code; the record is none of ours
        message.set_headers([])
        return None
    return headers


def read_message(message: Consumed) -> LogRecord:
    """A consumed message as a record of the log; never raises, see `LogRecord.problem`."""
    return read_record(message.offset() or 0, message.key(), message.value(), headers_of(message))


def read_record(
    offset: int, key: bytes | None, value: bytes | None, headers: Headers | None
) -> LogRecord:
    """What a record of the log says; never raises, see `LogRecord.problem`.

    The hot path of every reader. Each check is one that keeps an accepted record from failing
    later, when nobody could skip it any more.
    """
    if not key or value is None or not headers:
        return unreadable(offset, key, "it has no key, no value or no readable headers")
    try:
        found: dict[str, Any] = dict(headers)
        frame, version, writer, id_text, type_name, time = _needed(found)
        if frame[-4:] == b".0.1":
            append_id, part, parts = frame[:-4], 0, 1
        else:
            append_id, part, parts = _frame(frame)
        event_id = unhexlify(id_text.replace(b"-", b""))
        micros = time[20:26]
        if (
            len(found) != len(headers)
            or not version.isdigit()
            or len(event_id) != _ID_BYTES
            or not type_name
            or not micros.isdigit()
            or time[26:] != b"Z"
        ):
            return unreadable(offset, key, _fault(found, event_id, len(headers)))
        workspace_id = found.get("ce_workspaceid")
        record: LogRecord = _new(
            LogRecord,
            (
                offset, key.decode(), int(version), append_id, part, parts, writer.decode(),
                event_id, type_name.decode(), _seconds(time[:20]) + int(micros),
                None if workspace_id is None else workspace_id.decode(),
                "{}" if _NOTES.isdisjoint(found) else _notes(found), value, None,
            ),
        )  # fmt: skip
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        return unreadable(offset, key, _reason(error))
    return record


def unreadable(offset: int, key: bytes | None, problem: str) -> LogRecord:
    """A record that is no event of ours."""
    aggregate_id = "" if key is None else key.decode(errors="replace")
    return LogRecord(offset, aggregate_id, 0, b"", 0, 1, "", b"", "", 0, None, "{}", b"", problem)


def proposal_of(headers: Headers | None) -> tuple[str, bytes] | None:
    """The writer of a record and its `ce_append`: whose proposal it is.

    For readers of undecided records, at a fifth of the price of `read_record`; None for a record
    that is no event of ours.
    """
    if not headers:
        return None
    try:
        (first, frame), (third, writer) = headers[0], headers[2]
        if first != "ce_append" or third != "ce_writer":
            found = dict(headers)
            frame, writer = found["ce_append"], found["ce_writer"]
    except LookupError:
        return None
    if frame is None or writer is None:
        return None
    return writer.decode(errors="replace"), frame


def _frame(text: bytes) -> tuple[bytes, int, int]:
    append_id, part, parts = text.rsplit(b".", 2)
    if not (part.isdigit() and parts.isdigit()) or not (
        int(part) < int(parts) <= MAX_EVENTS_PER_APPEND
    ):
        raise ValueError(f"ce_append {text!r:.80} names no event of an append")
    return append_id, int(part), int(parts)


@lru_cache(maxsize=4096)
def _seconds(text: bytes) -> int:
    """Microseconds since 1970 of a whole second, which many records share.

    The form is held against a pattern of ours, because what `fromisoformat` takes differs between
    versions of Python, and all readers have to come to the same verdict.
    """
    if not _SECOND_TEXT.fullmatch(text):
        raise ValueError(f"ce_time {text!r} is not of the form {_TIME_FORM}")
    return (datetime.fromisoformat(text[:19].decode()) - EPOCH) // SECOND * 1_000_000


def _notes(found: Mapping[str, Any]) -> str:
    """The headers that are only kept, as JSON."""
    parts = [
        f'"{field}":{encode_basestring(found[header].decode())}'
        for header, field in _NOTED
        if header in found
    ]
    if "ce_extra" in found:
        raw = found["ce_extra"]
        sound = _known_extra if len(raw) <= _LONG else _sound_extra
        parts.append(f'"extra":{sound(raw)}')
    return f"{{{','.join(parts)}}}"


def _sound_extra(raw: bytes) -> str:
    text = raw.decode()
    extra = json.loads(text)
    if not isinstance(extra, dict) or not all(isinstance(value, str) for value in extra.values()):
        raise TypeError(f"ce_extra {text!r:.80} is no JSON object from text to text")
    json.dumps(extra, ensure_ascii=False).encode()  # half of a surrogate pair could not be printed
    return text


_known_extra = lru_cache(maxsize=4096)(_sound_extra)


def _fault(found: Mapping[str, Any], event_id: bytes, headers: int) -> str:
    """Why a record is none of ours, where all headers that are needed are there."""
    if len(found) != headers:
        return "it has a header twice"
    if not found["ce_aggregateversion"].isdigit():
        return f"ce_aggregateversion {found['ce_aggregateversion']!r:.60} is no number"
    if len(event_id) != _ID_BYTES:
        return f"ce_id {found['ce_id']!r:.60} is no UUID"
    if not found["ce_type"]:
        return "ce_type is empty"
    return f"ce_time {found['ce_time']!r:.60} is not of the form {_TIME_FORM}"


def _reason(error: Exception) -> str:
    match error:
        case KeyError():
            return f"it has no header {error.args[0]}"
        case UnicodeDecodeError():
            return f"{error.object!r:.60} is no UTF-8 text"
        case _:
            return f"a header is malformed: {error}"
