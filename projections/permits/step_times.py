"""Handling time per step: how long permits waited for it since whatever happened to them before."""

from datetime import timedelta

from sqlalchemy import BigInteger, Column, Computed, Float, Integer, MetaData, String, Table

from eventkit import RecordedEvent
from eventkit.projection import Projection, Transaction, on
from projections.permits.columns import Moment
from projections.permits.events import PermitClosed, PermitReceived, StepCompleted

_MICROSECOND = timedelta(microseconds=1)


class StepTimes(Projection):
    """Count, mean and longest time for each step.

    The time of a step runs from the previous event of the same permit, so `last_events` remembers
    when that was: in the database and not in this object, because the next batch may be handled by
    another process, or again after an error. Times are added up as whole microseconds: sums of
    floats would depend on the order in which permits take turns.
    """

    name = "step_times"
    version = 1
    categories = ("permit",)

    times = Table(
        "step_times",
        MetaData(),
        Column("step", String, primary_key=True),
        Column("count", Integer, nullable=False),
        Column("mean_hours", Float, Computed("total_microseconds / 3.6e9 / count", persisted=True)),
        Column("max_hours", Float, Computed("max_microseconds / 3.6e9", persisted=True)),
        Column("total_microseconds", BigInteger, nullable=False),
        Column("max_microseconds", BigInteger, nullable=False),
    )
    last_events = Table(
        "step_times_last_events",
        MetaData(),
        Column("permit_id", String, primary_key=True),
        Column("happened_at", Moment, nullable=False),
    )

    @on(StepCompleted)
    def step_completed(self, recorded: RecordedEvent[StepCompleted], tx: Transaction) -> None:
        """Add the time that this step took."""
        last = tx.get(self.last_events, {"permit_id": recorded.aggregate_id})
        if last is None:  # a log that does not begin with the receipt of the permit
            return
        took = (recorded.timestamp - last.happened_at) // _MICROSECOND
        step = recorded.event.step
        known = tx.get(self.times, {"step": step})
        longest = took if known is None else max(took, known.max_microseconds)
        tx.upsert(
            self.times,
            {"step": step, "max_microseconds": longest},
            add={"count": 1, "total_microseconds": took},
        )

    # Written below the handler that reads it, and so run after it.
    @on(PermitReceived, StepCompleted, PermitClosed)
    def happened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        """Remember when the permit was last touched."""
        tx.upsert(
            self.last_events,
            {"permit_id": recorded.aggregate_id, "happened_at": recorded.timestamp},
        )
