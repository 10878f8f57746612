"""Putting a read model back (or on) to what it was when the log was read up to a place.

A checkpoint is never moved without the rows: a model whose checkpoint went back would count the
events after it twice, and one whose checkpoint went on would lack what it passed over. So a place
before the checkpoint empties the tables and reads the log up to it again, and a place after it
reads the log up to it. In the end a `run` makes the same model as a rebuild.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from eventkit.errors import InvalidInput, ProjectionError
from eventkit.events import Position
from eventkit.projection.builds import builds_of, check_build
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.progress import Meter, Report
from eventkit.projection.projection import Projection, filter_of, has_effects_alone
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Partition, Source
from eventkit.projection.versions import clear_build
from eventkit.projection.worker import Worker
from eventkit.store import EventFilter

To = Sequence[Position] | datetime | None
"""Positions of the last events to count, one a partition; a moment; None for the beginning."""

_Places = Mapping[Partition, int]


def reset(
    projection: Projection, source: Source, models: ReadModels, to: To, report: Report | None = None
) -> int:
    """Put a read model to a place in the log; returns how many events it handled for that.

    Parameters:
        projection: whose code fills it.
        source: the log.
        models: the database.
        to: the place. Partitions that no position names stay where they are.
        report: gets the progress.

    Raises:
        ProjectionError: it has not run yet, has effects alone, or cannot handle an event.
        RebuildNeeded: the tables are not those of today's code.
        InvalidInput: the log has no such place.
    """
    if has_effects_alone(projection):
        raise ProjectionError(
            f"projection {projection.name} has effects and no tables: there is nothing to reset, "
            "and effects never run again for what was read. Nothing was changed."
        )
    wanted = filter_of(projection, source.types)
    partitions = source.partitions(wanted)
    here = _checkpoints(projection, models, partitions, source)
    there = _places(source, wanted, here, to)
    if any(there[partition] < offset for partition, offset in here.items()):
        with models.building() as connection:
            clear_build(connection, projection)
    if to is None:
        return 0
    return _read_up_to(Worker(projection, source, models), there, Meter(report))


def _checkpoints(
    projection: Projection, models: ReadModels, partitions: Sequence[Partition], source: Source
) -> dict[Partition, int]:
    starts = {partition: source.start(partition) for partition in partitions}
    with models.connect() as connection:
        build = builds_of(connection, projection.name).get(projection.version)
        if build is None:
            raise ProjectionError(
                f"version {projection.version} of projection {projection.name} has not run into "
                f"{models.where}: there is nothing to reset. Run it: eventkit projection run "
                f"{projection.name}"
            )
        check_build(connection, projection, build)
        stored = Checkpoints(projection.name, build.version, build.number).read(connection)
    return {it: stored[it].offset if it in stored else starts[it] for it in partitions}


def _places(source: Source, wanted: EventFilter, here: _Places, to: To) -> dict[Partition, int]:
    if to is None:
        return {partition: source.start(partition) for partition in here}
    if isinstance(to, datetime):
        return {partition: _offset_at(source, wanted, partition, to) for partition in here}
    places = dict(here)
    for position in to:
        partition = Partition(position.topic, position.partition)
        if partition not in here:
            known = ", ".join(map(str, here))
            raise InvalidInput(f"{position}: the projection reads no {partition}; it reads {known}")
        start, end = source.start(partition), source.end(partition)
        if not start <= position.offset <= end:
            raise InvalidInput(
                f"{position} is not in the log: {partition} goes from {start:,} to {end:,}"
            )
        places[partition] = position.offset
    return places


def _offset_at(source: Source, wanted: EventFilter, partition: Partition, time: datetime) -> int:
    """The offset before the first event that is later than the time, as the log has them."""
    later = wanted._replace(since=time + timedelta(microseconds=1))
    after, end = source.start(partition), source.end(partition)
    while after < end:
        page = source.page(partition, later, after, 1)
        if page.events:
            return page.events[0].position.offset - 1
        if page.read_to == after:
            break
        after = page.read_to
    return end


def _read_up_to(worker: Worker, places: _Places, meter: Meter) -> int:
    worker.take([it for it in places if it in worker.offsets])
    total = _left(worker, places)
    meter.show(0, total)
    for partition, place in places.items():
        while worker.offsets[partition] < place:
            if worker.step(partition, place) is None:
                break
            meter.show(total - _left(worker, places), total)
    return worker.handled.total()


def _left(worker: Worker, places: _Places) -> int:
    return sum(max(0, places[partition] - at) for partition, at in worker.offsets.items())
