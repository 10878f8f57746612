"""Parked events of one aggregate through the handlers, in order.

A retry and a worker take turns: both begin by locking the checkpoint of the partition, and look
at the letters only then.

- The worker is first: its batch holds an event of the aggregate, finds the letters still there,
  and parks the event behind them. It commits; the retry gets the lock, and finds that letter too.
- The retry is first: it applies the letters and removes them. It commits; the worker gets the
  lock, finds no letter of the aggregate, and applies its event, which comes after those.
- The retry fails at an event again: that letter and all behind it stay, and the worker goes on
  parking behind them.
- Many letters: the retry commits after some of them, and takes the lock anew. What the worker
  has parked meanwhile is behind the rest.
- Two retries: the second waits for the first, and finds nothing, or what is left.
- A rebuild while a retry waits: it removes checkpoints before letters, so the retry finds another
  build, or no checkpoint, and gives up with nothing written.
- A commit whose answer is lost: the next attempt finds the letters gone, or there, and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection

from eventkit.errors import EventkitError, InvalidAggregateId, ProjectionError
from eventkit.events import RecordedEvent, UnreadableEvent
from eventkit.ids import category_of
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.committing import CommitRefused, committed
from eventkit.projection.dead_letters_table import DeadLetter, Letters, find_letter
from eventkit.projection.failures import failure_of
from eventkit.projection.handling import Handling
from eventkit.projection.partition import Partition
from eventkit.projection.patience import Patience
from eventkit.projection.projection import Projection, filter_of
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Source
from eventkit.projection.tables import bound
from eventkit.projection.versions import open_build
from eventkit.store import EventFilter

_IN_ONE_TRANSACTION = 500
"""Letters, so that the worker, which waits meanwhile, gets its turn."""


class Outcome(NamedTuple):
    """How many events were applied, and the letter at which one failed again."""

    applied: int
    failed: DeadLetter | None


class NotInLog(ProjectionError):
    """An event that a letter points at is not in the log.

    Parameters:
        letter: which.
        applied: how many of its aggregate, in front of it, were applied by this retry.
    """

    def __init__(self, letter: DeadLetter, applied: int = 0) -> None:
        self.letter = letter
        self.applied = applied
        super().__init__(
            f"dead letter {letter.number} points at {letter.aggregate_id} version "
            f"{letter.aggregate_version} at {letter.position}, which is not in this store. Is it "
            "the store that the projection was built from? If the event is gone for good, give it "
            f"up: eventkit dead-letters discard {letter.number} --reason ..."
        )


class HandlerRetry:
    """Applies parked events to the read model.

    Parameters:
        projection: with today's handlers.
        source: the log.
        models: where its tables are.

    Raises:
        RebuildNeeded: the tables in the database are not those of today's code.
    """

    def __init__(self, projection: Projection, source: Source, models: ReadModels) -> None:
        build = open_build(projection, models)
        self._models = models
        self._patience = Patience(models.patience)
        self._checkpoints = Checkpoints(projection.name, build.version, build.number)
        self._handling = Handling(bound(projection, build.physical), models)
        self._events = PointedAt(source, filter_of(projection, source.types))
        self.letters = Letters(projection.name, projection.version)

    def retry(self, aggregate_id: str) -> Outcome:
        """Apply the parked events of an aggregate in order, up to one that fails again.

        Raises:
            NotInLog: an event is not in the log; those before it are applied.
            ReadModelError: the database cannot be written.
        """
        applied = 0
        while True:
            try:
                some, failed = self._retry_next(aggregate_id)
            except NotInLog as error:
                raise NotInLog(error.letter, applied) from None
            applied += some
            if failed is not None or some == 0:
                return Outcome(applied, failed)

    def _retry_next(self, aggregate_id: str) -> Outcome:
        """Retry many letters in one transaction, or one if the database refuses to commit many."""
        try:
            return self._patience(lambda: self._retry_some(aggregate_id, _IN_ONE_TRANSACTION))
        except CommitRefused:
            pass  # not handled in here, or it would be in every later traceback
        try:
            return self._patience(lambda: self._retry_some(aggregate_id, 1))
        except CommitRefused as refused:
            reason = refused.reason
        return self._patience(lambda: self._refused(aggregate_id, reason))

    def _refused(self, aggregate_id: str, reason: BaseException) -> Outcome:
        """Note that the first letter failed again, at the commit."""
        with self._models.writing() as connection:
            failed = None
            for letter in self.locked(connection, aggregate_id, 1):
                self.letters.failed_again(connection, letter.number, failure_of(reason, 1))
                failed = find_letter(connection, letter.number)
            return Outcome(0, failed)

    def _retry_some(self, aggregate_id: str, limit: int) -> Outcome:
        with committed(self._models) as connection:
            waiting = self.locked(connection, aggregate_id, limit)
            done: list[int] = []
            failed: DeadLetter | None = None
            for letter in waiting:
                try:
                    error = self._handle(connection, letter)
                except NotInLog:
                    if not done:
                        raise
                    break  # what was done is written; the next attempt meets it first
                if error is not None:
                    self.letters.failed_again(connection, letter.number, failure_of(error, 1))
                    failed = find_letter(connection, letter.number)
                    break
                done.append(letter.number)
            self.letters.remove(connection, done)
            if done:
                self._checkpoints.hold(connection, partition_of(waiting[0]), len(done))
            return Outcome(len(done), failed)

    def locked(
        self, connection: Connection, aggregate_id: str, limit: int = _IN_ONE_TRANSACTION
    ) -> list[DeadLetter]:
        """The first letters of an aggregate, with the checkpoint of its partition locked."""
        first = self.letters.next_of(connection, aggregate_id, 1)
        if not first:
            return []
        self._checkpoints.hold(connection, partition_of(first[0]))
        return self.letters.next_of(connection, aggregate_id, limit)

    def _handle(self, connection: Connection, letter: DeadLetter) -> BaseException | None:
        recorded = self._events.read(letter)
        if isinstance(recorded, UnreadableEvent):
            return recorded.error
        return None if recorded is None else self._handling.one(connection, recorded)


class PointedAt:
    """Reads the events that letters point at, with today's classes.

    Parameters:
        source: the log.
        wanted: what today's code handles.
    """

    def __init__(self, source: Source, wanted: EventFilter) -> None:
        self._source = source
        self._wanted = wanted

    def read(self, letter: DeadLetter) -> RecordedEvent | None:
        """The event, which may be an `UnreadableEvent`; None where today's code does not handle it.

        Raises:
            NotInLog: it is not in this log.
        """
        types, categories = self._wanted.types, self._wanted.categories
        if types is not None and letter.event_type not in types:
            return None
        if categories is not None and not _may_be_in(categories, letter.aggregate_id):
            return None
        before = letter.position.offset - 1
        page = self._source.page(partition_of(letter), self._wanted, before, 1)
        for recorded in page.events:
            if _is_that(recorded, letter):
                return recorded
        raise NotInLog(letter)


def _is_that(recorded: RecordedEvent, letter: DeadLetter) -> bool:
    """Whether it is the event of a letter; damage may hide its id, then or now."""
    with suppress(EventkitError):
        if letter.event_id is not None:
            return recorded.event_id == letter.event_id
    return recorded.position == letter.position


def _may_be_in(categories: Sequence[str], aggregate_id: str) -> bool:
    """Whether an aggregate is of one of the categories, as far as its id can be read."""
    try:
        return category_of(aggregate_id) in categories
    except InvalidAggregateId:
        return True


def partition_of(letter: DeadLetter) -> Partition:
    """The partition in which its event is, with all of its aggregate."""
    return Partition(letter.position.topic, letter.position.partition)
