"""A process that appends to several aggregates together until it is told to stop."""

import random

from eventkit.errors import ConcurrencyError, OutcomeUnknown, StoreBusy, StoreUnavailable
from eventkit.kafka.inflight import Waiting
from eventkit.store import Appended
from tests.kafka.writer_kit import Desk
from tests.kafka.writing_process import run, say, stop


def append_all(desk: Desk, choose: random.Random, names: list[str]) -> None:
    """One `append_all`: half of them expect versions; one that is not known is done again."""
    expects = choose.random() < 0.5
    appends = [
        desk.waiting(name, desk.index.versions[name] if expects else None, choose.choice([1, 1, 3]))
        for name in names
    ]
    while True:
        try:
            done = desk.append_all(appends)
        except ConcurrencyError:
            say("lost", *names)
        except OutcomeUnknown:
            appends = [again(desk, it) for it in appends]
            continue
        except (StoreBusy, StoreUnavailable) as error:
            say("refused", str(error))
        else:
            for it in done:
                tell(it)
        return


def again(desk: Desk, it: Waiting) -> Waiting:
    return desk.waiting(it.aggregate_id, it.expected, event_ids=it.event_ids)


def tell(done: Appended) -> None:
    place = [done.position.topic, done.position.partition, done.position.offset]
    say("ack", done.aggregate_id, done.version, place, [str(it) for it in done.event_ids])


def work(desk: Desk, number: int, aggregates: int) -> None:
    """The last caller appends to one aggregate at a time, as a normal rival."""
    choose = random.Random()  # noqa: S311
    names = [f"task-{it}" for it in range(aggregates)]
    while not stop.is_set():
        if number == 0:
            append_all(desk, choose, choose.sample(names, choose.choice([2, 3])))
        else:
            tell(desk.append(choose.choice(names)))
            stop.wait(0.02)


if __name__ == "__main__":
    run(work)
