"""A part of the log that has an order of its own."""

from __future__ import annotations

from typing import NamedTuple


class Partition(NamedTuple):
    """A part of the log that has an order of its own; one aggregate is in one partition."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"
