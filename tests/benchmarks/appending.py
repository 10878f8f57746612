"""How fast callers append, how long each waits, and where the time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial, reduce
from statistics import median
from typing import NamedTuple

from tests.benchmarks.callers import Pace
from tests.benchmarks.kit import Kit
from tests.benchmarks.results import (
    Aim,
    Figure,
    Point,
    Result,
    alone,
    beside,
    by_turns,
    latency,
)
from tests.benchmarks.spending import Spent, Watch

EVENTKIT = "eventkit"


class Way(NamedTuple):
    """A way to append: of eventkit, of the peer, or the limit.

    Parameters:
        run: appends with so many callers, so often in all, under a watch.
        calls: how often in a whole run.
    """

    run: Callable[[int, int, Watch], Pace]
    calls: int


class Callers(NamedTuple):
    """Who appends.

    Parameters:
        where: in which store, in a word.
        number: how many.
        how: they are made: `threads` or `tasks`.
    """

    where: str
    number: int
    how: str = "threads"

    @property
    def name(self) -> str:
        """What is measured."""
        return f"{self.where} append, {self.number:,} {self.how if self.number > 1 else 'caller'}"


class Wanted(NamedTuple):
    """What is wanted of eventkit here.

    Parameters:
        rate: of appends a second.
        beside: by the name of another way: of the ratio to it.
        p50: by the name of another way: of the ratio of the medians of single calls.
    """

    rate: Aim | None = None
    beside: Mapping[str, Aim] = {}
    p50: Mapping[str, Aim] = {}


def appended(
    kit: Kit, callers: Callers, ways: Mapping[str, Way], wanted: Wanted
) -> Iterator[Result]:
    """Append in all ways by turns; the first way is eventkit's.

    Parameters:
        kit: what measurements share.
        callers: who appends.
        ways: by name.
        wanted: of the figures.
    """
    what, count = callers.name, callers.number
    spent: dict[str, list[Spent]] = {name: [] for name in ways}

    def measure(name: str) -> Pace:
        watch = kit.watch()
        pace = ways[name].run(count, kit.sizes.calls(ways[name].calls, count), watch)
        spent[name].append(watch.spent(what, name, pace.calls, pace.cpu))
        return pace

    found = by_turns(kit.sizes.rounds, {name: partial(measure, name) for name in ways})
    rates = {name: [it.per_second for it in paces] for name, paces in found.items()}
    yield from _figures(what, rates, wanted)
    if count == 1:
        yield from _medians(what, found, wanted)
    for name, paces in found.items():
        # Beside tasks the others run as they do beside threads: that is told there.
        if name == EVENTKIT or callers.how == "threads":
            yield latency(what, name, (wait for pace in paces for wait in pace.waits))
            curve = f"{name}, {callers.how}" if name == EVENTKIT else name
            yield Point(curve, count, median(rates[name]))
            yield reduce(Spent.plus, spent[name])


def _figures(what: str, rates: Mapping[str, list[float]], wanted: Wanted) -> Iterator[Figure]:
    own = () if wanted.rate is None else (wanted.rate,)
    others = [name for name in rates if name != EVENTKIT]
    missing = [aim for name, aim in wanted.beside.items() if name not in rates]
    if missing or not others:
        yield alone(what, "appends/s", rates[EVENTKIT], *own, *missing)
        own = ()
    for name in others:
        aims = (*own, wanted.beside[name]) if name in wanted.beside else own
        yield beside(what, "appends/s", rates[EVENTKIT], name, rates[name], *aims)
        own = ()  # said once


def _medians(what: str, found: Mapping[str, list[Pace]], wanted: Wanted) -> Iterator[Figure]:
    medians = {name: [it.p50 * 1e3 for it in paces] for name, paces in found.items()}
    for name, theirs in medians.items():
        if name != EVENTKIT:
            aims = (wanted.p50[name],) if name in wanted.p50 else ()
            yield beside(f"{what}, p50", "ms", medians[EVENTKIT], name, theirs, *aims)
