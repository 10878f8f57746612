"""A worker: one build of a projection on its way through the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from eventkit.errors import (
    CheckpointMoved,
    CodecError,
    EventTypeError,
    ProjectionError,
    RebuildNeeded,
)
from eventkit.projection.batch import Batches
from eventkit.projection.builds import find_build, finish_build
from eventkit.projection.checkpoints import Checkpoint, Checkpoints
from eventkit.projection.patience import Patience
from eventkit.projection.projection import Projection, filter_of
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Partition, Source
from eventkit.projection.tables import bound
from eventkit.projection.versions import open_build, renamed
from eventkit.store import Page

_FIRST, _LARGEST = 1_000, 2_000
"""Events in one transaction."""
_LONGEST = 0.5
"""Seconds for one transaction, so that other writers of the database get their turn."""


class Worker:
    """Reads pages and applies them, from the checkpoint on.

    Parameters:
        projection: whose handlers.
        source: the log.
        models: where its tables are.
        stop: once set, a database that went away is not waited for.

    Raises:
        RebuildNeeded: the tables in the database are not those of today's code.
        TableTaken: one of them belongs to something else.
    """

    def __init__(
        self,
        projection: Projection,
        source: Source,
        models: ReadModels,
        stop: threading.Event | None = None,
    ) -> None:
        self._declared = projection
        self._source = source
        self._models = models
        self._patience = Patience(models.patience, stop)
        self._wanted = filter_of(projection, source.types)
        self._limit = _FIRST
        self._open()

    def _open(self) -> None:
        """Find the build, and go on from its checkpoints, in its tables."""
        build = self._build = open_build(self._declared, self._models)
        self._projection = bound(self._declared, build.physical)
        self._finished = build.state == "ready"
        self._checkpoints = Checkpoints(self._projection.name, build.version, build.number)
        self._batches = Batches(self._projection, self._models, self._checkpoints, self._patience)
        self.offsets = self._stored_offsets()

    def _stored_offsets(self) -> dict[Partition, int]:
        partitions = self._source.partitions()
        with self._models.connect() as connection:
            stored = self._checkpoints.read(connection)
        if not set(partitions) <= set(stored):
            stored = self._begin(partitions)
        for partition in partitions:
            end, offset = self._source.end(partition), stored[partition].offset
            if offset > end:
                raise RebuildNeeded(
                    self._projection.name,
                    f"its checkpoint is at {offset:,} and the log of this store ends at {end:,}; "
                    "the read model was built from another store",
                )
        return {partition: stored[partition].offset for partition in partitions}

    def _begin(self, partitions: Iterable[Partition]) -> dict[Partition, Checkpoint]:
        """Make the checkpoints that are missing."""
        with self._models.building() as connection:
            build = find_build(connection, self._projection.name, self._build.version)
            if build is None or build.number != self._build.number:
                raise CheckpointMoved(self._projection.name, 0, None)
            there = self._checkpoints.read(connection)
            for partition in partitions:
                if partition not in there:
                    start = self._source.start(partition)
                    self._checkpoints.begin(connection, partition, start)
            return self._checkpoints.read(connection)

    def step(self, partition: Partition) -> int | None:
        """Read one page and apply it.

        Returns how many events it had for the projection, None where nothing is new.

        Raises:
            ProjectionError: an event cannot be read or handled; those before it were.
        """
        after = self.offsets[partition]
        page = self._page(partition, after)
        if page.read_to == after:
            return None
        began = time.monotonic()
        try:
            reached = self._batches.apply(partition, after, page)
        except CheckpointMoved as moved:
            # A switch renames the tables. What this batch wrote by their names of before, into
            # another version's tables by now, is undone; it is written again by the new names.
            if moved.actual is None and self._renamed():
                self._open()
                return 0
            raise
        self._fit(time.monotonic() - began, len(page.events))
        self.offsets[partition] = reached
        return len(page.events)

    def finish(self) -> None:
        """Note that the end of the log was reached."""
        if not self._finished:
            noted = self._patience(self._note_finished)
            if not noted and self._renamed():
                self._open()
            else:
                self._finished = True

    def _note_finished(self) -> bool:
        with self._models.writing() as connection:
            return finish_build(connection, self._projection, self._build)

    def _renamed(self) -> bool:
        return self._patience(lambda: renamed(self._declared, self._models, self._build))

    def _page(self, partition: Partition, after: int) -> Page:
        try:
            return self._source.page(partition, self._wanted, after, self._limit)
        except (CodecError, EventTypeError) as error:
            if self._limit == 1:
                raise ProjectionError(
                    f"projection {self._projection.name} cannot read its next event after "
                    f"{partition}/{after}: {error} The read model holds all events before it."
                ) from error
        # One event of the page cannot be read: take those before it, one by one.
        self._limit = 1
        return self._page(partition, after)

    def _fit(self, seconds: float, events: int) -> None:
        """Choose the size of the next batch by the time that this one took."""
        if seconds > _LONGEST:
            self._limit = max(1, min(self._limit, events) // 2)
        elif events == self._limit and seconds < _LONGEST / 4:
            self._limit = min(_LARGEST, self._limit * 2)
