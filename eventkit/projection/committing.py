"""What a database refuses only at the commit: constraints that it checks last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from eventkit.projection.read_models import ReadModels


class CommitRefused(Exception):
    """The database answered a commit with an error of the rows, and undid the transaction.

    Parameters:
        reason: what it raised.
    """

    def __init__(self, reason: DBAPIError) -> None:
        self.reason = reason
        super().__init__(str(reason))


@contextmanager
def committed(models: ReadModels) -> Iterator[Connection]:
    """As `ReadModels.writing`, which tells a refused commit from a statement that failed.

    Raises:
        CommitRefused: by a deferred foreign key, say, or a constraint trigger.
        ReadModelError: the database is the cause; a commit without an answer is one of these.
    """
    ended = False
    try:
        with models.writing() as connection:
            yield connection
            ended = True
    except DBAPIError as error:
        if not ended:
            raise
        raise CommitRefused(error) from error
