"""The example domain of the suite: parcels, and the vans that carry them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from eventkit import Aggregate, Event, EventStore, RecordedEvent, apply
from eventkit.events import ALL_EVENT_TYPES

OpenStore = Callable[[], EventStore]
"""Opens the store of this test; each call opens the same one again."""

CATEGORIES = ("parcel", "Parcel", "parcel.eu", "van", "crate")
"""All categories the suite writes to, for stores that need to make room for them beforehand."""


class ParcelSent(Event):
    to: str
    grams: int = 0


class ParcelMoved(Event):
    place: str


class ParcelDelivered(Event):
    pass


class ParcelReturned(Event):
    reason: str = ""


class VanLoaded(Event):
    parcels: list[str]


class Parcel(Aggregate):
    to: str = ""
    places: list[str] = []  # noqa: RUF012 - each aggregate gets its own copy
    delivered: bool = False

    def send(self, to: str) -> None:
        self.record(ParcelSent(to=to))

    def move(self, place: str) -> None:
        self.record(ParcelMoved(place=place))

    @apply
    def _sent(self, event: ParcelSent) -> None:
        self.to = event.to

    @apply
    def _moved(self, event: ParcelMoved) -> None:
        self.places.append(event.place)

    @apply
    def _delivered(self, _event: ParcelDelivered) -> None:
        self.delivered = True

    @apply
    def _returned(self, _event: ParcelReturned) -> None:
        self.delivered = False


def moves(*places: str) -> list[Event]:
    """Return one event for each place a parcel comes by."""
    return [ParcelMoved(place=place) for place in places]


def places(recorded: Iterable[RecordedEvent]) -> list[str]:
    """Return where the moves among some recorded events went."""
    return [item.event.place for item in recorded if isinstance(item.event, ParcelMoved)]


def versions(recorded: Iterable[RecordedEvent]) -> list[int]:
    """Return the versions of recorded events, in their order."""
    return [item.version for item in recorded]


def by_aggregate(recorded: Iterable[RecordedEvent]) -> dict[str, list[RecordedEvent]]:
    """Return recorded events by aggregate id, each in the order given."""
    found: dict[str, list[RecordedEvent]] = {}
    for item in recorded:
        found.setdefault(item.aggregate_id, []).append(item)
    return found


@contextmanager
def unknown(*names: str) -> Iterator[None]:
    """Make this process forget, for a while, which classes read some recorded types."""
    claims = {name: ALL_EVENT_TYPES._claims.pop(name) for name in names}
    try:
        yield
    finally:
        ALL_EVENT_TYPES._claims.update(claims)
