"""The rows of the report's tables, the same for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.benchmarks.results import Figure, Latency, number
from tests.benchmarks.spending import OTHERS, Spent

FIGURES = ("ratio", "what", "unit", "eventkit", "beside", "its figure", "wanted", "holds?")
SHORT = ("ratio", "what", "eventkit", "beside it", "wanted", "holds?")
LATENCIES = ("what", "who", "calls", "p50", "p90", "p99", "p99.9", "longest")
SPENT = ("what", "who", "µs a call", "our process", "of it", "servers", "other programs", "idle")
_SPARE = 0.005
"""The part of the time below which something is not worth a mention."""


def figure_row(figure: Figure) -> list[str]:
    """Ratios first."""
    return [
        f"{figure.ratio:.2f}" if figure.against else "",
        figure.what,
        figure.unit,
        number(figure.ours) + spread(figure.rounds),
        figure.against,
        number(figure.theirs) + spread(figure.their_rounds) if figure.against else "",
        ", ".join(aim.text(figure.unit) for aim in figure.aims),
        ", ".join(verdict.text for verdict in figure.verdicts),
    ]


def short_row(figure: Figure) -> list[str]:
    """For a terminal, which is narrow."""
    ratio, what, unit, ours, against, theirs, wanted, verdict = figure_row(
        figure._replace(rounds=(), their_rounds=())
    )
    return [ratio, what, f"{ours} {unit}", f"{theirs} {against}".strip(), wanted, verdict]


def spread(rounds: Sequence[float]) -> str:
    """The least and the most of some rounds."""
    if len(rounds) < 2:
        return ""
    return f" ({number(min(rounds))} to {number(max(rounds))})"


def ratios_first(figures: Iterable[Figure]) -> list[Figure]:
    """Those with a ratio before those without, as they came otherwise."""
    return sorted(figures, key=lambda it: not it.against)


def latency_row(latency: Latency) -> list[str]:
    """Milliseconds."""
    told = [number(latency.at(it)) for it in (50, 90, 99, 99.9, 100)]
    return [latency.what, latency.who, f"{latency.calls:,}", *told]


def spent_row(spent: Spent) -> list[str]:
    """Microseconds a call."""
    wall = spent.seconds / spent.calls * 1e6
    servers = {name: it for name, it in spent.outside.items() if name != OTHERS}
    return [
        spent.what,
        spent.who,
        number(wall),
        number(spent.micros()),
        shares(spent, spent.ours),
        shares(spent, servers),
        number(spent.micros(OTHERS)),
        f"{spent.idle:.0%}",
    ]


def shares(spent: Spent, names: Iterable[str]) -> str:
    """Microseconds a call of each part that is worth a mention, the largest first."""
    least = spent.seconds / spent.calls * 1e6 * _SPARE
    known = sorted(((spent.micros(it), it) for it in names), reverse=True)
    return ", ".join(f"{name} {number(micros)}" for micros, name in known if micros > least)


def text_rows(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]
