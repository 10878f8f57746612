"""`make bench`: the figures, each beside the one it is compared with."""

from __future__ import annotations

import argparse
import gc
import platform
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.embedded import embedded_figures
from tests.benchmarks.results import Figure


def main() -> None:
    """Measure and print a table."""
    options = _options()
    gc.collect()
    gc.freeze()  # what was imported is no garbage; the same for all that is compared
    console = Console()
    peer = f"eventsourcing {version('eventsourcing')}"
    console.print(
        f"CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"confluent-kafka {version('confluent-kafka')}, {platform.machine()}; beside {peer}. "
        f"SQLite with synchronous=FULL, PostgreSQL with fsync, one Kafka broker on this machine; "
        f"medians of {options.rounds} rounds, taken by turns."
    )
    table = Table("what", "unit", "eventkit", "beside", "its figure", "ratio", "wanted")
    for column in table.columns[2:6:2]:
        column.justify = "right"
    with console.status("measuring ..."):
        for figure in _figures(options):
            table.add_row(*_cells(figure))
            console.print(" ".join(_cells(figure)), style="dim")
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    everything = ["embedded", "kafka", "projections"]
    parser.add_argument("what", nargs="*", default=everything, help=", ".join(everything))
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is measured")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the log that is read")
    parser.add_argument("--memory", type=int, default=200_000, help="appends to see memory stay")
    parser.add_argument("--peer-events", type=int, default=5_000, help="that the peer projects")
    parser.add_argument("--only", help="of Kafka: appending, waiting, contending, reading ...")
    return parser.parse_args()


def _figures(options: argparse.Namespace) -> Iterator[Figure]:
    if "embedded" in options.what:
        yield from embedded_figures(options.rounds)
    if {"kafka", "projections"}.intersection(options.what):
        yield from _on_kafka(options)


def _on_kafka(options: argparse.Namespace) -> Iterator[Figure]:
    # Only here: whoever measures the embedded store needs no broker.
    from tests.benchmarks.kafka_figures import Bench  # noqa: PLC0415
    from tests.benchmarks.projection_figures import ProjectionBench  # noqa: PLC0415
    from tools.broker.cluster import FULL_SPEED, Wanted  # noqa: PLC0415
    from tools.broker.from_jars import start_from_jars  # noqa: PLC0415
    from tools.postgres.sources import choose  # noqa: PLC0415

    with ExitStack() as stack:
        place = tempfile.TemporaryDirectory(prefix="eventkit-bench-", dir=".")
        folder = Path(stack.enter_context(place)).resolve()
        broker = stack.enter_context(start_from_jars(folder / "kafka", Wanted(java=FULL_SPEED)))
        server = choose().make()
        stack.callback(server.close)
        server.start()
        if "kafka" in options.what:
            bench = Bench(
                broker.bootstrap, server.url, rounds=options.rounds, folder=folder,
                events=options.events, memory=options.memory,
            )  # fmt: skip
            yield from getattr(bench, options.only)() if options.only else bench.figures()
        if "projections" in options.what:
            yield from ProjectionBench(
                broker.bootstrap, server.url, rounds=options.rounds, folder=folder,
                events=options.events, peer_events=options.peer_events,
            ).figures()  # fmt: skip


def _cells(figure: Figure) -> list[str]:
    return [
        figure.what, figure.unit, _number(figure.ours), figure.against,
        _number(figure.theirs) if figure.against else "",
        f"{figure.ratio:.2f}" if figure.against else "", figure.wanted,
    ]  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
