"""Where a projection stands."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from eventkit.errors import RebuildNeeded
from eventkit.projection.builds import check_build, find_build
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Source

State = Literal["new", "building", "rebuilding", "ready", "outdated"]


class ProjectionStatus(NamedTuple):
    """Where a projection stands in the log.

    `position` is the offset up to which it has read, `end` that of the newest event, both counted
    from the start of the log and summed over its partitions; `lag` is what is between them.
    `events` counts those it has handled since it was last built, the newest of them at
    `updated_at` (UTC). `state` is one of

    - new: never run here;
    - building, rebuilding: not yet at the end of the log for the first time since then, so the
      read model is not whole; `run` goes on with it;
    - ready: it was at the end of the log, and follows it;
    - outdated: the code has changed, and it must be rebuilt.
    """

    name: str
    version: int
    position: int
    end: int
    lag: int
    events: int
    updated_at: datetime | None
    state: State


def status_of(projection: Projection, source: Source, models: ReadModels) -> ProjectionStatus:
    """Where a projection stands, read without changing anything."""
    partitions = source.partitions()
    starts = {partition: source.start(partition) for partition in partitions}
    end = sum(source.end(partition) - start for partition, start in starts.items())
    new = ProjectionStatus(projection.name, projection.version, 0, end, end, 0, None, "new")
    if not models.exists():
        return new
    with models.connect() as connection:
        build = find_build(connection, projection.name, projection.version)
        if build is None:
            return new
        found = Checkpoints(projection.name, build.version, build.number).read(connection)
        state: State = build.state
        try:
            check_build(connection, projection, build)
        except RebuildNeeded:
            state = "outdated"
    position = sum(
        found[partition].offset - start for partition, start in starts.items() if partition in found
    )
    return ProjectionStatus(
        projection.name,
        build.version,
        position,
        end,
        max(0, end - position),
        sum(checkpoint.events for checkpoint in found.values()),
        max((checkpoint.updated_at for checkpoint in found.values()), default=None),
        state,
    )
