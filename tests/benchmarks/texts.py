"""Sentences of the report that are computed from its figures."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.limits import KAFKA, SQLITE
from tests.benchmarks.results import Figure, number
from tests.benchmarks.spending import OTHERS, Spent
from tests.benchmarks.tables import shares

_LIMITS = (KAFKA, SQLITE)
_FULL = 0.9
_OURS = "eventkit"


def summary(figures: Sequence[Figure]) -> str:
    """How many of the aims hold, and which do not."""
    judged = [
        (figure, aim, verdict)
        for figure in figures
        for aim, verdict in zip(figure.aims, figure.verdicts, strict=True)
    ]
    if not judged:
        return "Nothing was measured of which something is wanted."
    off = [
        f"{figure.what}: {aim.text(figure.unit)} wanted, {_found(figure, aim.of_ratio)} found, "
        f"{verdict.text}"
        for figure, aim, verdict in judged
        if not verdict.holds
    ]
    held = f"{len(judged) - len(off)} of {len(judged)} aims hold."
    return held if not off else f"{held} Those that do not:\n" + "".join(f"\n- {it}" for it in off)


def _found(figure: Figure, of_ratio: bool) -> str:  # noqa: FBT001
    return f"{figure.ratio:.2f} times" if of_ratio else f"{number(figure.ours)} {figure.unit}"


def distance(spent: Sequence[Spent]) -> str:
    """What the remaining distance to the limit is made of, where it is largest."""
    limits = {it.what: it for it in spent if it.who in _LIMITS}
    ours = [it for it in spent if it.who == _OURS]
    pairs = [(it, limits[it.what]) for it in ours if it.what in limits]
    if not pairs:
        return f"{_made_of(ours[0])} {_bound(ours[0])}" if ours else ""
    own, limit = max(pairs, key=lambda pair: _wall(pair[0]) / _wall(pair[1]))
    return f"{_made_of(own)} {_bound(own)} {_difference(own, limit)}"


def _made_of(spent: Spent) -> str:
    computed = spent.micros()
    servers = shares(spent, [it for it in spent.outside if it != OTHERS])
    outside = f"servers for {servers} µs, " if servers else ""
    return (
        f"In '{spent.what}' a call takes {number(_wall(spent))} µs of the clock; our processes "
        f"compute for {number(computed)} µs of processor time "
        f"({shares(spent, spent.ours)}), {outside}other programs "
        f"for {number(spent.micros(OTHERS))} µs, and {spent.idle:.0%} of the time of the "
        f"{spent.cores} cores nobody computes."
    )


def _bound(spent: Spent) -> str:
    used = sum(spent.ours.values()) / spent.seconds
    if used >= _FULL:
        return f"The bound is our own code: it keeps {used:.2f} cores busy."
    if spent.idle <= 1 - _FULL:
        others = spent.outside.get(OTHERS, 0.0) / spent.seconds
        return (
            f"The bound is the machine, whose cores are full: {used:.2f} for our own code, "
            f"{others:.2f} for other programs."
        )
    return (
        f"Our own code uses {used:.2f} cores: the rest is waiting for servers, disk and wake-ups."
    )


def _difference(own: Spent, limit: Spent) -> str:
    ours = own.micros() - limit.micros()
    servers = _servers(own) - _servers(limit)
    rest = _wall(own) - _wall(limit)
    return (
        f"The limit ({limit.who}) takes {number(_wall(limit))} µs, {number(limit.micros())} of "
        f"them computing: the distance is {number(rest)} µs of the clock, with "
        f"{_signed(ours)} µs of our own code and {_signed(servers)} µs of the servers."
    )


def _servers(spent: Spent) -> float:
    return sum(spent.micros(it) for it in spent.outside if it != OTHERS)


def _wall(spent: Spent) -> float:
    return spent.seconds / spent.calls * 1e6


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{number(abs(value))}"
