"""The audit trail: who did what when, one row for each event."""

from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import Event, RecordedEvent
from eventkit.projection import Projection, Transaction, on
from projections.permits.columns import Moment
from projections.permits.events import StepCompleted


class AuditTrail(Projection):
    """Everything that was done to any permit, in the order of its events."""

    name = "audit_trail"
    version = 1
    categories = ("permit",)

    trail = Table(
        "audit_trail",
        MetaData(),
        Column("permit_id", String, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("happened_at", Moment, nullable=False, index=True),
        Column("who", String, index=True),
        Column("what", String, nullable=False),
        Column("step", String),
        Column("workspace", String),
        Column("event_id", String, nullable=False, unique=True),
    )

    @on(Event)
    def happened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        """Note the event, of whatever class it is."""
        event, metadata = recorded.event, recorded.metadata
        tx.insert(
            self.trail,
            {
                "permit_id": recorded.aggregate_id,
                "version": recorded.version,
                "happened_at": recorded.timestamp,
                "who": metadata.caused_by_user,
                "what": recorded.type,
                "step": event.step if isinstance(event, StepCompleted) else None,
                "workspace": metadata.workspace_id,
                "event_id": str(recorded.event_id),
            },
        )
