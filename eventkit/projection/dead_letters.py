"""Parked events: see them, try them again, give them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

from eventkit.errors import DeadLetterNotFound, InvalidInput, ProjectionError
from eventkit.projection.checkpoints import ALL_VERSIONS
from eventkit.projection.dead_letters_retry import HandlerRetry, NotInLog
from eventkit.projection.dead_letters_table import (
    DeadLetter,
    Kind,
    Letters,
    count_parked,
    find_letter,
    find_letters,
)
from eventkit.projection.effects_retry import EffectRetry
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import source_of
from eventkit.store import EventStore

_TOLD = 5
"""Aggregates whose events are missing that a message names; in the wrong store all are."""


class Retried(NamedTuple):
    """What came of a retry.

    How many events are done now, the letters that failed again, and how many events are parked
    still.
    """

    applied: int
    failed: tuple[DeadLetter, ...]
    parked: int


class EventsMissing(ProjectionError):
    """Some aggregates were not retried, or not to their end: an event is not in the log.

    Parameters:
        missing: of each, why.
        retried: what came of the others.
    """

    def __init__(self, missing: Sequence[NotInLog], retried: Retried) -> None:
        self.missing = tuple(it.letter for it in missing)
        self.retried = retried
        told = [str(it) for it in missing[:_TOLD]]
        if len(missing) > _TOLD:
            told.append(f"and the events of {len(missing) - _TOLD:,} aggregates more")
        super().__init__("\n".join(told))


class DeadLetters:
    """The parked events of one projection.

    Parameters:
        projection: an instance, with today's handlers.
        store: where its events are.
        models: where its tables are.
    """

    def __init__(self, projection: Projection, store: EventStore, models: ReadModels) -> None:
        self._projection = projection
        self._source = source_of(store)
        self._models = models

    def all(self) -> list[DeadLetter]:
        """Those of all versions, also the discarded ones, in the order of the log."""
        return dead_letters(self._models, [self._projection.name])

    def retry(self, aggregates: Iterable[str] | None = None) -> Retried:
        """Read parked events again and apply them with today's code, each aggregate's in order.

        An event that fails again stays, with those behind it; the other aggregates go on, also
        where one is not in the log. Workers may run meanwhile.

        Parameters:
            aggregates: ids; all that have parked events unless given.

        Raises:
            RebuildNeeded: the tables are not those of today's code.
            EventsMissing: events are not in this store; what could be retried was.
            ReadModelError: the database cannot be used.
        """
        if not self._parked():
            return Retried(0, (), 0)
        applied = 0
        failed: list[DeadLetter] = []
        missing: list[NotInLog] = []
        wanted = None if aggregates is None else list(aggregates)
        for kind in get_args(Kind):
            parked = self._open(kind)
            if not parked:
                continue
            retry = self._retry_of(kind)
            for aggregate_id in parked if wanted is None else wanted:
                try:
                    some, letter = retry.retry(aggregate_id)
                except NotInLog as error:
                    applied += error.applied
                    missing.append(error)
                    continue
                applied += some
                failed += [letter] if letter is not None else []
        done = Retried(applied, tuple(failed), self._parked())
        if missing:
            raise EventsMissing(missing, done)
        return done

    def discard(self, number: int, reason: str) -> Retried:
        """Give an event up; later events of its aggregate, if they waited for it, are applied.

        The record of it stays, and a rebuild leaves the event out as well.

        Parameters:
            number: of the letter.
            reason: why, for those who read the record.

        Returns what came of the later events.

        Raises:
            DeadLetterNotFound: there is none, or it was dealt with.
            InvalidInput: no reason is given.
        """
        if not reason.strip():
            raise InvalidInput("give a reason: who looks for this event later will read it")
        letter = self.find(number)
        retry = self._retry_of(letter.kind)
        with self._models.writing() as connection:
            waiting = retry.locked(connection, letter.aggregate_id)
            now = find_letter(connection, number)
            if now is None or now.state == "discarded":
                raise DeadLetterNotFound(number, "it is not parked any more")
            retry.letters.discard(connection, number, reason)
        if waiting[0].number != number:
            return Retried(0, (), self._parked())
        return self.retry([letter.aggregate_id])

    def find(self, number: int) -> DeadLetter:
        """A parked event that this code can deal with.

        Raises:
            DeadLetterNotFound: there is none, or it was dealt with.
            ProjectionError: it belongs to another projection, or another version of this one.
        """
        letter = find_dead_letter(self._models, number)
        name, version = self._projection.name, self._projection.version
        if letter.state == "discarded":
            raise DeadLetterNotFound(number, f"it was discarded already: {letter.reason}")
        if letter.projection != name or letter.version not in {version, 0}:
            raise ProjectionError(
                f"dead letter {number} is of {letter.projection} version {letter.version}, this "
                f"code is {name} version {version}; nothing was changed"
            )
        return letter

    def _retry_of(self, kind: Kind) -> HandlerRetry | EffectRetry:
        retry = HandlerRetry if kind == "handler" else EffectRetry
        return retry(self._projection, self._source, self._models)

    def _open(self, kind: Kind) -> list[str]:
        """The aggregates with parked events that this code can deal with."""
        version = ALL_VERSIONS if kind == "effect" else self._projection.version
        with self._models.connect() as connection:
            return Letters(self._projection.name, version, kind).open_aggregates(connection)

    def _parked(self) -> int:
        if not self._models.exists():
            return 0
        with self._models.connect() as connection:
            name, version = self._projection.name, self._projection.version
            return sum(count_parked(connection, name, version).values())


def dead_letters(models: ReadModels, projections: list[str] | None = None) -> list[DeadLetter]:
    """All that are noted in a database, or those of some projections, in the order of the log.

    Raises:
        ReadModelUnavailable: no projection has run yet, or the database cannot be read.
    """
    with models.connect() as connection:
        return list(find_letters(connection, projections))


def find_dead_letter(models: ReadModels, number: int) -> DeadLetter:
    """One of them.

    Raises:
        DeadLetterNotFound: there is none of this number.
        ReadModelUnavailable: no projection has run yet, or the database cannot be read.
    """
    with models.connect() as connection:
        letter = find_letter(connection, number)
    if letter is None:
        raise DeadLetterNotFound(number, "there is none")
    return letter
