"""A process that runs side effects and dies around one: `python -m tests.projection.dying_effects`.

Arguments: the store's file, the read models' URL, the file of what was sent, the point, and how
many times to pass it before.
"""

import sys
from pathlib import Path

from eventkit import RecordedEvent
from eventkit.projection import ReadModels, Runner, effect
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited
from tests.projection.dying import Passes


def main(store: str, models: str, sent: str, point: str, left: str) -> None:
    """Run to the end of the log, or die; what was sent is appended to the file."""
    passed = Passes(int(left))

    class Mailing(Balances):
        @effect(Deposited)
        def mailed(self, recorded: RecordedEvent) -> None:
            if point == "before the effect":
                passed()
            with Path(sent).open("a", encoding="utf-8") as file:
                file.write(f"{recorded.aggregate_id} {recorded.version}\n")
            if point == "after the effect":
                passed()

    Runner(Mailing(), SqliteStore(store), ReadModels(models)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
