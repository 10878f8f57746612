"""Side effects: what is to happen once for an event, outside of the read model.

They have a checkpoint of their own, one for all versions of a projection, which no rebuild moves
back. It follows that of the read model: an effect runs only for an event that the live read model
holds for good, and only while that one is whole, so not within a rebuild. Where a handler failed,
the effects of the event, and of those that wait behind it, are parked as well; of an event that was
given up there are none.

The order of events for one event is: the batch is committed; the effect runs; its checkpoint moves
past the event. So a worker that dies

- before the commit: neither has happened, and both will;
- between the commit and the effect: the next worker finds the checkpoint of the effects before the
  event, and runs it;
- between the effect and its checkpoint: the next worker runs it again. At least once.

A projection may have effects alone, and build nothing. It has a build like any other, without
tables: its role tells which version's effects run, and its checkpoint begins at the end of the log,
because there is nothing to read for it.

Two workers at one partition (one was frozen and wakes): both may run an effect; one of them finds
the checkpoint moved, and goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection

from eventkit.errors import CheckpointMoved
from eventkit.events import Event, RecordedEvent, UnreadableEvent
from eventkit.projection.checkpoints import ALL_VERSIONS, Checkpoints, effect_checkpoints
from eventkit.projection.dead_letters_table import Failure, Letters, Parked
from eventkit.projection.effects_holding import Holding
from eventkit.projection.effects_places import begin_effects
from eventkit.projection.failures import Attempts, failure_of
from eventkit.projection.partition import Partition
from eventkit.projection.patience import Patience
from eventkit.projection.projection import Projection, effects_filter_of, effects_on
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Source

_LOG = logging.getLogger(__name__)

_PAGE = 100
_LONGEST = 0.25
"""Seconds until the read model gets its turn; one effect may take longer."""


class Calls:
    """Calls the effects of a projection.

    Parameters:
        projection: whose.
    """

    def __init__(self, projection: Projection) -> None:
        self._effects: list[tuple[str, tuple[type[Event], ...], Callable[[RecordedEvent], object]]]
        self._effects = [
            (name, classes, getattr(projection, name))
            for name, classes in effects_on(projection).items()
        ]

    def run(
        self, recorded: RecordedEvent, begin_with: str | None, attempts: int
    ) -> tuple[BaseException, Failure] | None:
        """Run the effects of an event in order; returns what was raised, if anything was.

        Of an event that cannot be read, that is why.

        Parameters:
            recorded: the event.
            begin_with: the effect at which an earlier attempt failed: those before it are done.
            attempts: how many there were, with this one.
        """
        if isinstance(recorded, UnreadableEvent):
            return recorded.error, failure_of(recorded.error, attempts, begin_with)
        wanted = [it for it in self._effects if isinstance(recorded.event, it[1])]
        names = [name for name, _, _ in wanted]
        first = names.index(begin_with) if begin_with in names else 0
        for name, _, call in wanted[first:]:
            try:
                call(recorded)
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything
                return error, failure_of(error, attempts, name)
        return None


class _Trial(NamedTuple):
    """An event whose effect failed and is to be tried again."""

    offset: int
    failure: Failure
    not_before: float


class Effects:
    """Runs the effects of a projection that are due.

    Attributes:
        done: how many events have had their effects here, by partition.

    Parameters:
        projection: whose.
        source: the log.
        models: the database that keeps how far they are.
        patience: with the database.
        checkpoints: of the handlers.
    """

    def __init__(
        self,
        projection: Projection,
        source: Source,
        models: ReadModels,
        patience: Patience,
        checkpoints: Checkpoints,
    ) -> None:
        self._name = projection.name
        self._source = source
        self._models = models
        self._patience = patience
        self._calls = Calls(projection)
        self._wanted = effects_filter_of(projection, source.types)
        self._checkpoints = effect_checkpoints(projection.name)
        self._letters = Letters(projection.name, ALL_VERSIONS, "effect")
        self._holding = Holding(projection, models, checkpoints)
        self._attempts = Attempts()
        self._offsets = patience(self._begun)
        self._trials: dict[Partition, _Trial] = {}
        self._clear: dict[Partition, int] = {}  # where no event is parked; see `Batches`
        self.done: Counter[Partition] = Counter()

    def _begun(self) -> dict[Partition, int]:
        with self._models.building() as connection:
            return begin_effects(connection, self._name, self._source)

    def pending(self, partition: Partition, up_to: int) -> bool:
        """Whether there may be any that are due."""
        return self._offsets[partition] < up_to

    def run(self, partition: Partition, up_to: int) -> bool:
        """Run those that are due, for a while; returns whether there were any.

        Parameters:
            partition: of the log.
            up_to: the offset up to which the read model holds the events for good.

        Raises:
            ReadModelError: the database cannot be written.
        """
        after, began = self._offsets[partition], time.monotonic()
        trial = self._trials.get(partition)
        if after >= up_to or (trial is not None and trial.not_before > began):
            return False
        page = self._source.page(partition, self._wanted, after, _PAGE)
        if page.events:
            self._patience(lambda: self._holding.look(partition, up_to))
        try:
            for recorded in page.events:
                if recorded.position.offset > up_to:
                    break
                if not self._act(partition, recorded):
                    return False
                if time.monotonic() - began > _LONGEST:
                    return True
            if self._offsets[partition] < min(page.read_to, up_to):
                self._pass(partition, min(page.read_to, up_to), None)
        except CheckpointMoved as moved:
            _LOG.info("effects of %s: %s They go on from there.", self._name, moved)
            self._offsets = self._patience(self._begun)
            self._trials.pop(partition, None)
        return True

    def _act(self, partition: Partition, recorded: RecordedEvent) -> bool:
        """The effects of one event; returns False where they failed and are to be tried again."""
        offset = recorded.position.offset
        if self._is_held(partition, recorded):
            _LOG.warning("effects of %s: %s waits", self._name, recorded.aggregate_id)
            return True
        if self._holding.leaves_out(recorded):
            self._pass(partition, offset, None)
            return True
        trial = self._trials.pop(partition, None)
        before = trial.failure if trial is not None and trial.offset == offset else None
        attempts = 1 + (before.attempts if before else 0)
        raised = self._calls.run(recorded, before and before.failed_in, attempts)
        if raised is None:
            self._attempts.succeeded()
            self._pass(partition, offset, None, events=1)
            self.done[partition] += 1
            return True
        error, failure = raised
        unreadable = isinstance(recorded, UnreadableEvent)
        if not unreadable and self._attempts.may_try_again(attempts):
            pause = self._attempts.pause_after(attempts)
            self._trials[partition] = _Trial(offset, failure, time.monotonic() + pause)
            return False
        self._pass(partition, offset, Parked(recorded, failure))
        if not unreadable:
            self._attempts.parked()
        _LOG.error(
            "%s of projection %s failed at %s, %s version %d, and was parked after %d "
            "attempt(s): %s. Later effects of %s wait behind it; mend it, then run: eventkit "
            "dead-letters retry",
            f"effect {failure.failed_in}" if failure.failed_in else "effects",
            self._name,
            recorded.type,
            recorded.aggregate_id,
            recorded.version,
            attempts,
            failure.error,
            recorded.aggregate_id,
            exc_info=error,
        )
        return True

    def _is_held(self, partition: Partition, recorded: RecordedEvent) -> bool:
        """Whether an earlier event of the aggregate is parked; then this one is parked behind it.

        The locks on the checkpoints are what retries take before they remove letters: they see what
        is parked here, or this sees that nothing is left to wait for.
        """
        expected, offset = self._offsets[partition], recorded.position.offset
        if self._clear.get(partition) == expected and self._holding.holds_all(partition, offset):
            return False
        held = False

        def look(connection: Connection) -> int:
            nonlocal held
            self._holding.lock(connection, partition)
            self._checkpoints.advance(connection, partition, expected, expected, 0)
            if not self._letters.any_open(connection, partition):
                self._clear[partition] = expected
            held = self._waits(connection, recorded)
            if not held:
                return expected
            self._letters.park(connection, [Parked(recorded, None)])
            self._checkpoints.advance(connection, partition, expected, offset, 0)
            return offset

        self._once(partition, look)
        return held

    def _waits(self, connection: Connection, recorded: RecordedEvent) -> bool:
        if self._holding.leaves_out(recorded):
            return False
        if self._letters.held(connection, [recorded.aggregate_id]):
            return True
        return self._holding.lacks(connection, recorded.aggregate_id, recorded.version)

    def _pass(
        self, partition: Partition, to: int, parked: Parked | None, *, events: int = 0
    ) -> None:
        """Move the checkpoint, past an event to park or so many that had their effects."""
        expected = self._offsets[partition]
        clear = parked is None and self._clear.get(partition) == expected

        def move(connection: Connection) -> int:
            self._checkpoints.advance(connection, partition, expected, to, events)
            self._letters.park(connection, [] if parked is None else [parked])
            return to

        self._once(partition, move)
        if clear:
            self._clear[partition] = to

    def _once(self, partition: Partition, write: Callable[[Connection], int]) -> None:
        """Commit what `write` does; see `Batches` for a commit whose answer was lost."""
        tried: int | None = None

        def attempt() -> None:
            nonlocal tried
            try:
                with self._models.writing() as connection:
                    tried = write(connection)
            except CheckpointMoved as moved:
                if tried is None or moved.actual != tried:
                    raise

        self._patience(attempt)
        if tried is not None:
            self._offsets[partition] = tried
