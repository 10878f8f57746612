"""Kafka records of events, as the writer produces them; reading.py takes them apart.

The topic `<category>.events` holds one record an event, after the CloudEvents 1.0 Kafka binding in
binary mode: the key is the aggregate id, the value the event's payload in Avro's single-object
encoding, and everything else is a header, in this order:

| header | value, as UTF-8 text |
|---|---|
| `ce_append` | `<append id>.<part>.<parts>`: the events of one append, `part` from 0 |
| `ce_aggregateversion` | the version that this event gives the aggregate |
| `ce_writer` | the `transactional.id` of the writer |
| `ce_id` | the event id, a UUID |
| `ce_type` | the recorded type |
| `ce_time` | when it happened, always in the form `2024-05-06T07:08:09.123456Z` |
| `ce_subject` | the aggregate id |
| `ce_source` | `metadata.extra["source"]`, else `/eventkit/<category>` |
| `ce_specversion` | `1.0` |
| `content-type` | `application/avro` |
| `ce_workspaceid`, `ce_causedbyuser` | as in the metadata, where given |
| `ce_causationid`, `ce_correlationid` | as in the metadata, where given |
| `ce_extra` | all of `metadata.extra` as a JSON object from text to text, where given |
| `ce_all` | `<id>.<number>.<count>`: this append is one of several that were written all or none |

Readers of ours need the first six and take the optional ones; subject, source, specversion and
content-type are for readers of other makes. What a reader does not know it leaves alone, so that
headers can be added.

`ce_all` numbers the aggregates of an `append_all` from 0; writer and id name it, and no other
attempt has them, not even one at the same events. Each of its appends is a frame of its own for the
rule of the log, so readers pass the header over. Who checks a log (`verify`) may ask that of the
numbers all are there, or none. A record under the key `-` that has no event is what a sweep leaves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from eventkit.errors import InvalidInput
from eventkit.events import Metadata
from eventkit.ids import category_of

Header = tuple[str, str | bytes]

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - all moments of the log are UTC
SECOND = timedelta(seconds=1)
OPTIONAL = (
    ("ce_workspaceid", "workspace_id"),
    ("ce_causedbyuser", "caused_by_user"),
    ("ce_causationid", "causation_id"),
    ("ce_correlationid", "correlation_id"),
)
"""Headers and the fields of `Metadata` they carry; `ce_extra` is not among them."""

_FEW = 7
"""Headers of a new record without metadata."""
_ADDED = 256
"""Bytes of the headers that `framed` adds, and of what Kafka puts around a record."""
_ENDING = (("ce_specversion", b"1.0"), ("content-type", b"application/avro"))


class NewRecord(NamedTuple):
    """An event on its way in: all of its record but what is known only when it is produced."""

    key: bytes
    value: bytes
    headers: tuple[Header, ...]


_new: Any = tuple.__new__
"""Makes a NamedTuple in half the time that calling its class takes."""


def new_records(
    aggregate_id: str,
    events: Sequence[tuple[UUID, str, bytes]],
    timestamp: int,
    metadata: Metadata | None = None,
) -> list[NewRecord]:
    """The records of one append, still without append id, versions and writer.

    Parameters:
        aggregate_id: `category-id`.
        events: the event id, recorded type and encoded body of each.
        timestamp: when they happened, in microseconds since 1970.
        metadata: who and why.

    Raises:
        InvalidInput: a text is no valid Unicode.
    """
    try:
        key = aggregate_id.encode()
        shared = _shared(aggregate_id, key, timestamp, metadata)
        return [
            _new(
                NewRecord,
                (key, body, (("ce_id", str(event_id)), _type_header(type_name), *shared)),
            )
            for event_id, type_name, body in events
        ]
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{error.object!r} is no valid Unicode text") from error


def framed(
    records: Sequence[NewRecord], append_id: str, first_version: int, writer: str
) -> list[list[Header]]:
    """The headers of the records of one append, whole, in the order of the records.

    Parameters:
        records: all events of the append.
        append_id: ASCII without `.`, used by this writer for nothing else, not even for an earlier
            proposal of the same events.
        first_version: the version of its first event.
        writer: the `transactional.id` of the producer.
    """
    parts = len(records)
    by = ("ce_writer", writer)
    return [
        [
            ("ce_append", f"{append_id}.{part}.{parts}"),
            ("ce_aggregateversion", str(first_version + part)),
            by,
            *record.headers,
        ]
        for part, record in enumerate(records)
    ]


def part_of_all(
    records: Sequence[NewRecord], all_id: str, number: int, count: int
) -> list[NewRecord]:
    """The records of an append that is one of several to be written all or none.

    Parameters:
        records: all events of the append.
        all_id: ASCII, used by this writer for nothing else.
        number: of this append, from 0.
        count: of all.
    """
    header: Header = ("ce_all", f"{all_id}.{number}.{count}")
    return [NewRecord(it.key, it.value, (*it.headers, header)) for it in records]


def check_sizes(records: Sequence[NewRecord], most: int) -> None:
    """See that all records of an append can be written.

    Parameters:
        records: all of it.
        most: bytes of a record that the topic takes.

    Raises:
        InvalidInput: one is too large.
    """
    for record in records:
        if len(record.value) <= most // 2 and len(record.headers) == _FEW:
            continue
        headers = sum(len(name) + len(value) + 4 for name, value in record.headers)
        size = len(record.key) + len(record.value) + headers + _ADDED
        if size > most:
            raise InvalidInput(
                f"an event of {record.key.decode()} makes a record of {size:,} bytes, and the "
                f"brokers take {most:,}; keep large content elsewhere and its address "
                "in the event, or raise max.message.bytes of the topic and message.max.bytes here"
            )


def _shared(
    aggregate_id: str, key: bytes, timestamp: int, metadata: Metadata | None
) -> tuple[Header, ...]:
    """The headers that all events of an append have alike."""
    seconds, micros = divmod(timestamp, 1_000_000)
    time = ("ce_time", f"{_second_text(seconds)}.{micros:06}Z")
    source = _source_header(category_of(aggregate_id))
    if metadata is None:
        return (time, ("ce_subject", key), source, *_ENDING)
    if metadata.extra.get("source"):
        source = ("ce_source", metadata.extra["source"].encode())
    return (time, ("ce_subject", key), source, *_ENDING, *_given(metadata))


def _given(metadata: Metadata) -> list[Header]:
    headers: list[Header] = [
        (header, value.encode())
        for header, field in OPTIONAL
        if (value := getattr(metadata, field)) is not None
    ]
    if metadata.extra:
        text = json.dumps(metadata.extra, ensure_ascii=False, separators=(",", ":"))
        headers.append(("ce_extra", text.encode()))
    return headers


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    return (EPOCH + seconds * SECOND).isoformat()


@lru_cache(maxsize=1024)
def _source_header(category: str) -> Header:
    return "ce_source", f"/eventkit/{category}".encode()


@lru_cache(maxsize=4096)
def _type_header(type_name: str) -> Header:
    return "ce_type", type_name.encode()
