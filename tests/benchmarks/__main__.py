"""`make bench`: all figures as one report, each beside the one it is compared with."""

from __future__ import annotations

import argparse
import gc
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks import embedded, kafka_appending, kafka_reading, projection_figures
from tests.benchmarks.kit import QUICK, Kit, Sizes
from tests.benchmarks.machine import load_now, machine, versions
from tests.benchmarks.record import Record
from tests.benchmarks.report import warnings, write
from tests.benchmarks.results import Figure
from tests.benchmarks.run import measure
from tests.benchmarks.steps import Step
from tests.benchmarks.tables import SHORT, ratios_first, short_row
from tests.benchmarks.texts import summary

_PARTS: dict[str, Sequence[Callable[[Kit], Iterator[Step]]]] = {
    "embedded": (embedded.steps,),
    "kafka": (kafka_appending.steps, kafka_reading.steps),
    "projections": (projection_figures.steps,),
}
_INTERRUPTED = 130
_FILE_WIDTH = 140


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write a report.

    Returns 0, or 1 where something could not be measured, or 130 after Ctrl-C.
    """
    options = _options(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)
    options.into.mkdir(parents=True, exist_ok=True)
    console.print("looking at the machine ...")
    command = shlex.join(["python", "-m", "tests.benchmarks", *(arguments or sys.argv[1:])])
    seconds = 1.0 if options.quick else 3.0
    record = Record(
        datetime.now(UTC), command, options.quick, _sizes(options), machine(options.into),
        versions(None, None), load_now(seconds),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(
        prefix="work-", dir=options.into, ignore_cleanup_errors=True
    ) as folder:
        with Kit(Path(folder).resolve(), record.sizes) as kit:
            measure(_steps(kit, options), kit, record, console)
        record.after = None if record.interrupted else load_now(seconds)
    _show(record, console)
    console.print(f"report: {write(record, options.into)}", highlight=False)
    if record.interrupted:
        return _INTERRUPTED
    return 1 if record.problems else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", choices=[[], *_PARTS], help="all unless given")
    parser.add_argument("--quick", action="store_true", help="few events, one round: < 3 minutes")
    parser.add_argument("--into", type=Path, default=Path(".bench"), help="the report's folder")
    parser.add_argument("--only", default="", help="steps that have this in their name")
    parser.add_argument("--rounds", type=int, help="how often each figure is measured")
    parser.add_argument("--events", type=int, help="of the log that is read")
    parser.add_argument("--memory", type=int, help="appends to see memory stay")
    parser.add_argument("--peer-events", type=int, help="that the peer projects")
    return parser.parse_args(arguments)


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = QUICK if options.quick else Sizes()
    given = {name: getattr(options, name) for name in ("events", "memory", "peer_events")}
    if options.rounds is not None:
        given |= {"rounds": options.rounds, "long_rounds": options.rounds}
    return replace(sizes, **{name: value for name, value in given.items() if value is not None})


def _steps(kit: Kit, options: argparse.Namespace) -> list[Step]:
    return [
        step
        for part in options.what or _PARTS
        for steps in _PARTS[part]
        for step in steps(kit)
        if options.only.lower() in step.name.lower()
    ]


def _show(record: Record, console: Console) -> None:
    table = Table(*SHORT)
    table.columns[0].justify = "right"
    for figure in ratios_first(record.all(Figure)):
        table.add_row(*short_row(figure))
    console.print(table)
    console.print(summary(list(record.all(Figure))), highlight=False, markup=False)
    for warning in warnings(record):
        console.print(warning, style="yellow", markup=False)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # what was imported is no garbage; the same for all that is compared
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the first figure, or twice
        sys.exit(_INTERRUPTED)
