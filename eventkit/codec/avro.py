"""The codec: events and states to bytes and back, by schemas kept in the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from eventkit.codec.binary import Read, record_reader
from eventkit.codec.classes import (
    ClassCodec,
    codec_of,
    state_codec_of,
    with_absent,
    without_absent,
)
from eventkit.codec.plain import plain_reader
from eventkit.codec.schema import HEADER_SIZE, AvroSchema, check_same_meaning, fingerprint_of
from eventkit.codec.shapes import Convert, Misfit
from eventkit.codec.written import Written
from eventkit.errors import CodecError, IncompatibleSchema, UndecodableEvent, UnknownSchema
from eventkit.events import Event, EventTypes, event_type


class AvroCodec:
    """Writes and reads the records of one store.

    An event that was written is read back equal, whatever became of its class since: fields that
    went are dropped, fields that came get their default. It is not validated again (building.py).
    Threads may share a codec; what two of them learn at the same time is learnt twice.

    Parameters:
        types: which class reads which recorded type.
        load_schema: asks the store for the schema of a fingerprint, as JSON; None if it has none.
    """

    def __init__(self, types: EventTypes, load_schema: Callable[[bytes], str | None]) -> None:
        self._types = types
        self._load_schema = load_schema
        self._stored: dict[bytes, AvroSchema] = {}
        self._writers: dict[type[Event], ClassCodec] = {}
        self._readers: dict[tuple[type[Event], bytes], tuple[Read, Convert]] = {}
        self._plain_readers: dict[bytes, tuple[Read, Convert]] = {}

    def schema_of(self, cls: type[BaseModel]) -> AvroSchema:
        """The schema that events of a class are written with today.

        Raises:
            UnsupportedType: a field has a type that cannot be kept.
        """
        return codec_of(cls).schema

    def state_schema_of(self, model: type[BaseModel]) -> AvroSchema:
        """The schema that states of a model are written with today.

        Raises:
            UnsupportedType: a field has a type that cannot be kept.
        """
        return state_codec_of(model).schema

    def encode(self, event: Event) -> bytes:
        """An event in Avro's single-object encoding.

        Raises:
            UnsupportedType: its class has a field that cannot be kept.
            UnencodableEvent: it holds a value that cannot be kept exactly.
            IncompatibleSchema: the store holds another schema under the same fingerprint.
        """
        cls = type(event)
        codec = self._writers.get(cls)
        if codec is None:
            codec = codec_of(cls)
            self._check_stored(codec.schema, event_type(cls))
            self._writers[cls] = codec
        return codec.encode(event.__dict__)

    def decode(self, event_type: str, data: bytes) -> Event:
        """The event that a record holds.

        Parameters:
            event_type: the recorded type.
            data: the record, in Avro's single-object encoding.

        Raises:
            UnknownEventType, AmbiguousEventType: no one class reads this type.
            UnknownSchema: the store does not hold the schema it was written with.
            IncompatibleSchema: the class of today cannot read what was written.
            UndecodableEvent: the bytes are damaged.
            CodecError: they are no Avro record at all.
        """
        cls = self._types.resolve(event_type)
        found = self._readers.get((cls, data[:HEADER_SIZE]))
        if found is None:
            found = self._learn_to_read(event_type, cls, data)
        read, build = found
        try:
            datum = read(data)
        except Exception as error:
            raise _undecodable(event_type, data, error) from error
        try:
            event: Event = build(datum)
        except Exception as error:
            fingerprint = fingerprint_of(data).hex()
            raise IncompatibleSchema(event_type, fingerprint, _reason(error)) from error
        return event

    def decode_plain(self, event_type: str, data: bytes) -> dict[str, Any]:
        """The field values of a record, by the schema it was written with and without its class.

        Enums come as text or numbers, sets and tuples as lists, models as dicts.

        Raises:
            UnknownSchema: the store does not hold that schema.
            UndecodableEvent: the bytes are damaged.
            CodecError: they are no Avro record at all.
        """
        found = self._plain_readers.get(data[:HEADER_SIZE])
        if found is None:
            schema = self._schema_in_store(event_type, fingerprint_of(data))
            try:
                convert = plain_reader(Written(schema.parsed, schema.named))
                found = record_reader(schema, with_names=True), convert
            except RecursionError as error:
                raise _undecodable(event_type, data, error) from error
            self._plain_readers[schema.header] = found
        read, convert = found
        try:
            values: dict[str, Any] = convert(read(data))
        except Exception as error:
            raise _undecodable(event_type, data, error) from error
        return values

    def encode_state(self, model: type[BaseModel], values: dict[str, Any]) -> bytes:
        """The state of an aggregate in Avro's single-object encoding.

        Parameters:
            model: its typed fields.
            values: their values; one without a default may be missing.

        Raises:
            UnsupportedType, UnencodableEvent: as for `encode`.
        """
        codec = state_codec_of(model)
        return codec.encode(with_absent(codec, values))

    def decode_state(self, model: type[BaseModel], data: bytes) -> dict[str, Any] | None:
        """The values of a state, or None where today's model did not write it or it is damaged.

        Raises:
            UnsupportedType: a field of the model has a type that cannot be kept.
        """
        codec = state_codec_of(model)
        if data[:HEADER_SIZE] != codec.schema.header:
            return None
        try:
            return without_absent(codec.decode(data))
        except Exception:  # noqa: BLE001 - a snapshot only saves time: without it the events are folded
            return None

    def _learn_to_read(
        self, event_type: str, cls: type[Event], data: bytes
    ) -> tuple[Read, Convert]:
        """How records with the header of `data` become events of `cls`."""
        fingerprint = fingerprint_of(data)
        codec = codec_of(cls)
        schema = codec.schema
        if fingerprint == schema.fingerprint:
            self._check_stored(schema, event_type)
        else:
            schema = self._schema_in_store(event_type, fingerprint)
        try:
            found = record_reader(schema, with_names=True), codec.reader(schema)
        except Misfit as error:
            raise IncompatibleSchema(event_type, fingerprint.hex(), str(error)) from error
        except RecursionError as error:
            raise _undecodable(event_type, data, error) from error
        self._readers[cls, schema.header] = found
        return found

    def _schema_in_store(self, event_type: str, fingerprint: bytes) -> AvroSchema:
        schema = self._stored.get(fingerprint)
        if schema is None:
            text = self._load_schema(fingerprint)
            if text is None:
                raise UnknownSchema(fingerprint.hex(), event_type)
            schema = AvroSchema.of(text)
            if schema.fingerprint != fingerprint:
                raise CodecError(
                    f"a record of type {event_type!r} was written with schema {fingerprint.hex()}, "
                    f"and what the store keeps under that name is {schema.fingerprint.hex()}; it "
                    "was changed, and the record cannot be read without the true one."
                )
            self._stored[fingerprint] = schema
        return schema

    def _check_stored(self, schema: AvroSchema, event_type: str) -> None:
        stored = self._load_schema(schema.fingerprint)
        if stored is not None:
            check_same_meaning(stored, schema, event_type)


def _undecodable(event_type: str, data: bytes, error: Exception) -> UndecodableEvent:
    return UndecodableEvent(event_type, fingerprint_of(data).hex(), _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, Misfit):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return f"{type(error).__name__} {error}".strip()
