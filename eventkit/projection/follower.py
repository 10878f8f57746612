"""Following the log: the partitions that are its own, batch by batch, until it is told to stop."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import closing, suppress

from eventkit.errors import CategoryAdded, CheckpointMoved, EventkitError, ReadModelError
from eventkit.projection.assignment import Assignment
from eventkit.projection.database_id import database_id
from eventkit.projection.patience import Patience
from eventkit.projection.progress import Meter, Report
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Partition, Source
from eventkit.projection.worker import Worker

_LOG = logging.getLogger(__name__)

_TELL = 5.0
"""Seconds between two reports of how fast it goes."""
_AGAIN = 0.02
"""Seconds before another look at a checkpoint that somebody else moved."""


class Follower:
    """Applies what is there and each new event.

    Which partitions it works on is asked before each batch: to be asked again means that the batch
    before is done, so a partition that goes to another worker goes between two batches. Should two
    work on one all the same (one was frozen, and the group gave it up), the checkpoint lets one of
    them pass; the other looks where it stands, and goes on from there.

    Parameters:
        projection: whose handlers.
        source: the log.
        models: where its tables are.
        stop: ends it, after the batch at work.
        report: told the progress after each batch.
    """

    def __init__(
        self,
        projection: Projection,
        source: Source,
        models: ReadModels,
        stop: threading.Event,
        report: Report | None,
    ) -> None:
        self._projection = projection
        self._source = source
        self._models = models
        self._stop = stop
        self._meter = None if report is None else Meter(report)
        self._read = 0
        self._told_at = time.monotonic()
        self._told: dict[Partition, int] = {}
        self._noted: BaseException | None = None

    def run(self) -> int:
        """Follow until `stop` is set; returns how many events were handled.

        Raises: as `Runner.follow`.
        """
        patience = Patience(self._models.patience, self._stop)
        worker = patience(lambda: Worker(self._projection, self._source, self._models, self._stop))
        group, database = group_of(self._projection), patience(lambda: database_id(self._models))
        try:
            categories = self._projection.categories
            assignment = self._source.join(group, worker.partitions, database, categories)
            with closing(assignment):
                worker.take(())
                self._follow(worker, assignment)
        except CategoryAdded:
            raise  # it is no failure: the worker comes back
        except Exception as error:
            if error is not self._noted:
                note_failure(worker, self._models, worker.offsets or worker.partitions, error)
            raise
        finally:
            with suppress(ReadModelError), self._models.writing() as connection:
                worker.reports.leave(connection, worker.offsets)
        return worker.handled.total()

    def _follow(self, worker: Worker, assignment: Assignment) -> None:
        while not self._stop.is_set():
            seen = self._source.state()
            moved = self._round(worker, assignment)
            worker.finish()
            worker.look()
            self._tell(worker, assignment.trouble())
            if not moved:
                self._source.wait(seen, self._stop)

    def _round(self, worker: Worker, assignment: Assignment) -> bool:
        """One batch of each partition; returns whether any had something new."""
        moved = False
        for partition in tuple(assignment.partitions()):
            worker.take(assignment.partitions())
            if partition in worker.offsets and self._step(worker, partition):
                moved = True
                assignment.commit({partition: worker.offsets[partition]})
            if partition in worker.offsets and worker.act(partition):
                moved = True
        worker.take(assignment.partitions())
        return moved

    def _step(self, worker: Worker, partition: Partition) -> bool:
        before = worker.offsets[partition]
        try:
            events = worker.step(partition)
        except CheckpointMoved as moved:
            _LOG.info("%s It goes on from where the other one is.", moved)
            self._stop.wait(_AGAIN)
            worker.refresh()
            return True
        except EventkitError as error:
            note_failure(worker, self._models, [partition], error)
            self._noted = error
            raise
        if events is None:
            return False
        self._read += worker.offsets[partition] - before
        if self._meter is not None:
            ends = worker.ends(worker.offsets)
            left = sum(max(0, end - worker.offsets[part]) for part, end in ends.items())
            self._meter.show(self._read, self._read + left)
        return True

    def _tell(self, worker: Worker, trouble: str | None) -> None:
        """Report now and then who works here and how fast; that it fails does no harm."""
        now = time.monotonic()
        seconds = now - self._told_at
        if seconds < _TELL and self._told.keys() == worker.offsets.keys():
            return
        rates = {
            it: max(0, worker.handled[it] - self._told[it]) / seconds if it in self._told else 0.0
            for it in worker.offsets
        }
        with suppress(ReadModelError), self._models.writing() as connection:
            worker.reports.tell(connection, worker_name(), rates, trouble)
        self._told_at = now
        self._told = {it: worker.handled[it] for it in worker.offsets}


def group_of(projection: Projection) -> str:
    """The consumer group that shares the projection's partitions."""
    return f"{projection.group or projection.name}.v{projection.version}"


def worker_name() -> str:
    """Host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def note_failure(
    worker: Worker, models: ReadModels, partitions: Iterable[Partition], error: Exception
) -> None:
    """Leave for the status why a worker ended; where the database is the reason, it cannot."""
    told = str(error) if isinstance(error, EventkitError) else f"{type(error).__name__}: {error}"
    with suppress(ReadModelError), models.writing() as connection:
        worker.reports.fail(connection, worker_name(), partitions, told)


def note_recovery(worker: Worker, models: ReadModels) -> None:
    """Let the status forget why a worker ended before."""
    with suppress(ReadModelError):
        with models.connect() as connection:
            reports = worker.reports.read(connection)
        failed = [it for it in worker.offsets if it in reports and reports[it].error is not None]
        if failed:
            with models.writing() as connection:
                worker.reports.recover(connection, failed)
