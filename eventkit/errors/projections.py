"""Projections that cannot go on, and the database of their read models."""

from __future__ import annotations

from eventkit.errors.root import EventkitError


class ProjectionError(EventkitError):
    """A projection is declared wrongly or cannot go on."""


class InvalidProjection(ProjectionError):
    """A projection class cannot be run the way it is written."""


class HandlerFailed(ProjectionError):
    """A projection's handler raised; the events before it are in the read model, it is not."""

    def __init__(
        self,
        projection: str,
        event_type: str,
        aggregate_id: str,
        version: int,
        position: str,
        cause: BaseException,
    ) -> None:
        first_line = str(cause).partition("\n")[0]  # SQLAlchemy adds the statement and a link
        super().__init__(
            f"projection {projection} failed on {event_type}, {aggregate_id} version {version} at "
            f"{position}: {type(cause).__name__}: {first_line}. The read model "
            "holds all events before it; mend the handler and run again."
        )
        self.projection = projection
        self.event_type = event_type
        self.aggregate_id = aggregate_id
        self.version = version
        self.position = position


class DeadLetterNotFound(ProjectionError, LookupError):
    """No event is parked under this number, or not any more."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"dead letter {number}: {reason}. See: eventkit dead-letters list")
        self.number, self.reason = number, reason


class CheckpointMoved(ProjectionError):
    """Somebody else moved this projection's checkpoint: two workers run the same projection."""

    retryable = True

    def __init__(self, projection: str, expected: int, actual: int | None) -> None:
        found = (
            "its tables were made anew"
            if actual is None
            else f"its checkpoint is at {actual}, not at {expected}"
        )
        super().__init__(
            f"projection {projection}: {found}; another worker runs or rebuilds it. This batch was "
            "given up; stop one of the two."
        )
        self.projection, self.expected, self.actual = projection, expected, actual


class RebuildNeeded(ProjectionError):
    """The tables in the database were made by another version or definition of the projection."""

    def __init__(self, projection: str, reason: str) -> None:
        super().__init__(
            f"projection {projection}: {reason}. Nothing was changed; rebuild it (Runner.rebuild, "
            f"or: eventkit projection rebuild {projection}), or build this version with --beside "
            "while readers go on."
        )
        self.projection, self.reason = projection, reason


class ProjectionBehind(ProjectionError):
    """A projection did not come to a position in time; it may a little later."""

    retryable = True

    def __init__(self, projection: str, position: str, timeout: float, offset: int | None) -> None:
        where = "it has read nothing there" if offset is None else f"it is at {offset} there"
        super().__init__(
            f"projection {projection} has not come to {position} within {timeout:g} s; {where}. "
            "See whether a worker runs: eventkit projection status"
        )
        self.projection, self.position, self.timeout = projection, position, timeout
        self.offset = offset


class ReadModelError(ProjectionError):
    """Something is wrong with the database of the read models."""


class TableTaken(ReadModelError):
    """A table of this name is there already, and belongs to something else."""

    def __init__(self, projection: str, table: str, owner: str) -> None:
        super().__init__(
            f"projection {projection}: the table {table!r} belongs to {owner}; nothing was "
            "changed. Give the projection's table another name, or use another database."
        )
        self.projection, self.table, self.owner = projection, table, owner


class ReadModelBusy(ReadModelError):
    """Others kept the database locked for longer than the time-out; nothing was written."""

    retryable = True


class ReadModelUnavailable(ReadModelError):
    """The database cannot be read or written now; the message says why and how to go on."""
