"""Moments as text."""

from __future__ import annotations

from datetime import datetime

from eventkit.errors import InvalidInput
from eventkit.events import utc


def moment_of(text: str) -> datetime:
    """The moment, in UTC, that an ISO 8601 text with an offset names; to the microsecond.

    Raises:
        InvalidInput: it is no such text, has no offset (no time zone is ever assumed), or lies
            beyond the years 1 to 9999 in UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no time; write it as 2010-10-01T09:30:00+02:00, or with Z for UTC"
        ) from error
    if moment.tzinfo is None:
        wall_clock = moment.isoformat()
        raise InvalidInput(
            f"{text!r} has no time zone; add your offset, for example {wall_clock}+02:00, or Z for "
            f"UTC: {wall_clock}Z"
        )
    return utc(moment)
