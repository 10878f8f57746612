"""One batch: its events through the handlers, rows and checkpoint in one transaction."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from eventkit.errors import CheckpointMoved, HandlerFailed
from eventkit.events import RecordedEvent
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.patience import Patience
from eventkit.projection.projection import Dispatch, Projection, tables_of
from eventkit.projection.read_models import ReadModels
from eventkit.projection.source import Partition
from eventkit.projection.transaction import Statements, Transaction
from eventkit.store import Page


class _BatchFailed(Exception):
    """A handler, or a write that one asked for earlier, raised."""


class Batches:
    """Applies pages of the log to one build of a projection's read model."""

    def __init__(
        self,
        projection: Projection,
        models: ReadModels,
        checkpoints: Checkpoints,
        patience: Patience,
    ) -> None:
        self._name = projection.name
        self._models = models
        self._checkpoints = checkpoints
        self._patience = patience
        self._dispatch = Dispatch(projection)
        self._statements = Statements(list(tables_of(projection).values()), models.dialect)

    def apply(self, partition: Partition, expected: int, page: Page) -> None:
        """Let each event of the page count once, and move the checkpoint from `expected`.

        When a handler fails, the transaction is undone and the batch runs again one by one, to
        find the event: writes are gathered, so the error may be of an earlier event than the one
        that met it. The events before it are kept.

        Raises:
            HandlerFailed: names the event; the checkpoint stands before it.
            CheckpointMoved: another worker was faster; nothing was written.
            ReadModelError: the database cannot be written; nothing was.
        """

        def whole(connection: Connection) -> int:
            # First, so that the row is locked: of two workers here, the later one waits for the
            # commit of the other before it writes anything, and then finds the checkpoint moved.
            self._checkpoints.advance(
                connection, partition, expected, page.read_to, len(page.events)
            )
            self._handle(connection, page.events)
            return page.read_to

        try:
            self._once(whole)
        except _BatchFailed:
            self._apply_one_by_one(partition, expected, page)

    def _once(self, write: Callable[[Connection], int]) -> None:
        """Commit what `write` does, once, also where the database goes away meanwhile.

        Parameters:
            write: moves the checkpoint; returns where to.

        A commit whose answer was lost may have happened, or may be about to: then the checkpoint
        is found, after its row was waited for, where this very batch put it.
        """
        tried: set[int] = set()

        def attempt() -> None:
            try:
                with self._models.writing() as connection:
                    to = write(connection)
                    tried.add(to)
            except CheckpointMoved as moved:
                if moved.actual not in tried:
                    raise

        self._patience(attempt)

    def _apply_one_by_one(self, partition: Partition, expected: int, page: Page) -> None:
        failure: HandlerFailed | None = None

        def until_it_fails(connection: Connection) -> int:
            nonlocal failure
            self._checkpoints.advance(connection, partition, expected, expected, 0)  # locks it
            failure, good, to = None, 0, page.read_to
            for recorded in page.events:
                failure = self._try(connection, recorded)
                if failure is not None:
                    to = recorded.position.offset - 1
                    break
                good += 1
            self._checkpoints.advance(connection, partition, expected, to, good)
            return to

        self._once(until_it_fails)
        if failure is not None:
            raise failure from failure.__cause__

    def _try(self, connection: Connection, recorded: RecordedEvent) -> HandlerFailed | None:
        try:
            with connection.begin_nested():
                self._handle(connection, [recorded])
        except _BatchFailed as error:
            cause = error.__cause__ or error
            failure = HandlerFailed(
                self._name,
                recorded.type,
                recorded.aggregate_id,
                recorded.version,
                str(recorded.position),
                cause,
            )
            failure.__cause__ = cause
            return failure
        return None

    def _handle(self, connection: Connection, events: list[RecordedEvent]) -> None:
        transaction = Transaction(connection, self._statements)
        dispatch = self._dispatch
        try:
            for recorded in events:
                for handler in dispatch(type(recorded.event)):
                    handler(recorded, transaction)
            transaction.flush()
        except Exception as error:
            failure = self._models.translate(error)
            if failure is not None:
                raise failure from error
            raise _BatchFailed from error
