"""What the clients of the rig record."""

from eventkit import Event

CATEGORY = "note"


class Jotted(Event):
    token: str  # that of no other event
