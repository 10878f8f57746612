"""From recorded events to lines of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

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
    """Any value in the JSON form that is described above."""
    return to_json(
        value,
        bytes_mode="base64",
        inf_nan_mode="strings",
        timedelta_mode="iso8601",
        fallback=str,
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
