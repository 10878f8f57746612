"""Calls that interrupt another call of their own thread, as those of a signal handler do."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TypeVar

from eventkit.errors import ReentrantCall

_R = TypeVar("_R")


class Calls:
    """The threads that are in a call of a store, so that no call waits for one that it interrupted.

    Python runs a signal handler (and a finalizer) in the middle of what its thread does. What that
    had taken, a lock or the lead of a commit, it cannot give back before the handler returns: a
    handler that waited for it would wait for ever. So a call is noted before it takes anything, and
    in the handler another call of the same thread is refused, or left to the one that it
    interrupted. The order of events, when a handler comes

    1. before the call is noted: nothing is taken yet, the handler makes its own call in full;
    2. while it is noted: the handler leaves its `close` behind, and the interrupted call makes it
       when it ends, whether it returns or raises what the handler raised;
    3. after the note is gone: all was given back, the handler makes its own call in full. What an
       earlier handler left behind comes after it, and finds nothing more to do.

    Parameters:
        what: what messages call the store.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._inside: dict[int, Callable[[], object] | None] = {}

    def run(self, call: Callable[[], _R]) -> _R:
        """Make a call that may wait for other threads, and then the one that was left behind.

        Raises:
            ReentrantCall: it interrupts another call of this thread; it was not made.
        """
        me = get_ident()
        if me in self._inside:
            raise ReentrantCall(self._what)
        try:
            self._inside[me] = None
            return call()
        finally:
            # No calls until the note is gone: an interrupt can only come at a call, and one that
            # came here would leave this thread noted for ever.
            left_behind = self._inside[me]
            del self._inside[me]
            if left_behind is not None:
                self.run(left_behind)

    def run_or_leave(self, call: Callable[[], object]) -> None:
        """Make a call now, or if it interrupts another of this thread, as soon as that one ends."""
        me = get_ident()
        if me in self._inside:
            self._inside[me] = call
        else:
            self.run(call)
