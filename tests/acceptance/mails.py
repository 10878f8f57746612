"""A user's module with a projection that builds nothing: it has effects alone."""

from eventkit import RecordedEvent
from eventkit.projection import Projection, effect
from tests.acceptance.hotel import GuestLeft

SENT: list[str] = []


class Mails(Projection):
    name = "mails"

    @effect(GuestLeft)
    def thanked(self, recorded: RecordedEvent) -> None:
        SENT.append(recorded.aggregate_id)
