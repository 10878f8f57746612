"""Appends on their way into the file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from eventkit.codec import AvroSchema
from eventkit.errors import DuplicateEventId, EventkitError, OutcomeUnknown
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
    """The writes of one caller; `settled` says that their outcomes hold.

    Parameters:
        writes: in their order.
        together: whether they are written all or none.
    """

    __slots__ = ("refused", "settled", "together", "weight", "writes")

    def __init__(self, writes: Sequence[Write], *, together: bool = False) -> None:
        self.writes = writes
        self.together = together
        self.weight = sum([len(write.rows) for write in writes])
        self.settled = False
        self.refused: EventkitError | None = None

    def obstacle(self) -> EventkitError | None:
        """Why these writes cannot be made together, if they are to be; as their outcomes tell."""
        if not self.together:
            return None
        for write in self.writes:
            if isinstance(write.outcome, EventkitError):
                return write.outcome
        done = [write.outcome for write in self.writes if isinstance(write.outcome, Appended)]
        return half_recorded([it for it in done if it.already_recorded], len(self.writes))


def half_recorded(recorded: Sequence[Appended], count: int) -> DuplicateEventId | None:
    """The error of appends that were asked for together, where only some are in the log already."""
    if len(recorded) in (0, count):
        return None
    last = recorded[0]
    return DuplicateEventId(
        last.event_ids[-1], last.aggregate_id, last.version,
        "other appends of the same append_all are not recorded",
    )  # fmt: skip


def in_order(writes: Sequence[Write]) -> list[Appended]:
    """The results of writes that were made together.

    Raises:
        EventkitError: what came of the first that was not made.
        OutcomeUnknown: what came of one is not known; it names the event ids of all.
    """
    done: list[Appended] = []
    for write in writes:
        if isinstance(write.outcome, OutcomeUnknown):
            ids = [it for each in writes for it in each.event_ids]
            raise OutcomeUnknown(ids, write.outcome.reason) from write.outcome.__cause__
        if isinstance(write.outcome, EventkitError):
            raise write.outcome
        assert write.outcome is not None  # noqa: S101 - every committed write has an outcome
        done.append(write.outcome)
    return done
