"""Runs the model for as long as one likes: `python -m tests.model --minutes 60 --seed 7`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from contextlib import nullcontext
from itertools import count
from time import monotonic, process_time

from tests.model.bugs import BUGS, planted
from tests.model.shrinking import shortest, story
from tests.model.world import numbers_of, run


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first run")
    parser.add_argument("--length", type=int, default=250, help="choices of a run, faults too")
    parser.add_argument("--bug", choices=list(BUGS), help="put into the protocol")
    return parser.parse_args()


def main() -> int:
    """Make runs until time is over or a promise is broken; 1 if one is."""
    asked = _arguments()
    end, began = monotonic() + asked.minutes * 60, process_time()
    done: Counter[str] = Counter()
    with planted(asked.bug) if asked.bug else nullcontext():
        for seed in count(asked.seed):
            numbers = numbers_of(seed, asked.length)
            outcome = run(numbers)
            done["runs"] += 1
            done["steps"] += outcome.steps
            if outcome.violation is not None:
                short, outcome = shortest(numbers)
                _say(f"run {seed}, the {done['runs']}th, shortened to {short}:\n{story(outcome)}")
                return 1
            if monotonic() > end:
                break
    rate = done["runs"] / (process_time() - began)
    _say(f"{done['runs']:,} runs, {done['steps']:,} steps, {rate:.0f} runs a second: all well")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
