"""What the tests of the codec share: a codec with its store of schemas, and exact comparison."""

import math
import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, create_model

from eventkit.codec import AvroCodec
from eventkit.events import Event, EventTypes, event_type

E = TypeVar("E", bound=Event)


class Kept:
    """A codec, and the schemas that its store would keep."""

    def __init__(self, *classes: type[Event]) -> None:
        self.types = EventTypes()
        self.types.bind_all(classes)
        self.schemas: dict[bytes, str] = {}
        self.codec = AvroCodec(self.types, self.schemas.get)

    def write(self, event: Event) -> bytes:
        """Return the event as bytes, its schema kept."""
        schema = self.codec.schema_of(type(event))
        self.schemas.setdefault(schema.fingerprint, schema.json)
        return self.codec.encode(event)

    def back(self, event: E) -> E:
        """Return the event, written and read again."""
        self.types.bind(type(event))
        decoded = self.codec.decode(event_type(event), self.write(event))
        assert type(decoded) is type(event)
        return decoded

    def reader(self, *classes: type[Event]) -> AvroCodec:
        """Return the codec of a later program, with other classes and the same store."""
        types = EventTypes()
        types.bind_all(classes)
        return AvroCodec(types, self.schemas.get)


def event_class(name: str = "Something", /, **fields: Any) -> Any:
    """Return an event class with these fields, given as an annotation or (annotation, default)."""
    given: Any = {n: f if isinstance(f, tuple) else (f, ...) for n, f in fields.items()}
    return create_model(name, __base__=Event, __module__=__name__, **given)


def identical(one: object, other: object) -> bool:
    """Whether two values agree in type and content, which is more than being equal."""
    return bool(exactly(one) == exactly(other))


def exactly(value: Any) -> Any:
    """Return something that is equal only for values of the same type and content."""
    return type(value), _content(value)


def _content(value: Any) -> Any:
    match value:
        case float():
            return "NaN" if math.isnan(value) else struct.pack(">d", value)
        case Decimal():
            return value.as_tuple()
        case datetime() if value.tzinfo is not None:
            return value.astimezone(UTC)
        case BaseModel():
            value = value.__dict__
    if isinstance(value, dict):
        value = list(value.items())
    return [exactly(item) for item in value] if isinstance(value, (list, tuple)) else value
