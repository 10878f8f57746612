"""The plots of a report, as PNG files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.limits import KAFKA, SQLITE
from tests.benchmarks.record import Record
from tests.benchmarks.results import Figure, Latency, Point
from tests.benchmarks.spending import OTHERS, REST, Spent
from tests.benchmarks.steps import Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# The colours of Okabe and Ito: told apart by those who see few.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C00",
)  # fmt: skip
_GREY = "#999999"
_MARKERS = "osD^vPX*"
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
_DPI = 120
_LIMITS = {KAFKA, SQLITE}
_WIDTH = 9.0
_NARROW = 200
"""A log axis that spans less has more than the powers of ten on it."""
_SAME_SCALE = 25
"""A bar that is longer than the shortest by more is left out: the others would be dots."""


def draw(record: Record, folder: Path) -> dict[str, list[str]]:
    """Draw all there is; returns the files by the name of the section, "" for the whole."""
    drawn = {"": _saved(folder, "ratios", _ratios(list(record.all(Figure))))}
    for section in record.found:
        latencies, points = list(record.of(section, Latency)), list(record.of(section, Point))
        drawn[section.name] = [
            *_saved(folder, f"{section.name}-curve", _curves(section, points)),
            *_saved(folder, f"{section.name}-latency", _percentiles(latencies)),
            *_saved(folder, f"{section.name}-time", _times(list(record.of(section, Spent)))),
        ]
    return drawn


def _saved(folder: Path, name: str, canvas: Canvas | None) -> list[str]:
    if canvas is None:
        return []
    canvas.savefig(folder / f"{name}.png", dpi=_DPI)
    return [f"{name}.png"]


def _canvas(
    height: float, columns: int = 1, *, shared: bool = False
) -> tuple[Canvas, Sequence[Axes]]:
    # Not pyplot: it keeps all figures, and looks for a display. And late, as it takes a second.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure as MatplotlibFigure  # noqa: PLC0415

    canvas = MatplotlibFigure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasAgg(canvas)
    axes: Any = canvas.subplots(1, columns, squeeze=False, sharex=shared, sharey=shared)
    return canvas, list(axes[0])


def _ratios(figures: list[Figure]) -> Canvas | None:
    """How many times better, on a log axis, with what is wanted: one row a figure."""
    known = [it for it in figures if it.against and it.ratio > 0]
    if not known:
        return None
    names_of = list(dict.fromkeys(it.what for it in known))[::-1]
    rows = {what: row for row, what in enumerate(names_of)}
    canvas, (axes,) = _canvas(1.6 + 0.24 * len(rows))
    axes.axvline(1, color="black", linewidth=0.8)
    wanted = [(aim.bound, rows[it.what]) for it in known for aim in it.aims if aim.of_ratio]
    axes.plot(
        [bound for bound, _ in wanted], [row for _, row in wanted], "|", color="black",
        markersize=13, markeredgewidth=2, label="wanted",
    )  # fmt: skip
    names = sorted({it.against for it in known})
    for name, colour, marker in zip(names, cycle(COLOURS), cycle(_MARKERS), strict=False):
        mine = [it for it in known if it.against == name]
        axes.plot(
            [it.ratio for it in mine], [rows[it.what] for it in mine], marker, color=colour,
            markerfacecolor="white" if name in _LIMITS else colour, markeredgewidth=1.6,
            label=f"beside {_called(name)}",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axes.set_ylim(-0.8, len(rows) - 0.2)
    axes.set_xlabel("ratio: how many times better eventkit is (log scale; 1 is level)")
    _plain_numbers(axes.xaxis)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _legend_above(canvas, axes, 3)
    return canvas


def _called(name: str) -> str:
    return f"{name} (limit)" if name in _LIMITS else name


def _curves(section: Section, points: list[Point]) -> Canvas | None:
    if not points:
        return None
    canvas, (axes,) = _canvas(5.0)
    names = list(dict.fromkeys(it.curve for it in points))
    for name, colour, marker in zip(names, cycle(COLOURS), cycle(_MARKERS), strict=False):
        mine = sorted((it.x, it.y) for it in points if it.curve == name)
        style = "--" if name in _LIMITS else "-"
        axes.plot(*zip(*mine, strict=True), style, color=colour, marker=marker, label=_called(name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sorted({it.x for it in points}))
    axes.minorticks_off()
    axes.set_xlabel(section.x)
    axes.set_ylabel(section.y)
    _plain_numbers(axes.xaxis)
    _plain_numbers(axes.yaxis)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_title(section.title, fontsize=10)
    _legend_above(canvas, axes, 2)
    return canvas


def _percentiles(latencies: list[Latency]) -> Canvas | None:
    """Milliseconds by percentile, with as much room for each further nine; one panel a library."""
    if not latencies:
        return None
    whos = list(dict.fromkeys(it.who for it in latencies))
    whats = list(dict.fromkeys(it.what for it in latencies))
    canvas, panels = _canvas(4.8, len(whos), shared=True)
    colours = dict(zip(whats, cycle(COLOURS), strict=False))
    for axes, who in zip(panels, whos, strict=True):
        for it in latencies:
            if it.who == who:
                style = "--" if it.what.endswith("tasks") else "-"
                axes.plot(*_line(it), style, color=colours[it.what], label=it.what, linewidth=1.6)
        axes.set_title(_called(who), fontsize=9)
        axes.set_yscale("log")
        axes.set_xticks([_nines(it) for it in _TICKS], [f"{it:g}" for it in _TICKS], fontsize=8)
        axes.set_xlabel("percentile of calls")
        axes.grid(color="#dddddd", linewidth=0.6)
        _plain_numbers(axes.yaxis)
    furthest = max(_line(it)[0][-1] for it in latencies)
    panels[0].set_xlim(-0.05, max(furthest, _nines(90)) + 0.05)  # shared, as is the other axis
    panels[0].set_ylabel("ms (log scale)")
    _legend_above(canvas, panels[0], 4)
    return canvas


def _line(latency: Latency) -> tuple[list[float], list[float]]:
    """What so many calls can tell: of a hundred there is no percentile 99.9."""
    last = 100 - 100 / max(latency.calls, 2)
    told = [it for it in latency.percentiles if it[0] <= last] or [latency.percentiles[0]]
    return [_nines(it) for it, _ in told], [value for _, value in told]


def _nines(percentile: float) -> float:
    return -log10(max(1 - percentile / 100, 1e-5))


def _times(spent: list[Spent]) -> Canvas | None:
    """Where the processor time goes, as stacked bars."""
    all_known = [it for it in spent if _known_micros(it) > 0][::-1]
    longest = _SAME_SCALE * min((_known_micros(it) for it in all_known), default=0)
    known = [it for it in all_known if _known_micros(it) <= longest]
    if len(known) < 2:
        return None
    canvas, (axes,) = _canvas(1.6 + 0.3 * len(known))
    starts = [0.0] * len(known)
    for name, colour in zip(_parts(known), COLOURS, strict=False):
        lengths = [_part(it, name, known) for it in known]
        axes.barh(
            range(len(known)),
            lengths,
            0.66,
            left=starts,
            color=_GREY if name == REST else colour,
            label=name,
        )
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    names = [f"{it.what}: {_called(it.who)}" for it in known]
    axes.set_yticks(range(len(known)), names, fontsize=8)
    left_out = f" (longer than {longest:,.0f}: left out)" if len(known) < len(all_known) else ""
    axes.set_xlabel(f"µs of processor time a call, without other programs{left_out}")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _legend_above(canvas, axes, 4)
    return canvas


def _known_micros(spent: Spent) -> float:
    return spent.micros() + sum(spent.micros(it) for it in spent.outside if it != OTHERS)


def _parts(spent: Iterable[Spent]) -> list[str]:
    """The seven that take most, and one for the rest."""
    sums: dict[str, float] = {}
    for it in spent:
        for name in (*it.ours, *it.outside):
            if name not in {OTHERS, REST}:
                sums[name] = sums.get(name, 0.0) + it.micros(name)
    return [*sorted(sums, key=lambda name: -sums[name])[:7], REST]


def _part(spent: Spent, name: str, known: list[Spent]) -> float:
    if name != REST:
        return spent.micros(name)
    return _known_micros(spent) - sum(spent.micros(it) for it in _parts(known)[:-1])


def _plain_numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    least, most = axis.get_view_interval()
    if axis.get_scale() == "log" and most / least < _NARROW and axis.axis_name == "y":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend_above(canvas: Canvas, axes: Axes, columns: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(
        handles, labels, loc="outside upper left", ncols=columns, fontsize=8, frameon=False
    )
