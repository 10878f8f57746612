"""What the topics of a log are called."""

from __future__ import annotations

from typing import NamedTuple, Self

_EVENTS, _SNAPSHOTS, _REGISTRY = ".events", ".snapshots", "eventkit.schemas"


class Names(NamedTuple):
    """The names of the topics of one log.

    Parameters:
        prefix: what they all begin with, where a cluster holds several logs.
    """

    prefix: str = ""

    @classmethod
    def of_registry(cls, registry: str) -> Self:
        """The names in the log whose registry is called so."""
        return cls(registry.removesuffix(_REGISTRY))

    @property
    def registry(self) -> str:
        """The topic of what all readers of the log have to know: schemas, records of topics."""
        return f"{self.prefix}{_REGISTRY}"

    def events(self, category: str) -> str:
        """The topic of a category's events."""
        return f"{self.prefix}{category}{_EVENTS}"

    def snapshots(self, category: str) -> str:
        """The topic of a category's snapshots."""
        return f"{self.prefix}{category}{_SNAPSHOTS}"

    def category_of(self, topic: str) -> str | None:
        """The category whose events a topic holds; None if it is no topic of events of this log."""
        category = topic.removeprefix(self.prefix).removesuffix(_EVENTS)
        return category if category and topic == self.events(category) else None
