"""The report of a run: Markdown, plots and the raw figures, in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.benchmarks.machine import Load
from tests.benchmarks.plots import draw
from tests.benchmarks.record import Record
from tests.benchmarks.results import Figure, Latency
from tests.benchmarks.spending import Spent
from tests.benchmarks.steps import Section
from tests.benchmarks.tables import (
    FIGURES,
    LATENCIES,
    SPENT,
    figure_row,
    latency_row,
    ratios_first,
    spent_row,
    text_rows,
)
from tests.benchmarks.texts import distance, summary


def write(record: Record, folder: Path) -> Path:
    """Write all of it; returns the file to read first."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    plots = draw(record, folder)
    raw = json.dumps(record.raw(), indent=1)
    (folder / "figures.json").write_text(f"{raw}\n", encoding="utf-8")
    path = folder / "report.md"
    path.write_text("\n".join(_lines(record, plots)) + "\n", encoding="utf-8")
    return path


def warnings(record: Record) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    if record.quick:
        found.append("This was a quick run: few events, one round. It shows that all works.")
    if record.interrupted:
        found.append("The run was ended early: what is missing was not measured.")
    if record.noise:
        found.append(f"The machine was not quiet: {'; '.join(record.noise)}.")
    return found + [f"Not measured: {problem}" for problem in record.problems]


def _lines(record: Record, plots: Mapping[str, list[str]]) -> Iterator[str]:
    figures = list(record.all(Figure))
    yield from ("# Benchmarks of eventkit", "")
    for warning in warnings(record):
        yield from (f"**{_on_one_line(warning)}**", "")
    yield from (summary(figures), "")
    yield from _table(FIGURES, [figure_row(it) for it in ratios_first(figures)])
    yield (
        "Values are medians of the rounds, with the least and the most. A ratio says how many "
        "times better eventkit is, the median of the ratios of the rounds; what is compared was "
        "measured by turns."
    )
    yield ""
    yield from _pictures(plots.get("", []))
    for section in record.found:
        yield from _section(record, section, plots.get(section.name, []))
    yield from _circumstances(record)


def _section(record: Record, section: Section, plots: list[str]) -> Iterator[str]:
    spent = list(record.of(section, Spent))
    yield from (f"## {section.title}", "", section.about, "")
    yield from _table(FIGURES, [figure_row(it) for it in record.of(section, Figure)])
    latencies = [latency_row(it) for it in record.of(section, Latency)]
    if latencies:
        yield from ("Latency of single calls, in ms:", "")
        yield from _table(LATENCIES, latencies)
    yield from _pictures(plots)
    made_of = f"{distance(spent)} {section.distance}".strip()
    if made_of:
        yield from ("### What the distance is made of", "", made_of, "")
    if spent:
        yield from ("Processor time, in µs a call:", "")
        yield from _table(SPENT, [spent_row(it) for it in spent])


def _circumstances(record: Record) -> Iterator[str]:
    sizes = record.sizes
    yield from ("## How it was measured", "")
    told = {
        "began": f"{record.began:%Y-%m-%d %H:%M} UTC",
        "took": f"{record.seconds / 60:.1f} min",
        "repeat": f"`{record.command}`",
        "rounds": f"{sizes.rounds}; {sizes.long_rounds} of what reads the whole log",
        "log": f"{sizes.events:,} events, 10 to an aggregate",
        **record.machine,
        "load before": _load(record.before),
        "load after": _load(record.after),
        "other programs meanwhile": f"{record.others:.0%} of the cores",
        **record.versions,
    }
    yield from _table(("what", "value"), list(told.items()))


def _load(load: Load | None) -> str:
    if load is None:
        return "not told"
    averages = ", ".join(f"{it:.2f}" for it in load.averages)
    return f"{averages} (1, 5, 15 min); cores {load.busy:.0%} busy"


def _table(header: tuple[str, ...], rows: list[list[str]] | list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield from (*text_rows(header, rows), "")


def _pictures(names: list[str]) -> Iterator[str]:
    for name in names:
        yield from (f"![{Path(name).stem.replace('-', ' ')}]({name})", "")


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
