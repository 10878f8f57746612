"""Snapshots as the topic `<category>.snapshots` keeps them: an Avro record by aggregate id."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, Field

from eventkit.codec import AvroSchema, fingerprint_of
from eventkit.codec.classes import ClassCodec, codec_of
from eventkit.errors import CodecError
from eventkit.kafka.rule import Progress
from eventkit.store import Snapshot


class SnapshotRecord(BaseModel):
    """The state of an aggregate at a version, kept to save folding; never the truth."""

    aggregate_id: str = Field(description="Whose state it is; also the key.")
    version: int = Field(description="How many events are folded into it.")
    state: bytes = Field(description="The typed fields, in Avro's single-object encoding.")
    state_schema: str = Field(description="Fingerprint of the schema of the state, in hex.")
    timestamp: AwareDatetime = Field(description="The latest timestamp among those events.")
    fold: str = Field(description="Fingerprint of the code that folded them.")
    topic_id: str = Field(description="Kafka's own id of the topic of the events.")
    offset: int = Field(description="Where the last of those events is in its partition.")
    resume: int = Field(description="Where to read on for later events.")
    decided: int = Field(description="The state holds all that took effect before this offset.")


class Place(NamedTuple):
    """Where in the log a snapshot stands.

    Parameters:
        topic_id: Kafka's own id of the topic of the events.
        offset: of the last event that is folded in.
        progress: how far the partition was read when the aggregate had no event after that.
    """

    topic_id: str
    offset: int
    progress: Progress


class Placed(NamedTuple):
    """A snapshot, and where in the log it stands."""

    snapshot: Snapshot
    place: Place


def record_schema() -> AvroSchema:
    """The schema of the records."""
    return _codec().schema


def written(snapshot: Snapshot, place: Place) -> bytes:
    """The value of the record.

    Raises:
        CodecError: the state is no Avro record, or something else cannot be written.
    """
    values: dict[str, Any] = {
        "aggregate_id": snapshot.aggregate_id,
        "version": snapshot.version,
        "state": snapshot.state,
        "state_schema": fingerprint_of(snapshot.state).hex(),
        "timestamp": snapshot.timestamp,
        "fold": snapshot.fold,
        "topic_id": place.topic_id,
        "offset": place.offset,
        "resume": place.progress.resume,
        "decided": place.progress.decided,
    }
    return _codec().encode(values)


def read(key: bytes | None, value: bytes | None) -> Placed | None:
    """The snapshot that a record holds; None for whatever cannot be one of ours."""
    if not key or not value:
        return None
    codec = _codec()
    if not value.startswith(codec.schema.header):
        return None
    try:
        it = SnapshotRecord.model_construct(**codec.decode(value))
    except Exception:  # noqa: BLE001 - whatever damage looks like, a snapshot can be done without
        return None
    progress = Progress(it.resume, it.decided)
    if (
        it.aggregate_id.encode() != key
        or it.version < 1
        or not 0 <= it.resume <= it.decided
        or not 0 <= it.offset < it.decided
    ):
        return None
    snapshot = Snapshot(it.aggregate_id, it.version, it.state, it.timestamp, it.fold)
    return Placed(snapshot, Place(it.topic_id, it.offset, progress))


def is_newer(snapshot: Snapshot, other: Snapshot | None) -> bool:
    """Whether a snapshot that stands later in the topic than another takes its place.

    One of other code, or of another schema, is no rival: it could not be used.
    """
    return (
        other is None
        or snapshot.version > other.version
        or snapshot.fold != other.fold
        or _schema_of(snapshot) != _schema_of(other)
    )


@cache
def _codec() -> ClassCodec:
    return codec_of(SnapshotRecord)


def _schema_of(snapshot: Snapshot) -> bytes:
    try:
        return fingerprint_of(snapshot.state)
    except CodecError:
        return b""
