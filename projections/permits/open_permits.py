"""The board of open permits: one row for each permit that was received and is not closed."""

from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import RecordedEvent
from eventkit.projection import Projection, Transaction, on
from projections.permits.columns import Moment
from projections.permits.events import PermitClosed, PermitReceived, StepCompleted


class OpenPermits(Projection):
    """Which permits wait, for whom, and since when."""

    name = "open_permits"
    version = 1
    categories = ("permit",)

    board = Table(
        "open_permits",
        MetaData(),
        Column("permit_id", String, primary_key=True),
        Column("department", String, nullable=False),
        Column("responsible", String, nullable=False),
        Column("deadline", Moment, nullable=False, index=True),
        Column("steps_done", Integer, nullable=False),
        Column("last_step", String),
        Column("last_activity", Moment, nullable=False),
    )

    @on(PermitReceived)
    def received(self, recorded: RecordedEvent[PermitReceived], tx: Transaction) -> None:
        """A permit comes onto the board."""
        event = recorded.event
        tx.upsert(
            self.board,
            {
                "permit_id": recorded.aggregate_id,
                "department": event.department,
                "responsible": event.responsible,
                "deadline": event.deadline,
                "steps_done": 0,
                "last_activity": recorded.timestamp,
            },
        )

    @on(StepCompleted)
    def step_completed(self, recorded: RecordedEvent[StepCompleted], tx: Transaction) -> None:
        """It moves on; a step after the closing finds no row and brings none back."""
        tx.update(
            self.board,
            {
                "permit_id": recorded.aggregate_id,
                "last_step": recorded.event.step,
                "last_activity": recorded.timestamp,
            },
            add={"steps_done": 1},
        )

    @on(PermitClosed)
    def closed(self, recorded: RecordedEvent, tx: Transaction) -> None:
        """It leaves the board."""
        tx.delete(self.board, {"permit_id": recorded.aggregate_id})
