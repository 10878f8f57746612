"""A projection worker in a process of its own; begins when it is told to."""

from __future__ import annotations

import gc
import json
import sys
import threading
from time import perf_counter, process_time

from eventkit import connect
from eventkit.projection import Progress, ReadModels, Runner
from eventkit.projection.runner import Share
from tests.benchmarks.memory import resident
from tests.benchmarks.read_models import PROJECTIONS

_SETTLED = 0.5
"""The part of a rebuild after which memory should grow no more."""


def main(url: str, models_url: str, name: str, number: str, workers: str) -> None:
    """Run one share of a projection to the end of the log, or, as share 0, follow it.

    Says that it is ready, waits for a line, works, and prints a line of JSON: how many events,
    seconds, seconds of CPU, and bytes by which its memory grew in the second half.
    """
    with connect(url) as store, ReadModels(models_url) as models:
        runner = Runner(PROJECTIONS[name](), store, models)
        if not int(number):
            _follow(runner)
            return
        _say("ready")
        sys.stdin.readline()
        memory: list[int] = []

        def look(progress: Progress) -> None:
            if not memory and progress.done >= progress.total * _SETTLED:
                memory.append(resident())

        gc.freeze()  # as the benchmarks do for all that is compared
        began, cpu = perf_counter(), process_time()
        events = runner.run(look, Share(int(number), int(workers)))
        done = {
            "events": events,
            "seconds": perf_counter() - began,
            "cpu": process_time() - cpu,
            "grown": resident() - memory[0] if memory else 0,
        }
        _say(json.dumps(done))


def _follow(runner: Runner) -> None:
    stop = threading.Event()

    def wait_for_parent() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_parent, daemon=True).start()
    _say("ready")
    runner.follow(stop)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
