"""Running a projection: catch up once, follow, rebuild."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from eventkit.errors import CheckpointMoved, InvalidProjection
from eventkit.events import Position
from eventkit.projection.follower import Follower, note_failure, note_recovery
from eventkit.projection.partition import Partition
from eventkit.projection.progress import Meter, Report
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.reset import To, reset
from eventkit.projection.source import source_of
from eventkit.projection.status import ProjectionStatus, status_of
from eventkit.projection.versions import begin_rebuild
from eventkit.projection.waiting import Waiting
from eventkit.projection.worker import Worker
from eventkit.store import EventStore

_LOG = logging.getLogger(__name__)


class Share(NamedTuple):
    """Which part of the partitions one of several takes: the first of three is `Share(1, 3)`."""

    number: int
    of: int


class Runner:
    """Keeps the read model of one projection in step with a store.

    Whatever dies at whatever moment, each event counts exactly once: rows and checkpoint are
    committed together, and the checkpoint moves only from where the batch began.

    Parameters:
        projection: an instance.
        store: where its events are.
        models: where its tables are.
    """

    def __init__(self, projection: Projection, store: EventStore, models: ReadModels) -> None:
        if not isinstance(projection, Projection):
            raise InvalidProjection(
                f"a runner takes an instance of a projection, not {projection!r}"
            )
        self._projection = projection
        self._source = source_of(store)
        self._models = models

    @property
    def projection(self) -> Projection:
        """What it runs."""
        return self._projection

    def run(self, progress: Report | None = None, share: Share | None = None) -> int:
        """Catch up to the end of the log as it is now; goes on where an earlier call ended.

        Parameters:
            progress: called with a `Progress` at the start and after each batch.
            share: the part of the partitions to take; all unless given.

        Returns how many events were handled.

        Raises:
            HandlerFailed: a handler raised; the events before it are kept.
            RebuildNeeded: the tables are not those of today's code.
            ReadModelError: the database cannot be used.
        """
        worker = Worker(self._projection, self._source, self._models)
        if share is not None:
            worker.take(worker.partitions[share.number - 1 :: share.of])
        ends = worker.ends(worker.offsets)
        total = sum(ends.values()) - sum(worker.offsets.values())
        meter = Meter(progress)
        meter.show(0, total)
        try:
            self._catch_up(worker, ends, lambda left: meter.show(total - left, total))
            worker.finish()
            worker.act_on_all()
        except Exception as error:
            note_failure(worker, self._models, worker.offsets, error)
            raise
        note_recovery(worker, self._models)
        return worker.handled.total()

    @staticmethod
    def _catch_up(
        worker: Worker, ends: Mapping[Partition, int], report: Callable[[int], None]
    ) -> None:
        """Up to the ends; reports how much is left of the log."""
        for partition, end in ends.items():
            while worker.offsets[partition] < end:
                try:
                    worker.step(partition)
                except CheckpointMoved as moved:
                    _LOG.info("%s It goes on from where the other one is.", moved)
                    worker.refresh()
                report(sum(max(0, ends[part] - worker.offsets[part]) for part in ends))

    def follow(self, stop: threading.Event, progress: Report | None = None) -> int:
        """Catch up, and go on with each new event, until `stop` is set.

        Parameters:
            stop: set it from another thread or a signal handler; the batch at work is finished.
            progress: called with a `Progress` after each batch; the total grows with the log.

        Returns how many events were handled.

        Raises: as `run`; on Kafka also
            GroupTaken: workers with another database are in its consumer group.
            CategoryAdded: the log has got more categories to read; open the store again.
        """
        return Follower(self._projection, self._source, self._models, stop, progress).run()

    def rebuild(self, progress: Report | None = None) -> int:
        """Make the tables anew, empty, and build them from the beginning of the log.

        Of a projection that has effects alone, nothing is built: effects never run again for what
        was read before. They go on, with this version of the code.

        Until it is done, readers see a model that is not whole. Interrupted, it goes on with the
        next `run` or `follow`; called again, it begins again. Parameters and errors: as `run`.
        """
        begin_rebuild(self._projection, self._models)
        return self.run(progress)

    def rebuild_beside(self, progress: Report | None = None) -> int:
        """Build this version in tables of its own, while readers go on with the live one.

        Interrupted, it goes on when it is called again, or with `run` or `follow`. Compare and
        switch with `Versions`. Parameters and errors: as `run`.
        """
        begin_rebuild(self._projection, self._models, beside=True)
        return self.run(progress)

    def wait(self, position: Position, timeout: float = 10.0) -> None:
        """Return when the event at a position is in the read model; see `ReadModels.wait`.

        It waits for this version of the code, be it live or not, and for whoever runs it.
        """
        it = self._projection
        models = self._models
        Waiting(models.exists, models.connect, it.name, it.version).until(position, timeout)

    def reset(self, to: To = None, progress: Report | None = None) -> int:
        """Put the read model to what it was when the log was read up to a place.

        For an earlier place the tables are emptied first, and readers see a model that is not
        whole until it is done. `run` and `follow` go on from there, so end those that follow
        before.

        Parameters:
            to: positions of the last events to count, a moment, or None for the beginning.
            progress: as for `run`.

        Returns how many events were handled for it.

        Raises: as `run`; and
            InvalidInput: the log has no such place.
        """
        return reset(self._projection, self._source, self._models, to, progress)

    def status(self) -> ProjectionStatus:
        """Where the projection stands; changes nothing."""
        return status_of(self._projection, self._source, self._models)
