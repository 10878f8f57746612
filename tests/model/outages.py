"""Runs in which Kafka is away, for longer than clients wait."""

from __future__ import annotations

from collections.abc import Sequence

from tests.model.broker import Request
from tests.model.world import World

COUNT = 600
"""Numbers of a run: with fewer, too little happens after an outage."""


class Outages(World):
    """Requests stay on their way until Kafka is back; readers read on, and markers are written.

    Every client gives up after a few seconds, and most of them ask again.
    """

    patience = 3.0

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(numbers)
        self._away_until = 0.0

    def _network(self) -> Sequence[Request]:
        is_away = self.scheduler.now < self._away_until and not self.choices.are_over
        return () if is_away else super()._network()

    def _fault(self, number: int) -> None:
        number, kind = divmod(number, 3)
        if kind == 0:
            self._away_until = self.scheduler.now + (4, 8, 16, 30)[number % 4]
            self.broker.is_torn = True  # what is on its way comes late
            self.scheduler.note(f"Kafka is away until {self._away_until:.1f}")
        elif kind == 1:
            self._let_time_pass(number)
        else:
            super()._fault(number)
