"""The hotel with a new version of `occupancy` that does the same as the one before."""

from tests.acceptance import hotel
from tests.acceptance.hotel import Guest, GuestArrived, GuestLeft

__all__ = ["Guest", "GuestArrived", "GuestLeft", "Occupancy"]


class Occupancy(hotel.Occupancy):
    version = 2
