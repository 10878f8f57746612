"""Parked effects of one aggregate, in order.

A retry runs an effect without a lock, for it may take long, and removes its letter with the
checkpoint of the effects locked. A worker that has the next event of the aggregate meanwhile finds
the letter, or not, under the same lock: either it parks the event, and the retry, which looks for
more after each letter, finds it; or the letter is gone, and the effect before was run.
"""

from __future__ import annotations

from sqlalchemy import Connection

from eventkit.projection.builds import builds_of, live_build
from eventkit.projection.checkpoints import ALL_VERSIONS, effect_checkpoints
from eventkit.projection.dead_letters_retry import NotInLog, Outcome, PointedAt, partition_of
from eventkit.projection.dead_letters_table import DeadLetter, Failure, Letters, find_letter
from eventkit.projection.effects import Calls
from eventkit.projection.patience import Patience
from eventkit.projection.projection import Projection, effects_filter_of
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Source

_REASON = "the event was left out of the read model"


class EffectRetry:
    """Runs parked effects of events that the read model holds; see `HandlerRetry`."""

    def __init__(self, projection: Projection, source: Source, models: ReadModels) -> None:
        self._name = projection.name
        self._models = models
        self._patience = Patience(models.patience)
        self._calls = Calls(projection)
        self._events = PointedAt(source, effects_filter_of(projection, source.types))
        self._checkpoints = effect_checkpoints(projection.name)
        self._handled = Letters(projection.name, projection.version)
        self.letters = Letters(projection.name, ALL_VERSIONS, "effect")

    def retry(self, aggregate_id: str) -> Outcome:
        """Run the parked effects of an aggregate in order, up to one that fails again.

        Raises: as `HandlerRetry.retry`.
        """
        done = 0
        while True:
            with self._models.connect() as connection:
                first = self.letters.next_of(connection, aggregate_id, 1)
            if not first:
                return Outcome(done, None)
            (letter,) = first
            if self._waits(letter):
                return Outcome(done, None)
            if self._is_given_up(letter):
                self._patience(lambda: self._give_up(letter))  # noqa: B023 - called at once
                continue
            try:
                failure = self._run(letter)
            except NotInLog:
                raise NotInLog(letter, done) from None
            if failure is not None:
                return Outcome(done, self._patience(lambda: self._note(letter, failure)))  # noqa: B023
            self._patience(lambda: self._remove(letter))  # noqa: B023 - called at once
            done += 1

    def locked(self, connection: Connection, aggregate_id: str) -> list[DeadLetter]:
        """The first letter of an aggregate, with the checkpoint of its partition locked."""
        first = self.letters.next_of(connection, aggregate_id, 1)
        if not first:
            return []
        self._checkpoints.hold(connection, partition_of(first[0]))
        return self.letters.next_of(connection, aggregate_id, 1)

    def _waits(self, letter: DeadLetter) -> bool:
        """Whether the read model does not hold the event yet."""
        with self._models.connect() as connection:
            live = live_build(builds_of(connection, self._name))
            if live is not None and live.state != "ready":
                return True
            at = letter.aggregate_version
            return self._handled.is_parked_before(connection, letter.aggregate_id, at)

    def _is_given_up(self, letter: DeadLetter) -> bool:
        """Whether the read model will never hold the event."""
        with self._models.connect() as connection:
            return self._handled.discarded(connection).has(
                letter.event_id, letter.aggregate_id, letter.aggregate_version
            )

    def _give_up(self, letter: DeadLetter) -> None:
        with self._models.writing() as connection:
            self._checkpoints.hold(connection, partition_of(letter))
            self.letters.discard(connection, letter.number, _REASON)

    def _run(self, letter: DeadLetter) -> Failure | None:
        recorded = self._events.read(letter)
        raised = recorded and self._calls.run(recorded, letter.failed_in, 1)
        return raised[1] if raised else None

    def _note(self, letter: DeadLetter, failure: Failure) -> DeadLetter | None:
        with self._models.writing() as connection:
            self.letters.failed_again(connection, letter.number, failure)
            return find_letter(connection, letter.number)

    def _remove(self, letter: DeadLetter) -> None:
        with self._models.writing() as connection:
            self._checkpoints.hold(connection, partition_of(letter), 1)
            self.letters.remove(connection, [letter.number])
