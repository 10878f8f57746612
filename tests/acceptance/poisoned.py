"""A user's module with a handler that cannot take some events, until it is mended."""

from sqlalchemy import Column, MetaData, String, Table

from eventkit import RecordedEvent
from eventkit.projection import Projection, Transaction, on
from tests.acceptance.hotel import GuestArrived, GuestLeft

BROKEN: set[str] = set()
"""Aggregates at whose arrival the handler raises."""


class Presence(Projection):
    name = "presence"
    present = Table("present", MetaData(), Column("guest", String, primary_key=True))

    @on(GuestArrived)
    def arrived(self, recorded: RecordedEvent, tx: Transaction) -> None:
        if recorded.aggregate_id in BROKEN:
            raise RuntimeError("no room")
        tx.insert(self.present, {"guest": recorded.aggregate_id})

    @on(GuestLeft)
    def left(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.delete(self.present, {"guest": recorded.aggregate_id})
