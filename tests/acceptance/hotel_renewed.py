"""The hotel with a new version of `occupancy` that counts nights otherwise."""

from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import RecordedEvent
from eventkit.projection import Transaction
from tests.acceptance import hotel
from tests.acceptance.hotel import Guest, GuestArrived, GuestLeft

__all__ = ["Guest", "GuestArrived", "GuestLeft", "Occupancy"]


class Occupancy(hotel.Occupancy):
    version = 2
    rooms = Table(
        "rooms",
        MetaData(),
        Column("guest", String, primary_key=True),
        Column("nights", Integer, nullable=False),
        Column("floor", Integer),
    )

    def arrived(self, recorded: RecordedEvent, tx: Transaction) -> None:
        event = recorded.event
        assert isinstance(event, GuestArrived)
        tx.insert(self.rooms, {"guest": recorded.aggregate_id, "nights": event.nights + 1})
