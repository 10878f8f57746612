"""A process that appends until it is told to stop, and prints what came of it."""

import json
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from eventkit.errors import ConcurrencyError, OutcomeUnknown, StoreBusy, StoreUnavailable
from tests.kafka.writer_kit import Desk, Topic

stop = threading.Event()


def say(*what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def append(desk: Desk, choose: random.Random, aggregates: int) -> None:
    """One append: half of them expect a version; one whose outcome is unknown is done again."""
    name = f"task-{choose.randrange(aggregates)}"
    expected = desk.index.versions[name] if choose.random() < 0.5 else None
    more: dict[str, Any] = {"events": choose.choice([1, 1, 1, 3])}
    while True:
        try:
            done = desk.append(name, expected, **more)
        except ConcurrencyError:
            say("lost", name, expected)
        except OutcomeUnknown as error:
            more = {"event_ids": error.event_ids}
            continue
        except (StoreBusy, StoreUnavailable) as error:
            say("refused", str(error))
        else:
            place = [done.position.topic, done.position.partition, done.position.offset]
            say("ack", name, done.version, place, [str(it) for it in done.event_ids])
        return


def work(desk: Desk, number: int, aggregates: int) -> None:
    choose = random.Random(number)  # noqa: S311
    while not stop.is_set():
        append(desk, choose, aggregates)


def run(work: Callable[[Desk, int, int], None]) -> None:
    """Call `work(desk, number, aggregates)` in threads until the process is told to stop."""
    address, name, partitions, callers, aggregates = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Desk(Topic(address, name, int(partitions))) as desk:
        desk.catch_up()
        say("ready", desk.writer_id)
        threads = [
            threading.Thread(target=work, args=(desk, number, int(aggregates)))
            for number in range(int(callers))
        ]
        for thread in threads:
            thread.start()
        while not stop.wait(1):  # after SIGCONT, another thread may have been given the SIGTERM
            pass
        for thread in threads:
            thread.join()
        say("rejected", desk.tail.rejected)


if __name__ == "__main__":
    run(work)
