"""A process with eight callers that append to the same eight aggregates as others do."""

from __future__ import annotations

import json
import sys
import threading
from time import monotonic, process_time

from eventkit import connect
from tests.benchmarks.subjects import ItemOpened

_CALLERS = 8
_AGGREGATES = 8


def main(url: str, index: str, number: str, seconds: str) -> None:
    """Append for so many seconds; print how long each took, and the processor time of all."""
    waits: list[float] = []
    event = ItemOpened(title="wanted by many", owner=number, rank=1)
    with connect(url, index=f"{index}-{number}") as store:
        ends = monotonic() + float(seconds)

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
    json.dump({"waits": waits, "cpu": process_time()}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
