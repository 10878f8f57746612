"""From JSON to events of a class, and what to say where it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import CoreConfig, CoreSchema, SchemaValidator

from eventkit.errors import InvalidCloudEvent
from eventkit.events import Event

_MOST_PROBLEMS = 3
_OPAQUE = ("default", "metadata", "serialization")
"""Parts of a pydantic schema that take no part in validation, or hold values of the user's."""


def json_validator(cls: type[Event]) -> Callable[[bytes], Event]:
    """The class's own validation of JSON, but the same for all classes in two things.

    A field may be called by its name or its alias. And bytes are base64: by pydantic's default the
    text of a JSON string is taken as UTF-8 for a field of bytes, which not all bytes have, and a
    model inside a model has settings of its own; a log must not depend on either.

    Raises:
        InvalidCloudEvent: it has bytes, and this pydantic does not let us choose how they are read.
    """
    cls.model_rebuild()
    validator = cls.__pydantic_validator__
    schema = cls.__pydantic_core_schema__
    if _mentions_bytes(schema):
        validator = _validator_with_base64(cls.__name__, _with_base64(schema))
    return partial(validator.validate_json, by_alias=True, by_name=True)


def _validator_with_base64(name: str, schema: CoreSchema) -> SchemaValidator:
    settings = CoreConfig(val_json_bytes="base64")
    try:
        # Ready-made validators of models would bring their own settings.
        return SchemaValidator(schema, settings, _use_prebuilt=False)
    except TypeError as error:
        raise InvalidCloudEvent(
            f"{name} holds bytes, and to read them from JSON takes pydantic 2.13 or newer"
        ) from error


def shortened(error: ValidationError) -> str:
    """Field and problem, for the first few problems."""
    problems = [
        f"{'.'.join(map(str, ('data', *item['loc'])))}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = len(problems) - _MOST_PROBLEMS
    return "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _parts(schema: dict[str, Any]) -> dict[str, Any]:
    """What is inside a node of a schema, or a plain dict such as that of a model's fields."""
    if not isinstance(schema.get("type"), str):
        return schema
    return {key: value for key, value in schema.items() if key not in _OPAQUE}


def _mentions_bytes(schema: object) -> bool:
    if isinstance(schema, dict):
        return schema.get("type") == "bytes" or any(map(_mentions_bytes, _parts(schema).values()))
    return isinstance(schema, list | tuple) and any(map(_mentions_bytes, schema))


def _with_base64(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return type(schema)(map(_with_base64, schema))
    if not isinstance(schema, dict):
        return schema
    copy = schema | {key: _with_base64(value) for key, value in _parts(schema).items()}
    if isinstance(copy.get("type"), str) and isinstance(copy.get("config"), dict):
        copy["config"]["val_json_bytes"] = "base64"
    return copy
