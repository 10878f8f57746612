"""A user's module whose aggregate keeps some of its state in attributes without a type."""

from eventkit import Aggregate, Event, apply
from tests.acceptance.hotel import ExtraOrdered, GuestArrived, GuestLeft


class Guest(Aggregate):
    seen: int = 0

    @apply
    def _any(self, event: GuestArrived | ExtraOrdered | GuestLeft) -> None:
        self.seen += 1
        self.last: Event = event
        self.name = "?"
