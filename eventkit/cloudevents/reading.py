"""From lines of JSON to appends."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from eventkit.cloudevents.attributes import (
    DEFAULT_SOURCE,
    EXTRA,
    KNOWN,
    METADATA,
    REQUIRED,
    meant_attribute,
)
from eventkit.cloudevents.moments import moment_of
from eventkit.cloudevents.numbers import exact, long_numbers, lost, may_hold_long_numbers, shown
from eventkit.cloudevents.validation import json_validator, shortened
from eventkit.errors import EventkitError, InvalidCloudEvent, InvalidInput
from eventkit.events import Event, EventTypes, Metadata
from eventkit.ids import category_of
from eventkit.store import Append

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class CloudEventReader:
    """Reads lines, and remembers what it learnt about their types.

    Parameters:
        types: which class reads which event type.
    """

    def __init__(self, types: EventTypes) -> None:
        self._types = types
        self._validators: dict[str, Callable[[bytes], Event]] = {}

    def read(self, line: bytes) -> Append:
        """The append of one event, with its id and metadata.

        Raises:
            InvalidCloudEvent: the line cannot be used; the message is the reason.
        """
        attributes = _object(line)
        _check_names(attributes)
        given = exact(line) if may_hold_long_numbers(line) else attributes
        subject = _text(attributes, "subject")
        try:
            category_of(subject)
            return Append(
                subject,
                [self._event(_text(attributes, "type"), attributes["data"], given["data"])],
                metadata=_metadata(given),
                event_ids=[_event_id(_text(attributes, "source"), _text(attributes, "id"))],
            )
        except InvalidCloudEvent:
            raise
        except EventkitError as error:
            raise InvalidCloudEvent(str(error)) from error

    def _event(self, event_type: str, data: object, given: object) -> Event:
        if not isinstance(data, dict):
            raise InvalidCloudEvent(f"data is {_kind(data)}, not an object with the event's fields")
        try:
            validate = self._validators.get(event_type)
            if validate is None:
                validate = json_validator(self._types.resolve(event_type))
                self._validators[event_type] = validate
            event = validate(to_json(data))
        except ValidationError as error:
            raise InvalidCloudEvent(shortened(error)) from error
        except EventkitError:
            raise
        except Exception as error:  # a validator of the user's may raise anything
            raise InvalidCloudEvent(
                f"the class of {event_type} failed on it: {type(error).__name__}: {error}"
            ) from error
        return event if given is data else _without_loss(event, given, validate)


def _without_loss(rounded: Event, given: object, validate: Callable[[bytes], Event]) -> Event:
    """The event from the digits that were given, not from the floats nearest to them.

    Raises:
        InvalidCloudEvent: a field cannot take one of them as it is.
    """
    numbers = long_numbers(given)
    if not numbers:
        return rounded
    try:
        event = validate(to_json(given))
    except Exception:  # noqa: BLE001 - digits come as text, which strict floats and user code refuse
        event = rounded
    number = lost(numbers, event, rounded=event is rounded)
    if number is not None:
        raise InvalidCloudEvent(
            f"data: the number {shown(number)} cannot be kept as it is, its field takes fewer "
            "digits; round it, or make the field a Decimal"
        )
    return event


def _object(line: bytes) -> dict[str, Any]:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        byte = f"0x{line[error.start]:02x}"
        raise InvalidCloudEvent(f"not UTF-8: byte {byte} at column {error.start + 1}") from error
    try:
        value = from_json(line)
    except ValueError as error:
        raise InvalidCloudEvent(f"not JSON: {str(error).replace(' line 1 ', ' ')}") from error
    if not isinstance(value, dict):
        raise InvalidCloudEvent(f"the line is {_kind(value)}, not a JSON object")
    return value


def _check_names(attributes: Mapping[str, Any]) -> None:
    for name in attributes.keys() - KNOWN:
        meant = meant_attribute(name)
        if meant:
            raise InvalidCloudEvent(f"the attribute {name!r} must be written {meant!r}")
    missing = [name for name in REQUIRED if name not in attributes]
    if missing == ["data"] and "data_base64" in attributes:
        raise InvalidCloudEvent("data_base64 holds bytes; an event needs its fields in data")
    if missing:
        raise InvalidCloudEvent(f"missing: {', '.join(missing)}")
    if attributes["specversion"] != "1.0":
        raise InvalidCloudEvent(f"specversion is {attributes['specversion']!r}, not '1.0'")


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes[name]
    if not isinstance(value, str):
        raise InvalidCloudEvent(f"{name} is {_kind(value)}, not a text")
    if not value:
        raise InvalidCloudEvent(f"{name} is empty")
    return value


def _event_id(source: str, text: str) -> UUID:
    if _UUID.fullmatch(text):
        return UUID(text)
    return uuid5(uuid5(NAMESPACE_URL, source), text)


def _metadata(attributes: Mapping[str, Any]) -> Metadata:
    known: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for attribute, value in attributes.items():
        if value is None:  # to CloudEvents the same as an attribute that is not there
            continue
        if attribute in METADATA:
            known[METADATA[attribute]] = _simple(attribute, value)
        elif attribute not in KNOWN:
            extra[attribute] = _simple(attribute, value)
    if attributes["source"] != DEFAULT_SOURCE:
        extra["source"] = attributes["source"]
    if attributes.get(EXTRA) is not None:
        extra |= _packed_extra(attributes[EXTRA])
    return Metadata(timestamp=_time(_text(attributes, "time")), extra=extra, **known)


def _simple(attribute: str, value: object) -> str:
    """The text of a simple value, as CloudEvents writes it: `12`, `true`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return to_json(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    raise InvalidCloudEvent(f"{attribute} is {_kind(value)}, not a text, a number, true or false")


def _packed_extra(text: object) -> dict[str, str]:
    try:
        extra = from_json(text if isinstance(text, str) else "")
    except ValueError:
        extra = None
    if not isinstance(extra, dict) or not all(isinstance(item, str) for item in extra.values()):
        raise InvalidCloudEvent(f"{EXTRA} is not the JSON text of an object of texts")
    return extra


def _time(text: str) -> datetime:
    try:
        return moment_of(text)
    except InvalidInput as error:
        raise InvalidCloudEvent(f"time: {error}") from error


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
