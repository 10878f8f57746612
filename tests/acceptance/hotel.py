"""A user's module for the tests of the command line: guests of a hotel."""

from datetime import timedelta
from decimal import Decimal

from pydantic import BaseModel
from sqlalchemy import Column, Integer, MetaData, String, Table

from eventkit import Aggregate, Event, RecordedEvent, apply
from eventkit.projection import Projection, Transaction, on


class GuestArrived(Event):
    name: str
    nights: int = 1


class Extra(BaseModel):
    what: str
    price: Decimal


class ExtraOrdered(Event):
    extras: list[Extra]
    photo: bytes = b""
    wait: timedelta | None = None


class GuestLeft(Event):
    pass


class Guest(Aggregate):
    name: str
    bill: Decimal = Decimal(0)
    present: bool = False

    @apply
    def _arrived(self, event: GuestArrived) -> None:
        self.name = event.name
        self.present = True

    @apply
    def _ordered(self, event: ExtraOrdered) -> None:
        self.bill += sum(extra.price for extra in event.extras)

    @apply
    def _left(self, event: GuestLeft) -> None:  # noqa: ARG002 - its coming is all it says
        self.present = False


class Occupancy(Projection):
    name = "occupancy"
    on_failure = "stop"
    categories = ("guest",)
    rooms = Table(
        "rooms",
        MetaData(),
        Column("guest", String, primary_key=True),
        Column("nights", Integer, nullable=False),
    )

    @on(GuestArrived)
    def arrived(self, recorded: RecordedEvent, tx: Transaction) -> None:
        event = recorded.event
        assert isinstance(event, GuestArrived)
        tx.insert(self.rooms, {"guest": recorded.aggregate_id, "nights": event.nights})

    @on(GuestLeft)
    def left(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.delete(self.rooms, {"guest": recorded.aggregate_id})


class Visits(Projection):
    name = "visits"
    version = 2
    visits = Table(
        "visits",
        MetaData(),
        Column("guest", String, primary_key=True),
        Column("count", Integer, nullable=False),
    )

    @on(GuestArrived)
    def arrived(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.upsert(self.visits, {"guest": recorded.aggregate_id}, add={"count": 1})
