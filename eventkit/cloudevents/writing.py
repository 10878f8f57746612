"""From recorded events to lines of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from eventkit.cloudevents.attributes import (
    DEFAULT_SOURCE,
    EXTRA,
    METADATA,
    VERSION,
    is_extension,
)
from eventkit.store import PlainEvent


def write_cloudevent(event: PlainEvent) -> bytes:
    """The line of JSON for a recorded event, without an end of line."""
    metadata = event.metadata
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": DEFAULT_SOURCE,
        "type": event.type,
        "subject": event.aggregate_id,
        "time": metadata.timestamp,
        VERSION: event.version,
    }
    for attribute, name in METADATA.items():
        value = getattr(metadata, name)
        if value is not None:
            attributes[attribute] = value
    if metadata.extra:
        attributes |= _extra_attributes(metadata.extra)
    attributes["data"] = event.data
    return json_bytes(attributes)


def json_bytes(value: object) -> bytes:
    """Any value in the JSON form that is described above.

    Text may hold surrogates, where what it was made of is no UTF-8: a damaged row, the name of a
    file. JSON has no place for them, so they are written as the characters of their escapes.
    """
    try:
        return _json(value)
    except (PydanticSerializationError, UnicodeEncodeError):
        return _json(_encodable(value))


def _json(value: object) -> bytes:
    return to_json(
        value,
        bytes_mode="base64",
        inf_nan_mode="strings",
        timedelta_mode="iso8601",
        fallback=str,
    )


def _encodable(value: object) -> object:
    match value:
        case None | bool() | int() | float() | bytes():
            return value
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_encodable(item) for item in value]
    return _encodable(
        to_jsonable_python(value, bytes_mode="base64", timedelta_mode="iso8601", fallback=str)
    )


def _extra_attributes(extra: Mapping[str, str]) -> dict[str, str]:
    """`metadata.extra` as attributes; what would not come back as it is goes into one text."""
    attributes: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in extra.items():
        fits = value not in ("", DEFAULT_SOURCE) if name == "source" else is_extension(name)
        (attributes if fits else others)[name] = value
    if others:
        attributes[EXTRA] = to_json(others).decode()
    return attributes
