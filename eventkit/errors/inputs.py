"""Values handed in that cannot be used."""

from __future__ import annotations

from eventkit.errors.root import EventkitError
from eventkit.masking import masked_url


class InvalidInput(EventkitError, ValueError):
    """A value handed to eventkit cannot be used; the message says which and why."""


class InvalidAggregateId(InvalidInput):
    """An aggregate id that is not `category-id`."""

    def __init__(self, aggregate_id: object, reason: str) -> None:
        super().__init__(
            f"{aggregate_id!r} is not an aggregate id: {reason}. "
            "Write it as category-id, for example 'task-42'."
        )
        self.aggregate_id, self.reason = aggregate_id, reason


class InvalidUrl(InvalidInput):
    """A URL that leads to no store or read models; a password in it is not told."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = masked_url(url), reason
        super().__init__(f"{masked_url(url)!r} cannot be used as a URL here: {reason}")


class InvalidSetting(InvalidInput):
    """A setting of Kafka's clients cannot be used; the message says which and why."""


class InvalidApp(InvalidInput):
    """The module with the user's classes is missing, fails, or lacks what a command needs."""


class InvalidCloudEvent(InvalidInput):
    """Text that is no CloudEvent in JSON, or none that an event class of this process reads."""
