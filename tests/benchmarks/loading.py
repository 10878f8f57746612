"""How long it takes to load an aggregate, by its length, with and without a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from tests.benchmarks.kit import Kit
from tests.benchmarks.limits import SQLITE, BareLoads
from tests.benchmarks.results import Aim, Point, Result, alone, beside, by_turns
from tests.benchmarks.spending import Watch
from tests.benchmarks.subjects import Subject

_EVENTKIT = "eventkit"
_FEWEST = 3
Load = Callable[[], object]
Watched = AbstractContextManager[Watch]


def by_length(
    kit: Kit, where: str, ours: Subject, other: tuple[str, Subject | None], aims: Mapping[int, Aim]
) -> Iterator[Result]:
    """Load aggregates of all lengths by turns.

    Parameters:
        kit: what measurements share.
        where: it is loaded from, in a word.
        ours: eventkit on a store.
        other: the name of the other library, and it; None if it cannot run.
        aims: what is wanted of a load without snapshot, by length.
    """
    name, peer = other
    subjects = {_EVENTKIT: ours} | ({} if peer is None else {name: peer})
    bare = BareLoads(kit.room())
    try:
        for length in kit.sizes.lengths:
            loads: dict[str, Load] = {}
            for who, subject in subjects.items():
                loads |= _loads(length, subject, who)
            loads[SQLITE] = partial(bare.load, bare.save_history(length))
            what = f"{where} load, {length:,} event{'s' if length > 1 else ''}"
            spent = kit.spendings()
            measures = {
                who: partial(_micros, kit, load, partial(spent.of, what, who))
                for who, load in loads.items()
            }
            found = by_turns(kit.sizes.rounds, measures)
            yield from _told(what, found, name, aims.get(length))
            yield from (Point(who, length, median(it) / 1e3) for who, it in found.items())
            yield from (it for it in spent.sums() if it.who in {_EVENTKIT, SQLITE})
    finally:
        bare.close()


def _told(
    what: str, found: Mapping[str, list[float]], peer: str, aim: Aim | None
) -> Iterator[Result]:
    aims = () if aim is None else (aim,)
    own, snapshots = found[_EVENTKIT], found[_snapshot(_EVENTKIT)]
    if peer in found:
        yield beside(what, "µs", own, peer, found[peer], *aims)
        yield beside(f"{what}, snapshot", "µs", snapshots, peer, found[_snapshot(peer)])
    else:
        yield alone(what, "µs", own, *aims)
        yield alone(f"{what}, snapshot", "µs", snapshots)
    yield beside(what, "µs", own, SQLITE, found[SQLITE])


def _loads(length: int, subject: Subject, name: str) -> dict[str, Load]:
    aggregate_id: Any = subject.save_history(length)
    subject.keep_snapshot(aggregate_id)
    return {
        name: lambda: subject.load(aggregate_id),
        _snapshot(name): lambda: subject.load_snapshot(aggregate_id),
    }


def _snapshot(name: str) -> str:
    return f"{name}, snapshot"


def _micros(kit: Kit, load: Load, watched: Callable[[], Watched]) -> float:
    """Load for a while; microseconds a load, after one that fills the caches."""
    load()
    loads = 0
    with watched() as watch:
        began = perf_counter()
        while (seconds := perf_counter() - began) < kit.sizes.loading or loads < _FEWEST:
            load()
            loads += 1
        watch.calls = loads
    return seconds / loads * 1e6
