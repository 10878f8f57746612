"""A process with eight callers that append to the same eight aggregates as others do."""

from __future__ import annotations

import sys
import threading
from time import monotonic

from eventkit import connect
from tests.benchmarks.subjects import ItemOpened

_CALLERS = 8
_AGGREGATES = 8
_SECONDS = 10.0


def main(url: str, index: str, number: str) -> None:
    """Append for some seconds; print appends a second and the longest wait, in seconds."""
    waits: list[float] = []
    event = ItemOpened(title="wanted by many", owner=number, rank=1)
    with connect(url, index=f"{index}-{number}") as store:
        ends = monotonic() + _SECONDS

        def work(caller: int) -> None:
            turn = caller
            while (began := monotonic()) < ends:
                store.append(f"item-{turn % _AGGREGATES}", [event])
                waits.append(monotonic() - began)
                turn += 1

        callers = [threading.Thread(target=work, args=(it,)) for it in range(_CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    sys.stdout.write(f"{len(waits) / _SECONDS} {max(waits)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
