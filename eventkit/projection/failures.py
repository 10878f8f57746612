"""Handlers that fail: how often they are tried, and what is told of them."""

from __future__ import annotations

import traceback

from eventkit.projection.dead_letters_table import Failure

_PAUSES = (0.05, 0.25)
"""Seconds between the attempts at one event: enough for a hiccup, short for those that follow."""
_IN_A_ROW = 10
"""So many parked events with none between that was handled: then the code is at fault."""
_LONGEST = 10_000
"""Characters of a traceback to keep, from its end."""


class Attempts:
    """Decides whether an event is tried again.

    Each gets a few attempts. Once many were parked one after another, the next ones are parked at
    the first failure: a handler that fails at every event must not take hours to do so.
    """

    def __init__(self) -> None:
        self._parked = 0

    def may_try_again(self, attempts: int) -> bool:
        """Whether an event that has failed so often gets another attempt."""
        return attempts <= len(_PAUSES) and self._parked < _IN_A_ROW

    def pause_after(self, attempts: int) -> float:
        """Seconds to wait before the next attempt."""
        return _PAUSES[attempts - 1]

    def parked(self) -> None:
        """An event was parked."""
        self._parked += 1

    def succeeded(self) -> None:
        """A further attempt helped, or others were handled at the first."""
        self._parked = 0


def failure_of(error: BaseException, attempts: int, failed_in: str | None = None) -> Failure:
    """What a letter says of an exception: one line, and where in the code it was."""
    lines = traceback.format_exception(error)
    return Failure(in_one_line(error), "".join(lines)[-_LONGEST:], attempts, failed_in)


def in_one_line(error: BaseException) -> str:
    """Kind and message; of the latter the first line: SQLAlchemy adds the statement and a link."""
    first_line, _, _ = str(error).partition("\n")
    return f"{type(error).__name__}: {first_line}"
