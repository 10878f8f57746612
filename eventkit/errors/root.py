"""What all errors of eventkit share."""

from __future__ import annotations

from typing import Any, Self


class EventkitError(Exception):
    """Base of all errors of eventkit.

    `retryable` says whether it may succeed later: after a `ConcurrencyError` with the aggregate
    loaded again, after `OutcomeUnknown` with `event_ids=error.event_ids`, else by the same call.
    `where` names the recorded event that the error was met at, if it was met while reading one.
    """

    retryable = False
    where: str | None = None

    def located(self, where: str) -> Self:
        """The same error, which from now on says where in the log it was met."""
        self.where = where
        self.args = (f"{where}: {self}",)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors can be copied and sent to another process, whatever their constructors take."""
        return _rebuilt, (type(self), self.args), vars(self)


def _rebuilt(cls: type[EventkitError], args: tuple[object, ...]) -> EventkitError:
    return cls.__new__(cls, *args)
