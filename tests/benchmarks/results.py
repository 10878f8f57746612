"""What a benchmark finds: figures with what is wanted of them, latencies, curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, TypeVar

from tests.benchmarks.spending import Spent

_T = TypeVar("_T")

_POINTS = 80
_NINES = 4.0
"""Percentiles are kept from 0 to 99.99, evenly by their nines."""


class Verdict(NamedTuple):
    """Whether an aim holds, and in words by how much not."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Aim:
    """What is wanted of a figure.

    Parameters:
        bound: the least, or the most.
        of_ratio: of the ratio to what it is compared with, not of the value.
        most: the bound is the most.
    """

    bound: float
    of_ratio: bool = False
    most: bool = False

    def text(self, unit: str) -> str:
        """Say it."""
        sign = "≤" if self.most else "≥"
        return f"{sign} {number(self.bound)} {'times' if self.of_ratio else unit}"

    def verdict(self, figure: Figure) -> Verdict:
        """Judge a figure."""
        found = figure.ratio if self.of_ratio else figure.ours
        if self.of_ratio and not figure.against:
            return Verdict(holds=False, text="not measured")
        if found <= self.bound if self.most else found >= self.bound:
            return Verdict(holds=True, text="holds")
        off = abs(found - self.bound) / self.bound
        how_far = f"{off:.0%}" if off >= 0.01 else "under 1%"
        return Verdict(holds=False, text=f"{how_far} {'over' if self.most else 'short'}")


class Figure(NamedTuple):
    """What was measured.

    Parameters:
        what: in a few words.
        unit: of both values.
        ours: eventkit's value, the median of the rounds.
        against: what it is compared with; empty where it stands alone.
        theirs: the value of that.
        ratio: how many times better ours is; 0 where it stands alone.
        aims: what is wanted of it.
        rounds: eventkit's value in each round.
        their_rounds: that of what it is compared with.
    """

    what: str
    unit: str
    ours: float
    against: str = ""
    theirs: float = 0.0
    ratio: float = 0.0
    aims: tuple[Aim, ...] = ()
    rounds: tuple[float, ...] = ()
    their_rounds: tuple[float, ...] = ()

    @property
    def verdicts(self) -> list[Verdict]:
        """One for each aim."""
        return [aim.verdict(self) for aim in self.aims]


class Latency(NamedTuple):
    """How long single calls took.

    Parameters:
        what: in a few words.
        who: eventkit, or what it is compared with.
        calls: how many.
        percentiles: pairs of a percentile and milliseconds; ends with 100, the longest.
    """

    what: str
    who: str
    calls: int
    percentiles: tuple[tuple[float, float], ...]

    def at(self, percentile: float) -> float:
        """Milliseconds within which that percentile of calls was done."""
        return next(value for name, value in self.percentiles if name >= percentile - 1e-9)


class Point(NamedTuple):
    """A point of a curve, such as the time of a load by the length of the aggregate."""

    curve: str
    x: float
    y: float


Result = Figure | Latency | Point | Spent


def latency(what: str, who: str, seconds: Iterable[float]) -> Latency:
    """Sum up how long calls took."""
    found = sorted(seconds)
    wanted = {50.0, 90.0, 99.0, 99.9}
    wanted.update(100 - 100 * 10 ** -(step * _NINES / _POINTS) for step in range(_POINTS + 1))
    last = len(found) - 1
    known = [(it, found[min(last, int(len(found) * it / 100))] * 1e3) for it in sorted(wanted)]
    return Latency(what, who, len(found), (*known, (100.0, found[-1] * 1e3)))


def by_turns(rounds: int, measures: Mapping[str, Callable[[], _T]]) -> dict[str, list[_T]]:
    """Measure all, round by round: the machine is never quiet, but in one round alike for all."""
    found: dict[str, list[_T]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def alone(what: str, unit: str, rounds: Sequence[float], *aims: Aim) -> Figure:
    """A figure that is compared with nothing."""
    return Figure(what, unit, median(rounds), aims=aims, rounds=tuple(rounds))


def beside(
    what: str, unit: str, rounds: Sequence[float], name: str, theirs: Sequence[float], *aims: Aim
) -> Figure:
    """A figure beside that of something else, taken by turns; the median of the ratios counts."""
    more_is_better = unit.endswith("/s")
    ratios = [
        own / other if more_is_better else other / own
        for own, other in zip(rounds, theirs, strict=True)
    ]
    return Figure(
        what, unit, median(rounds), name, median(theirs), median(ratios), aims, tuple(rounds),
        tuple(theirs),
    )  # fmt: skip


def number(value: float) -> str:
    """A number as a reader wants it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
