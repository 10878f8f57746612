"""Appends on their way into the file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from eventkit.codec import AvroSchema
from eventkit.errors import EventkitError
from eventkit.sqlite.rows import NewRow
from eventkit.store import Appended


class Write:
    """One append on its way: its rows, and after the commit what came of it."""

    __slots__ = (
        "aggregate_id",
        "event_ids",
        "expected",
        "may_be_retry",
        "outcome",
        "rows",
        "schemas",
    )

    def __init__(
        self,
        aggregate_id: str,
        expected: int | None,
        event_ids: tuple[UUID, ...],
        rows: list[NewRow],
        schemas: Collection[AvroSchema],
        *,
        may_be_retry: bool,
    ) -> None:
        self.aggregate_id = aggregate_id
        self.expected = expected
        self.event_ids = event_ids
        self.rows = rows
        self.schemas = schemas
        self.may_be_retry = may_be_retry
        self.outcome: Appended | EventkitError | None = None


class Batch:
    """The writes of one caller; `settled` says that their outcomes hold."""

    __slots__ = ("settled", "weight", "writes")

    def __init__(self, writes: Sequence[Write]) -> None:
        self.writes = writes
        self.weight = sum([len(write.rows) for write in writes])
        self.settled = False
