"""A figure, beside the one it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """What was measured.

    Parameters:
        what: in a few words.
        unit: of both values.
        ours: eventkit's value.
        against: what it is compared with; empty where it stands alone.
        theirs: the value of that.
        ratio: how many times better ours is; 0 where it stands alone.
        wanted: the least that is asked for, in words.
    """

    what: str
    unit: str
    ours: float
    against: str = ""
    theirs: float = 0.0
    ratio: float = 0.0
    wanted: str = ""


def by_turns(
    rounds: int, ours: Callable[[], float], theirs: Callable[[], float], *, more_is_better: bool
) -> tuple[float, float, float]:
    """Measure both, round by round; the medians, and the median of the ratios.

    The machine is never quiet, but in one round it is about the same for both.
    """
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratios = [own / peer if more_is_better else peer / own for own, peer in pairs]
    return median(it for it, _ in pairs), median(it for _, it in pairs), median(ratios)
