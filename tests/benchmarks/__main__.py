"""`make bench`: the figures, each beside the one it is compared with."""

from __future__ import annotations

import argparse
import platform
import sqlite3
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import all_results


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is measured")
    rounds = parser.parse_args().rounds
    peer = f"eventsourcing {version('eventsourcing')}"
    console = Console()
    console.print(
        f"CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.machine()}; embedded store beside {peer} with its SQLite persistence, "
        f"both with synchronous=FULL; medians of {rounds} rounds, taken by turns."
    )
    table = Table("what", "unit", "eventkit", peer, "ratio", "wanted")
    for column in table.columns[2:]:
        column.justify = "right"
    with console.status("measuring ..."):
        for result in all_results(rounds):
            table.add_row(
                result.what,
                result.unit,
                f"{result.ours:,.0f}",
                f"{result.peer:,.0f}",
                f"{result.ratio:.1f}",
                f"{result.wanted:g}",
            )
    console.print(table)


if __name__ == "__main__":
    main()
