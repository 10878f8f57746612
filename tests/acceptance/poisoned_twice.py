"""The same broken handler in another projection, and `presence` with a table of today's code."""

from sqlalchemy import Column, Integer, MetaData, String, Table

from tests.acceptance import poisoned
from tests.acceptance.hotel import GuestArrived, GuestLeft

__all__ = ["GuestArrived", "GuestLeft", "Presence", "Visits"]


class Presence(poisoned.Presence):
    present = Table(
        "present",
        MetaData(),
        Column("guest", String, primary_key=True),
        Column("nights", Integer),
    )


class Visits(poisoned.Presence):
    name = "visits"
    present = Table("visits", MetaData(), Column("guest", String, primary_key=True))
