"""One batch: its events through the handlers, rows and checkpoint in one transaction.

An event that cannot be read, or at which a handler fails again and again, is parked: noted as a
dead letter, in the transaction that moves the checkpoint past it. Later events of its aggregate
park behind it, so that a retry can apply them all in order; those of other aggregates flow.

A commit that the database refuses says nothing of which event is at fault. The batch is halved
until one event is alone in its transaction: then a refused commit is the failure of that one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from eventkit.errors import CheckpointMoved, HandlerFailed, ProjectionError, StoreCorrupted
from eventkit.events import RecordedEvent, UnreadableEvent
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.committing import CommitRefused, committed
from eventkit.projection.dead_letters_identity import Discarded
from eventkit.projection.dead_letters_table import Letters, Parked
from eventkit.projection.failures import Attempts, failure_of
from eventkit.projection.handling import HandlersFailed, Handling
from eventkit.projection.patience import Patience
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Partition
from eventkit.store import Page

_LOG = logging.getLogger(__name__)


class _Stopped(NamedTuple):
    """The event at which a pass ended, what was raised, and how often that was by now."""

    recorded: RecordedEvent
    error: BaseException
    attempts: int


class _Pass(NamedTuple):
    """What became of the events of a page, one by one: how many were handled, which parked."""

    good: int
    parked: list[Parked]
    stopped: _Stopped | None


class Applied(NamedTuple):
    """Where the checkpoint is after a batch, and how many of its events were handled."""

    offset: int
    handled: int


class Batches:
    """Applies pages of the log to one build of a projection's read model.

    Parameters:
        projection: with the tables of this build.
        models: where they are.
        checkpoints: of this build.
        patience: with a database that is away.
        quiet: nobody can retry what it parks, so nothing is logged of it.
    """

    def __init__(
        self,
        projection: Projection,
        models: ReadModels,
        checkpoints: Checkpoints,
        patience: Patience,
        *,
        quiet: bool = False,
    ) -> None:
        self._name = projection.name
        self._stops = projection.on_failure == "stop"
        self._models = models
        self._checkpoints = checkpoints
        self._patience = patience
        self._handling = Handling(projection, models)
        self._letters = Letters(projection.name, projection.version)
        self._attempts = Attempts()
        self._quiet = quiet
        self._discarded: Discarded | None = None
        # Where no event of a partition is parked. Events are parked by moving the checkpoint, so
        # this stays true for as long as the checkpoint is there; then no batch has to look.
        self._clear: dict[Partition, int] = {}

    def apply(self, partition: Partition, expected: int, page: Page) -> Applied:
        """Let each event of the page count once, and move the checkpoint from `expected`.

        When a handler fails, the transaction is undone and the batch runs again one by one, to
        find the event: writes are gathered, so the error may be of an earlier event than the one
        that met it.

        Returns where the checkpoint is: at the end of the page, or before an event that failed
        when the worker was stopped while it waited to try again.

        Raises:
            HandlerFailed: names the event; the checkpoint stands before it.
            ProjectionError: the next event cannot be read, and the projection does not park.
            CheckpointMoved: another worker was faster; nothing was written.
            ReadModelError: the database cannot be written; nothing was.
        """
        if self._stops:
            page = self._readable(partition, expected, page)
        unreadable = any(isinstance(it, UnreadableEvent) for it in page.events)
        clear, handled = False, 0
        parked: list[Parked] = []

        def whole(connection: Connection) -> int:
            nonlocal clear, parked, handled
            # First, so that the row is locked: of two workers here, the later one waits for the
            # commit of the other before it writes anything, and then finds the checkpoint moved.
            self._checkpoints.advance(
                connection, partition, expected, page.read_to, len(page.events)
            )
            clear = self._is_clear(connection, partition, expected)
            events = page.events
            if unreadable or not clear or self._discarded:
                events, parked = self._without_parked(connection, events)
                fewer = len(events) - len(page.events)
                self._checkpoints.advance(connection, partition, page.read_to, page.read_to, fewer)
            self._handling.all(connection, events)
            handled = len(events)
            return page.read_to

        try:
            self._once(whole)
        except (HandlersFailed, CommitRefused):
            pass  # not handled in here, or it would be in every later traceback
        else:
            if clear and not parked:
                self._clear[partition] = page.read_to
            if handled:
                self._attempts.succeeded()
            self._tell(parked)
            return Applied(page.read_to, handled)
        return self._apply_one_by_one(partition, expected, page)

    def _once(self, write: Callable[[Connection], int]) -> None:
        """Commit what `write` does, once, also where the database goes away meanwhile.

        Parameters:
            write: moves the checkpoint; returns where to.

        A commit whose answer was lost may have happened, or may be about to: then the checkpoint
        is found, after its row was waited for, where this very batch put it.

        Raises:
            CommitRefused: nothing was written, and will not be by trying again.
        """
        tried: set[int] = set()

        def attempt() -> None:
            try:
                with committed(self._models) as connection:
                    to = write(connection)
                    tried.add(to)
            except CheckpointMoved as moved:
                if moved.actual not in tried:
                    raise

        self._patience(attempt)

    def _is_clear(self, connection: Connection, partition: Partition, expected: int) -> bool:
        """Whether no event of a partition is parked; the checkpoint's row is locked."""
        if self._discarded is None:
            self._discarded = self._letters.discarded(connection)
        if self._clear.get(partition) == expected:
            return True
        return not self._letters.any_open(connection, partition)

    def _without_parked(
        self, connection: Connection, events: Sequence[RecordedEvent]
    ) -> tuple[list[RecordedEvent], list[Parked]]:
        """The events to handle, and those that were parked; discarded ones are left out."""
        held = self._letters.held(connection, {recorded.aggregate_id for recorded in events})
        good: list[RecordedEvent] = []
        parked: list[Parked] = []
        for it in events:
            if self._was_discarded(it):
                continue
            if it.aggregate_id in held:
                parked.append(Parked(it, None))
            elif isinstance(it, UnreadableEvent):
                held.add(it.aggregate_id)
                parked.append(Parked(it, failure_of(it.error, 1)))
            else:
                good.append(it)
        self._letters.park(connection, parked)
        return good, parked

    def _readable(self, partition: Partition, expected: int, page: Page) -> Page:
        """The page up to an event that cannot be read.

        Raises:
            ProjectionError: that is the next one.
        """
        for number, it in enumerate(page.events):
            if isinstance(it, UnreadableEvent) and not self._is_given_up(it):
                before = it.position.offset - 1
                if before > expected:
                    return Page(page.events[:number], before)
                raise ProjectionError(
                    f"projection {self._name} cannot read its next event after "
                    f"{partition}/{expected}: {it.error} The read model holds all events before it."
                ) from it.error
        return page

    def _is_given_up(self, recorded: RecordedEvent) -> bool:
        """As `_was_discarded`, outside of a transaction."""
        if self._discarded is None:
            with self._models.connect() as connection:
                self._discarded = self._letters.discarded(connection)
        return self._was_discarded(recorded)

    def _was_discarded(self, recorded: RecordedEvent) -> bool:
        return bool(self._discarded) and recorded in (self._discarded or ())

    def _apply_one_by_one(self, partition: Partition, expected: int, page: Page) -> Applied:
        """Pass over the page until all of it is handled or parked; see `apply`."""
        before = handled = 0
        while True:
            try:
                good, _, stopped = self._pass_over(partition, expected, page, before)
            except CommitRefused:
                break  # and out of here, as in `apply`
            handled += good
            if stopped is None:
                return Applied(page.read_to, handled)
            recorded, error, before = stopped
            if self._stops:
                raise self._failed(recorded, error) from error
            expected = recorded.position.offset - 1
            page = Page([it for it in page.events if it.position.offset > expected], page.read_to)
            if self._patience.pause(self._attempts.pause_after(before)):
                return Applied(expected, handled)
        done = self._apply_halves(partition, expected, page)
        return done._replace(handled=handled + done.handled)

    def _apply_halves(self, partition: Partition, expected: int, page: Page) -> Applied:
        """Apply a page of several events in two transactions or more; see `apply`."""
        middle = len(page.events) // 2
        end = page.events[middle].position.offset - 1
        first = self.apply(partition, expected, Page(page.events[:middle], end))
        if first.offset < end:
            return first
        rest = self.apply(partition, end, Page(page.events[middle:], page.read_to))
        return Applied(rest.offset, first.handled + rest.handled)

    def _pass_over(self, partition: Partition, expected: int, page: Page, before: int) -> _Pass:
        """Handle events one by one, up to one that fails and is not to be parked yet.

        Parameters:
            partition: of the log.
            expected: where the checkpoint is.
            page: what is left to handle.
            before: how often its first event has failed.

        Raises:
            CommitRefused: because of any of several events.
        """
        passed = _Pass(0, [], None)
        refusal: BaseException | None = None

        def until_it_fails(connection: Connection) -> int:
            nonlocal passed
            self._checkpoints.advance(connection, partition, expected, expected, 0)  # locks it
            self._is_clear(connection, partition, expected)  # learns what was discarded
            passed = self._one_by_one(connection, page, before, refusal)
            self._letters.park(connection, passed.parked)
            stopped = passed.stopped
            to = page.read_to if stopped is None else stopped.recorded.position.offset - 1
            self._checkpoints.advance(connection, partition, expected, to, passed.good)
            return to

        try:
            self._once(until_it_fails)
        except CommitRefused as refused:
            if len(page.events) > 1:
                raise
            if not passed.good:  # no handler wrote anything
                raise refused.reason from None
            refusal = refused.reason
        if refusal is not None:
            self._once(until_it_fails)
        failed = {it.recorded.position for it in passed.parked}
        failed |= {passed.stopped.recorded.position} if passed.stopped else set()
        if before and page.events[0].position not in failed:
            self._attempts.succeeded()
        self._tell(passed.parked)
        return passed

    def _one_by_one(
        self, connection: Connection, page: Page, before: int, refusal: BaseException | None
    ) -> _Pass:
        """See `_pass_over`; with a refusal, the only event has failed with that at the commit."""
        held = self._letters.held(connection, {it.aggregate_id for it in page.events})
        parked: list[Parked] = []
        good = 0
        for recorded in page.events:
            if self._was_discarded(recorded):
                continue
            if recorded.aggregate_id in held:
                parked.append(Parked(recorded, None))
                continue
            error = refusal or self._handling.one(connection, recorded)
            if error is None:
                good += 1
                continue
            attempts = 1 + (before if recorded is page.events[0] else 0)
            unreadable = isinstance(recorded, UnreadableEvent)
            if not unreadable and (self._stops or self._attempts.may_try_again(attempts)):
                return _Pass(good, parked, _Stopped(recorded, error, attempts))
            held.add(recorded.aggregate_id)
            parked.append(Parked(recorded, failure_of(error, attempts)))
        return _Pass(good, parked, None)

    def _tell(self, parked: Collection[Parked]) -> None:
        """Tell people, and the count of attempts, what was parked."""
        for recorded, failure in parked:
            if failure is not None and not isinstance(recorded, UnreadableEvent):
                self._attempts.parked()
        if self._quiet:
            return
        for recorded, failure in parked:
            if failure is not None:
                _LOG.error(
                    "projection %s parked %s, %s version %d at %s, after %d attempt(s): %s. Later "
                    "events of %s wait behind it; mend the %s, then run: eventkit "
                    "dead-letters retry",
                    self._name,
                    recorded.type,
                    recorded.aggregate_id,
                    recorded.version,
                    recorded.position,
                    failure.attempts,
                    failure.error.rstrip("."),
                    recorded.aggregate_id,
                    _mended(recorded),
                )
        self._tell_waiting(sum(failure is None for _, failure in parked))

    def _tell_waiting(self, events: int) -> None:
        if events:
            _LOG.warning("projection %s: %d event(s) wait behind parked ones", self._name, events)

    def _failed(self, recorded: RecordedEvent, error: BaseException) -> HandlerFailed:
        return HandlerFailed(
            self._name,
            recorded.type,
            recorded.aggregate_id,
            recorded.version,
            str(recorded.position),
            error,
        )


def _mended(recorded: RecordedEvent) -> str:
    """What is to be mended for a parked event."""
    if not isinstance(recorded, UnreadableEvent):
        return "handler"
    damaged = isinstance(recorded.error, StoreCorrupted)
    return "store's data" if damaged else "code that reads it"
