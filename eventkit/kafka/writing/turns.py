"""Turns: writers who want the same aggregates go one after the other, without a word to each other.

All of them see the same proposals in the log. Whoever proposed last goes last; whoever waits for
longest goes at once, the next one a little later, in case the first has nothing to write. Wrong
guesses cost an aborted transaction, never more.
"""

from __future__ import annotations

import random
from time import monotonic

from eventkit.kafka.view import View

_ACTIVE = 0.5  # seconds a rival counts after its last proposal
_SHORTEST, _LONGEST = 0.003, 0.03  # seconds
_PATIENCE = 0.25
"""Seconds after which it is our turn, come what may: of many rivals one has always just proposed,
and a turn that begins some time after the last of them would never come."""


class Turns:
    """When it is our turn.

    Parameters:
        view: who proposed what, and when.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._went_at = self._tried_at = 0.0
        self._slot = 0.006
        self._lost = 0
        self._jitter = 0.0

    def went(self, took: float, *, in_turn: bool) -> None:
        """We proposed and won; `took` seconds from the first record to the last one's offset.

        Parameters:
            in_turn: what waited for this turn; else it is no turn that others were let before.
        """
        self._lost, self._jitter = 0, 0.0
        self._slot = min(max(0.8 * self._slot + 0.3 * took, _SHORTEST), _LONGEST)
        if in_turn:
            self._went_at = self._tried_at = monotonic()

    def lost(self, *, in_turn: bool) -> None:
        """We proposed and lost: somebody else thought that it was their turn as well."""
        if in_turn:
            self._tried_at = monotonic()
        self._lost = min(self._lost + 1, 4)
        self._jitter = random.random() * self._lost * self._slot  # noqa: S311 - spreads rivals

    def begins(self, since: float) -> float:
        """When our turn begins (`time.monotonic`), as far as can be told now.

        Parameters:
            since: when something began to wait for it.
        """
        rivals = [at for at in self._view.writers.copy().values() if at > monotonic() - _ACTIVE]
        before_us = sum(1 for at in rivals if at < self._went_at)
        polite = max(self._went_at, *rivals, 0.0) + before_us * self._slot
        return min(polite, max(since, self._tried_at) + _PATIENCE) + self._jitter
