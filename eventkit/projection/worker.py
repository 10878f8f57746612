"""A worker: one build of a projection on its way through the log."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress

from eventkit.errors import (
    CheckpointMoved,
    RebuildNeeded,
)
from eventkit.projection.batch import Batches
from eventkit.projection.builds import find_build, finish_build
from eventkit.projection.checkpoints import Checkpoint, Checkpoints
from eventkit.projection.effects import Effects
from eventkit.projection.origin import other_log
from eventkit.projection.patience import Patience
from eventkit.projection.projection import Projection, effects_on, filter_of, has_effects_alone
from eventkit.projection.read_models import ReadModels
from eventkit.projection.reports import PartitionReport, Reports
from eventkit.projection.source import Partition, Source
from eventkit.projection.tables import bound
from eventkit.projection.versions import is_replaced, open_build, renamed
from eventkit.store import Page

_FIRST, _LARGEST = 1_000, 8_000
"""Events in one transaction."""
_LONGEST = 0.5
"""Seconds for one transaction, so that other writers of the database get their turn."""
_PAUSE = 0.02
"""Seconds between two looks at an effect that is to be tried again."""
_LOOK = 0.1
"""Seconds between two looks whether the other workers are at the end of the log too."""

_LOOK_FOR_BUILD = 1.0
"""Seconds between two looks whether a switch or a rebuild came."""

_TRIES = 10
"""How often a worker looks again at once for a build that changes while it looks."""


class Worker:
    """Reads pages and applies them, from the checkpoint on.

    It begins with all partitions; `take` says which ones are its own.

    Attributes:
        partitions: all that the projection reads.
        offsets: how far it has come, in those that are its own.
        handled: how many events it handled, by partition; of a projection that has effects alone,
            how many had them.

    Parameters:
        projection: whose handlers.
        source: the log.
        models: where its tables are.
        stop: once set, a database that went away is not waited for.
        quiet: nothing is logged of events that it parks; see `Batches`.

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
        *,
        quiet: bool = False,
    ) -> None:
        self._declared = projection
        self._source = source
        self._models = models
        self._patience = Patience(models.patience, stop)
        self._quiet = quiet
        self._wanted = filter_of(projection, source.types)
        self._alone = has_effects_alone(projection)
        self._limit = _FIRST
        self._look_at = self._build_at = 0.0
        self.handled: Counter[Partition] = Counter()
        self.partitions = source.partitions(self._wanted)
        self.offsets: dict[Partition, int] = {}
        self._go_on(self.partitions)

    def _open(self) -> None:
        """Find the build that there is now, to work in its tables."""
        build = self._build = open_build(self._declared, self._models)
        self._projection = bound(self._declared, build.physical)
        self._finished = build.state == "ready"
        self._checkpoints = Checkpoints(self._projection.name, build.version, build.number)
        self.reports = Reports(self._projection.name, build.version, build.number)
        self._batches = Batches(
            self._projection,
            self._models,
            self._checkpoints,
            self._patience,
            quiet=self._quiet,
        )

    def take(self, partitions: Collection[Partition]) -> None:
        """Work on these from now on; where others may have been before, it begins where they ended.

        Raises: as the worker when it is made.
        """
        if self.offsets.keys() == set(partitions):
            return
        fresh = [it for it in partitions if it not in self.offsets]
        try:
            stored = self._patience(lambda: self._stored_offsets(fresh)) if fresh else {}
        except CheckpointMoved:
            self._patience(lambda: self._go_on(partitions))
            return
        self.offsets = {it: stored[it] if it in stored else self.offsets[it] for it in partitions}

    def refresh(self) -> None:
        """Look again where the work stands: somebody else moved a checkpoint, or made a new build.

        Raises: as the worker when it is made.
        """
        partitions = list(self.offsets)
        self._patience(lambda: self._go_on(partitions))

    def _go_on(self, partitions: Collection[Partition]) -> None:
        """Begin where the build that there is now stands."""
        for _ in range(_TRIES):
            self._open()
            with suppress(CheckpointMoved):  # by a switch or a rebuild between the two
                self.offsets = self._stored_offsets(partitions)
                self._ends = {} if self._finished else self.ends(self.partitions)
                self._effects = self._begun_effects()
                return
        raise CheckpointMoved(self._declared.name, 0, None)

    def _begun_effects(self) -> Effects | None:
        """The effects, if they are this build's; only now, when the log is known to be its own."""
        if self._build.role != "live" or not effects_on(self._declared):
            return None
        return Effects(
            self._declared, self._source, self._models, self._patience, self._checkpoints
        )

    def step(self, partition: Partition, until: int | None = None) -> int | None:
        """Read one page and apply it.

        Parameters:
            partition: one of its own.
            until: the last offset to read, unless that is the end of the log.

        Returns how many events it had for the projection, None where nothing is new.

        Raises:
            ProjectionError: an event cannot be read or handled, and the projection does not park
                such events; those before it are kept.
        """
        after = self.offsets[partition]
        page = self._source.page(partition, self._wanted, after, self._limit)
        if until is not None and page.read_to > until:
            page = Page([it for it in page.events if it.position.offset <= until], until)
        if page.read_to == after:
            return None
        began = time.monotonic()
        try:
            applied = self._batches.apply(partition, after, page)
        except CheckpointMoved as moved:
            # A switch renames the tables. What this batch wrote by their names of before, into
            # another version's tables by now, is undone; it is written again by the new names.
            if moved.actual is None and self._renamed():
                self.refresh()
                return 0
            raise
        self._fit(time.monotonic() - began, len(page.events))
        self.offsets[partition] = applied.offset
        self.handled[partition] += applied.handled
        return len(page.events)

    def act(self, partition: Partition) -> bool:
        """Run side effects that are due; returns whether there were any.

        They belong to the live build, once it is whole; what is read to make it so has none.
        """
        if self._effects is None or not self._finished:
            return False
        before = self._effects.done[partition]
        try:
            return self._effects.run(partition, self.offsets[partition])
        finally:
            if self._alone:
                self.handled[partition] += self._effects.done[partition] - before

    def act_on_all(self) -> None:
        """Run all side effects that are due; those that fail are tried again, then parked."""
        if self._effects is None or not self._finished:
            return
        for partition, offset in self.offsets.items():
            while self._effects.pending(partition, offset):
                if not self.act(partition) and self._patience.pause(_PAUSE):
                    return

    def look(self) -> None:
        """Notice now and then that a switch gave this build another role, or a rebuild came.

        Batches notice by themselves. But side effects, which belong to the live build, and tables
        that a rebuild left empty must not wait for the next one.
        """
        now = time.monotonic()
        if now < self._build_at:
            return
        self._build_at = now + _LOOK_FOR_BUILD
        if self._is_replaced():
            self.refresh()

    def finish(self) -> None:
        """Note that all workers together have come to where the log ended when the build began."""
        if self._finished or time.monotonic() < self._look_at:
            return
        if self._patience(self._is_at_ends):
            self._finished = self._patience(self._note_finished)
            if not self._finished and self._is_replaced():
                self.refresh()
        self._look_at = time.monotonic() + _LOOK

    def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Where these partitions end now."""
        return {partition: self._source.end(partition) for partition in partitions}

    def _is_at_ends(self) -> bool:
        with self._models.connect() as connection:
            stored = self._checkpoints.read(connection)
        return all(it in stored and stored[it].offset >= end for it, end in self._ends.items())

    def _note_finished(self) -> bool:
        with self._models.writing() as connection:
            return finish_build(connection, self._projection, self._build)

    def _renamed(self) -> bool:
        return self._patience(lambda: renamed(self._declared, self._models, self._build))

    def _is_replaced(self) -> bool:
        return self._patience(lambda: is_replaced(self._declared, self._models, self._build))

    def _stored_offsets(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The checkpoints, made where there are none yet."""
        with self._models.connect() as connection:
            stored = self._checkpoints.read(connection)
            reports = self.reports.read(connection)
        if not set(self.partitions) <= stored.keys() & reports.keys():
            stored, reports = self._begin()
        for partition in partitions:
            self._check_log(partition, stored[partition].offset, reports[partition].log)
        return {partition: stored[partition].offset for partition in partitions}

    def _begin(self) -> tuple[dict[Partition, Checkpoint], dict[Partition, PartitionReport]]:
        """Make the checkpoints and reports that are missing."""
        with self._models.building() as connection:
            build = find_build(connection, self._projection.name, self._build.version)
            if build is None or build.number != self._build.number:
                raise CheckpointMoved(self._projection.name, 0, None)
            there = self._checkpoints.read(connection)
            for partition in self.partitions:
                if partition not in there:
                    place = self._source.end if self._alone else self._source.start
                    self._checkpoints.begin(connection, partition, place(partition))
            self.reports.begin(connection, {it: self._source.log(it) for it in self.partitions})
            return self._checkpoints.read(connection), self.reports.read(connection)

    def _check_log(self, partition: Partition, offset: int, log: str) -> None:
        """See that the log is the one that the checkpoint is of."""
        reason = other_log(self._source, partition, offset, log)
        if reason is not None:
            raise RebuildNeeded(self._projection.name, reason)

    def _fit(self, seconds: float, events: int) -> None:
        """Choose the size of the next batch by the time that this one took."""
        if seconds > _LONGEST:
            self._limit = max(1, min(self._limit, events) // 2)
        elif events == self._limit and seconds < _LONGEST / 4:
            self._limit = min(_LARGEST, self._limit * 2)
