"""How long it takes to load an aggregate, by its length, with and without a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import perf_counter
from typing import Any

from tests.benchmarks.kit import Kit
from tests.benchmarks.limits import SQLITE, BareLoads
from tests.benchmarks.results import Aim, Point, Result, alone, beside, by_turns
from tests.benchmarks.spending import Spent
from tests.benchmarks.subjects import Subject

_EVENTKIT = "eventkit"
_FEWEST = 3
Load = Callable[[], object]


def by_length(
    kit: Kit, ours: Subject, peer: Subject | None, peer_name: str, aims: Mapping[int, Aim]
) -> Iterator[Result]:
    """Load aggregates of all lengths by turns.

    Parameters:
        kit: what measurements share.
        ours: eventkit on a store.
        peer: the other library; None if it cannot run.
        peer_name: what it is called.
        aims: what is wanted of a load without snapshot, by length.
    """
    bare = BareLoads(kit.room())
    try:
        for length in kit.sizes.lengths:
            yield from _of_length(kit, length, ours, peer, peer_name, bare, aims.get(length))
    finally:
        bare.close()


def _of_length(
    kit: Kit, length: int, ours: Subject, peer: Subject | None, peer_name: str, bare: BareLoads,
    aim: Aim | None,
) -> Iterator[Result]:  # fmt: skip
    loads = _loads(length, ours, _EVENTKIT) | ({} if not peer else _loads(length, peer, peer_name))
    stored = bare.save_history(length)
    loads[SQLITE] = lambda: bare.load(stored)
    spent: list[Spent] = []
    measures = {
        name: partial(_micros, kit, load, spent if name == _EVENTKIT else [], length)
        for name, load in loads.items()
    }
    found = by_turns(kit.sizes.rounds, measures)
    for name, rounds in found.items():
        yield Point(name, length, sorted(rounds)[len(rounds) // 2] / 1e3)
    what, aims = _what(length), () if aim is None else (aim,)
    limit = beside(what, "µs", found[_EVENTKIT], SQLITE, found[SQLITE])
    with_snapshot, theirs = _snapshot(_EVENTKIT), _snapshot(peer_name)
    if peer is None:
        yield alone(what, "µs", found[_EVENTKIT], *aims)
        yield alone(f"{what}, snapshot", "µs", found[with_snapshot])
    else:
        yield beside(what, "µs", found[_EVENTKIT], peer_name, found[peer_name], *aims)
        yield beside(f"{what}, snapshot", "µs", found[with_snapshot], peer_name, found[theirs])
    yield limit
    yield from spent[:1]


def _loads(length: int, subject: Subject, name: str) -> dict[str, Load]:
    aggregate_id: Any = subject.save_history(length)
    subject.keep_snapshot(aggregate_id)
    return {
        name: lambda: subject.load(aggregate_id),
        _snapshot(name): lambda: subject.load_snapshot(aggregate_id),
    }


def _what(length: int) -> str:
    return f"load, {length:,} event{'s' if length > 1 else ''}"


def _snapshot(name: str) -> str:
    return f"{name}, snapshot"


def _micros(kit: Kit, load: Load, spent: list[Spent], length: int) -> float:
    """Load for a while; microseconds a load, after one that fills the caches."""
    load()
    loads = 0
    with kit.watch() as watch:
        began = perf_counter()
        while (seconds := perf_counter() - began) < kit.sizes.loading or loads < _FEWEST:
            load()
            loads += 1
    spent.append(watch.spent(_what(length), _EVENTKIT, loads))
    return seconds / loads * 1e6
