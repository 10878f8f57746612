"""Events on their way through the handlers of one build."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from eventkit.events import RecordedEvent
from eventkit.projection.projection import Dispatch, Projection, tables_of
from eventkit.projection.read_models import ReadModels
from eventkit.projection.transaction import Statements, Transaction


class HandlersFailed(Exception):
    """A handler, or a write that one asked for earlier, raised; the cause is what."""


class Handling:
    """Calls the handlers of a projection.

    Parameters:
        projection: whose.
        models: the database of its tables.
    """

    def __init__(self, projection: Projection, models: ReadModels) -> None:
        self._models = models
        self._dispatch = Dispatch(projection)
        self._statements = Statements(list(tables_of(projection).values()), models.dialect)

    def all(self, connection: Connection, events: Sequence[RecordedEvent]) -> None:
        """Let events through, in order.

        Raises:
            HandlersFailed: of which event, cannot be told: writes are gathered.
            ReadModelError: the database cannot be written.
        """
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
            raise HandlersFailed from error

    def one(self, connection: Connection, recorded: RecordedEvent) -> BaseException | None:
        """Let an event through, whole or not at all; returns what its handler raised.

        Raises:
            ReadModelError: the database cannot be written; that says nothing about the event.
        """
        try:
            with connection.begin_nested():
                self.all(connection, [recorded])
        except HandlersFailed as error:
            return error.__cause__ or error
        return None
