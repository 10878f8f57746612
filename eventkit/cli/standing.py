"""Where projections stand, as rows of a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eventkit.projection import PartitionStatus, ProjectionStatus

ALL = "all"
"""In place of a partition: the row is of the projection as a whole."""


def as_json(status: ProjectionStatus) -> dict[str, Any]:
    """A status with its partitions as objects."""
    return status._asdict() | {"partitions": [part._asdict() for part in status.partitions]}


def as_rows(status: ProjectionStatus) -> Iterator[dict[str, object]]:
    """One row of the whole, and one of each partition, where there are several."""
    if len(status.partitions) == 1:
        (part,) = status.partitions
        failed = part.state == "failed"
        yield _row(status, part, f"{part.topic}/{part.partition}", "failed" if failed else None)
        return
    yield _row(status, None, ALL, None)
    for part in status.partitions:
        yield _row(status, part, f"{part.topic}/{part.partition}", part.state)


def _row(
    status: ProjectionStatus, part: PartitionStatus | None, partition: str, state: str | None
) -> dict[str, object]:
    of = part or status
    return {
        "name": status.name,
        "version": status.version,
        "partition": partition,
        "position": of.position,
        "end": of.end,
        "lag": of.lag,
        "lag_seconds": of.lag_seconds,
        "events": of.events,
        "rate": of.rate,
        "parked": of.parked,
        "state": state or status.state,
        "updated_at": of.updated_at,
        "worker": "" if part is None else part.worker or "",
        "error": "" if part is None else part.error or "",
    }
