"""Torture the store: python -m tests.torture --minutes 2 --seed 7; exits with 1 on a violation."""

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.torture.checker import Violation
from tests.torture.rig import Plan, run

_MOST_SHOWN = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="of faults")
    parser.add_argument("--seed", type=int, help="repeats the faults of a run")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--clients", type=int, default=4, help="processes")
    parser.add_argument("--callers", type=int, default=3, help="threads of each")
    parser.add_argument("--quiet", type=float, default=1.5, help="seconds between faults")
    parser.add_argument("--folder", type=Path, help="keeps logs and indexes (default: a new one)")
    parser.add_argument("--no-holds", action="store_true", help="release no request late")
    parser.add_argument("--bug", default="", help="plant one, to see it found")
    parser.add_argument("--no-failpoints", action="store_true", help="no steps to die at")
    parser.add_argument("--workers", type=int, default=2, help="for each database")
    parser.add_argument("--no-postgres", action="store_true", help="read models in SQLite alone")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed  # noqa: S311
    folder = options.folder or Path(tempfile.mkdtemp(prefix="torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    say(f"seed {seed}, {options.brokers} broker(s), everything is kept in {folder}")
    result = run(
        Plan(
            folder,
            options.minutes * 60,
            seed,
            brokers=options.brokers,
            clients=options.clients,
            callers=options.callers,
            quiet=options.quiet,
            holds=not options.no_holds,
            bug=options.bug,
            failpoints=not options.no_failpoints,
            workers=options.workers,
            postgres=not options.no_postgres,
        ),
        say,
    )
    say(", ".join(f"{count} {name}" for name, count in sorted(result.counts.items())))
    say(f"the slowest client went on {result.longest:.1f} s after the last fault")
    say(f"the slowest read model had all {result.caught_up:.1f} s after the last append")
    show(result.violations)
    again = f"python -m tests.torture {' '.join(sys.argv[1:])}"
    again += "" if options.seed is not None else f" --seed {seed}"
    say(f"{len(result.violations)} violations; logs are in {folder}; again: {again}")
    sys.exit(1 if result.violations else 0)


def show(violations: Sequence[Violation]) -> None:
    """Each promise that was broken, how often, and the first times."""
    promises = Counter(it.promise for it in violations)
    for promise, times in promises.items():
        say(f"VIOLATION, {times} times: {promise}")
        found = [it.what for it in violations if it.promise == promise]
        for what in found[:_MOST_SHOWN]:
            say(f"  {what}")


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


main()
