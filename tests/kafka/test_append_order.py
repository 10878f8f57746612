"""Appends of one call keep their order, also where they race with those of another store."""

import threading
from collections.abc import Callable
from itertools import pairwise

from eventkit import Event
from eventkit.kafka.store import KafkaStore
from eventkit.store import Append, Appended
from tests.kafka.clients import SECONDS

AGGREGATES, ROUNDS, APPENDS = 3, 3, 600


class Counted(Event):
    who: str
    number: int


def test_appends_that_race_stay_in_the_order_of_their_call(
    open_kafka: Callable[[], KafkaStore],
) -> None:
    wrong: list[object] = []

    def append(store: KafkaStore, who: str) -> None:
        for start in range(0, ROUNDS * APPENDS, APPENDS):
            outcomes = store.append_each(
                [
                    Append(f"parcel-{number % AGGREGATES}", [Counted(who=who, number=number)])
                    for number in range(start, start + APPENDS)
                ]
            )
            wrong.extend(it for it in outcomes if not isinstance(it, Appended))

    with open_kafka() as one, open_kafka() as other:
        threads = [threading.Thread(target=append, args=it) for it in ((one, "a"), (other, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert wrong == []
        for aggregate in range(AGGREGATES):
            events = [it.event for it in one.get_events(f"parcel-{aggregate}")]
            for who in "ab":
                numbers = [it.number for it in events if isinstance(it, Counted) and it.who == who]
                assert len(numbers) == ROUNDS * APPENDS // AGGREGATES
                assert all(before < after for before, after in pairwise(numbers))
