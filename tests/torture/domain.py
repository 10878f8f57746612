"""What the clients of the rig record."""

from eventkit import Event

CATEGORY = "note"


class Noted(Event):
    token: str  # that of no other event
