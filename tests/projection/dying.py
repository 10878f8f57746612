"""A process that runs `Balances` and dies at a chosen point: `python -m tests.projection.dying`.

Arguments: the store's file, the read models' URL, the point, how many times to pass it before, and
`run` or `rebuild`.
"""

import os
import signal
import sys

from sqlalchemy import event

from eventkit import RecordedEvent
from eventkit.projection import ReadModels, Runner, Transaction, worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances

BATCH = 10


class Passes:
    """Counts how often a point is passed, and lets the process die there when it was enough."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, *_args: object) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def main(store: str, models: str, point: str, left: str, what: str) -> None:
    """Run or rebuild to the end of the log, or die; one line is printed for each batch."""
    worker._FIRST = worker._LARGEST = BATCH
    passed = Passes(int(left))

    class Dying(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            if point == "in a handler":
                passed()

    read_models = ReadModels(models)
    match point:
        case "before a commit":
            event.listen(read_models._writer, "commit", passed)
        case "after a commit":
            event.listen(read_models._writer.pool, "checkin", passed)
    runner = Runner(Dying(), SqliteStore(store), read_models)
    run = runner.rebuild if what == "rebuild" else runner.run
    run(lambda seen: print(seen.done, flush=True))  # noqa: T201 - what the test waits for


if __name__ == "__main__":
    main(*sys.argv[1:])
