"""A user's module whose code fails."""

from sqlalchemy import Column, MetaData, String, Table

from eventkit import Aggregate, RecordedEvent, apply
from eventkit.projection import Projection, Transaction, on
from tests.acceptance.hotel import GuestArrived


class Guest(Aggregate):
    name: str

    @apply
    def _arrived(self, event: GuestArrived) -> None:
        self.name = {"Ann": "Ann"}[event.name]


class Names(Projection):
    name = "names"
    on_failure = "stop"
    names = Table("names", MetaData(), Column("name", String, primary_key=True))

    @on(GuestArrived)
    def arrived(self, _recorded: RecordedEvent, _tx: Transaction) -> None:
        raise RuntimeError("full")
