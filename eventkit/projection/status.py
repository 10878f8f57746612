"""Where a projection stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from eventkit.errors import (
    CodecError,
    EventTypeError,
    RebuildNeeded,
    StoreCorrupted,
    StoreUnavailable,
)
from eventkit.projection.builds import Build, check_build, find_build
from eventkit.projection.checkpoints import Checkpoint, Checkpoints, effect_checkpoints
from eventkit.projection.dead_letters_table import count_parked
from eventkit.projection.origin import other_log
from eventkit.projection.projection import (
    Projection,
    effects_filter_of,
    filter_of,
    has_effects_alone,
)
from eventkit.projection.read_models import ReadModels
from eventkit.projection.reports import PartitionReport, Reports
from eventkit.projection.source import Partition, Source
from eventkit.store import EventFilter

State = Literal["new", "building", "rebuilding", "ready", "outdated"]
PartitionState = Literal["new", "behind", "current", "failed"]


class PartitionStatus(NamedTuple):
    """Where a projection stands in one partition.

    `position`, `end`, `lag` and the like are as in `ProjectionStatus`. `worker` is the host and
    process that works on it, None where none was heard of for some seconds; `rate` is what that one
    last told, in events per second. `error` is why the last worker ended, until one works again, or
    why none can go on, which has no `error_at`.
    `state` is new, behind, current (nothing is left to read) or failed (it has an error).
    """

    topic: str
    partition: int
    position: int
    end: int
    lag: int
    lag_seconds: float
    events: int
    updated_at: datetime | None
    state: PartitionState
    parked: int
    rate: float
    worker: str | None
    error: str | None
    error_at: datetime | None


class ProjectionStatus(NamedTuple):
    """Where a projection stands in the log.

    `position` is the offset up to which it has read, `end` that of the newest event, both counted
    from the start of the log and summed over its partitions. `lag` counts the events between them,
    `lag_seconds` is the age of the oldest one that it is to handle: the time since its timestamp.
    `events` counts those it has handled since it was last built, the newest of them at
    `updated_at` (UTC). `parked` counts those that wait as dead letters, `rate` is in events per
    second, of all workers. Of a projection that has effects alone, all this is told of its effects.
    `state` is one of

    - new: never run here;
    - building, rebuilding: not yet at the end of the log for the first time since then, so the
      read model is not whole; `run` goes on with it;
    - ready: it was at the end of the log, and follows it;
    - outdated: the code has changed, or the read model was built from another log, as one is that
      was restored from an older backup; it must be rebuilt.
    """

    name: str
    version: int
    position: int
    end: int
    lag: int
    events: int
    updated_at: datetime | None
    state: State
    lag_seconds: float = 0.0
    parked: int = 0
    rate: float = 0.0
    partitions: tuple[PartitionStatus, ...] = ()


class _Found(NamedTuple):
    """What the database knows of a build."""

    version: int
    state: State
    checkpoints: Mapping[Partition, Checkpoint]
    read_to: Mapping[Partition, Checkpoint]
    reports: Mapping[Partition, PartitionReport]
    parked: Mapping[Partition, int]
    begins_at_end: bool = False


def status_of(projection: Projection, source: Source, models: ReadModels) -> ProjectionStatus:
    """Where a projection stands, read without changing anything."""
    found = _Found(projection.version, "new", {}, {}, {}, {})
    if models.exists():
        with models.connect() as connection:
            build = find_build(connection, projection.name, projection.version)
            if build is not None:
                found = _found(connection, projection, build)
    alone = has_effects_alone(projection)
    wanted = (effects_filter_of if alone else filter_of)(projection, source.types)
    if alone and not found.checkpoints:
        found = found._replace(begins_at_end=True)
    partitions = source.partitions(wanted)
    refused = _refused(projection.name, source, partitions, found)
    if refused:
        found = found._replace(state="outdated")
    parts = tuple(_part(it, source, wanted, found, refused.get(it)) for it in partitions)
    return ProjectionStatus(
        projection.name,
        found.version,
        sum(part.position for part in parts),
        sum(part.end for part in parts),
        sum(part.lag for part in parts),
        sum(part.events for part in parts),
        max((part.updated_at for part in parts if part.updated_at), default=None),
        found.state,
        max((part.lag_seconds for part in parts), default=0.0),
        sum(part.parked for part in parts),
        sum(part.rate for part in parts),
        parts,
    )


def _found(connection: Connection, projection: Projection, build: Build) -> _Found:
    state: State = build.state
    try:
        check_build(connection, projection, build)
    except RebuildNeeded:
        state = "outdated"
    key = (projection.name, build.version, build.number)
    alone = has_effects_alone(projection)
    read_to = Checkpoints(*key).read(connection)
    return _Found(
        build.version,
        state,
        effect_checkpoints(projection.name).read(connection) if alone else read_to,
        read_to,
        Reports(*key).read(connection),
        count_parked(connection, projection.name, build.version),
    )


def _refused(
    name: str, source: Source, partitions: Sequence[Partition], found: _Found
) -> dict[Partition, str]:
    """What a worker would say that finds another log than the one its checkpoints are of.

    One partition is enough, as all are rebuilt: before Kafka is believed that a log is shorter, it
    is asked for some seconds. Where it does not answer, nothing is told: that is no other log.
    """
    for partition in partitions:
        at, report = found.read_to.get(partition), found.reports.get(partition)
        if at is not None:
            log = None if report is None else report.log
            with suppress(StoreUnavailable):
                reason = other_log(source, partition, at.offset, log)
                if reason is not None:
                    return {partition: str(RebuildNeeded(name, reason))}
    return {}


def _part(
    partition: Partition,
    source: Source,
    wanted: EventFilter,
    found: _Found,
    refused: str | None,
) -> PartitionStatus:
    start, end = source.start(partition), source.end(partition)
    checkpoint = found.checkpoints.get(partition)
    report = found.reports.get(partition)
    begin = end if found.begins_at_end else start
    at = begin if checkpoint is None else checkpoint.offset
    lag = source.count(partition, at)
    error, error_at = (None, None) if report is None else (report.error, report.error_at)
    if refused is not None:
        error, error_at = refused, None
    state: PartitionState = "behind" if lag else "current"
    if checkpoint is None and refused is None:
        state = "new"
    elif error is not None:
        state = "failed"
    return PartitionStatus(
        partition.topic,
        partition.number,
        at - start,
        end - start,
        lag,
        _age(source, partition, wanted, at) if lag else 0.0,
        0 if checkpoint is None else checkpoint.events,
        None if checkpoint is None else checkpoint.updated_at,
        state,
        found.parked.get(partition, 0),
        0.0 if report is None else round(report.rate, 1),
        None if report is None else report.worker,
        error,
        error_at,
    )


def _age(source: Source, partition: Partition, wanted: EventFilter, after: int) -> float:
    """Seconds since the timestamp of the oldest event that is still to be handled."""
    for recorded in source.page(partition, wanted, after, 1).events:
        with suppress(CodecError, EventTypeError, StoreCorrupted):  # damage may hide it
            timestamp = recorded.metadata.timestamp
            if timestamp is not None:
                return round(max(0.0, (datetime.now(UTC) - timestamp).total_seconds()), 3)
    return 0.0
