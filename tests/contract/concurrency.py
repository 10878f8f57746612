"""Many callers at once: one winner for each version, no gap, and nobody misled."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random

from eventkit import ConcurrencyError, EventStore
from tests.contract.base import Contract
from tests.contract.domain import OpenStore, by_aggregate, moves, places, versions


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Run some work in threads that begin together, and raise what one of them raised."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(begin, number) for number in range(count)]:
            future.result()


def won_by(racer: int, store: EventStore, rounds: int) -> Iterator[tuple[str, int, str]]:
    """Race for the next version of few aggregates; yield what was won: id, version and mark."""
    random = Random(racer)  # noqa: S311 - a repeatable choice
    for turn in range(rounds):
        aggregate_id = f"parcel-{random.randrange(3)}"
        version = len(store.get_events(aggregate_id))
        mark = f"racer {racer} turn {turn}"
        try:
            done = store.append(aggregate_id, moves(mark), expected_version=version)
        except ConcurrencyError as error:
            assert error.actual > version  # noqa: PT017 - losing is one of two good outcomes
        else:
            yield aggregate_id, done.version, mark


def assert_only_winners_are_recorded(store: EventStore, won: list[tuple[str, int, str]]) -> None:
    recorded = [(item.aggregate_id, item.version, *places([item])) for item in store.replay()]
    assert sorted(recorded) == sorted(won)
    for items in by_aggregate(store.replay()).values():
        assert versions(items) == [*range(1, len(items) + 1)]


class ConcurrencyContract(Contract):
    def test_each_version_has_one_winner_among_threads(self, store: EventStore) -> None:
        won: list[tuple[str, int, str]] = []
        in_threads(8, lambda racer: won.extend(won_by(racer, store, 60)))
        assert len(won) >= 60
        assert_only_winners_are_recorded(store, won)

    def test_each_version_has_one_winner_among_stores(self, open_store: OpenStore) -> None:
        won: list[tuple[str, int, str]] = []
        with ExitStack() as stack:
            stores = [stack.enter_context(open_store()) for _ in range(4)]
            in_threads(8, lambda racer: won.extend(won_by(racer, stores[racer % 4], 30)))
            for store in stores:
                assert_only_winners_are_recorded(store, won)

    def test_who_expects_no_version_never_loses(self, store: EventStore) -> None:
        in_threads(
            8, lambda n: [store.append("parcel-1", moves(str(n))) for _ in range(25)] and None
        )
        recorded = store.get_events("parcel-1")
        assert versions(recorded) == [*range(1, 201)]
        assert Counter(places(recorded)) == {str(number): 25 for number in range(8)}

    def test_fifty_callers_each_get_the_result_of_their_own_append(self, store: EventStore) -> None:
        def work(number: int) -> None:
            for turn in range(1, 11):
                mark = f"{number}.{turn}"
                done = store.append(f"parcel-{number}", moves(mark), expected_version=turn - 1)
                (mine,) = store.get_events(f"parcel-{number}", from_version=turn)
                assert (done.version, done.position) == (turn, mine.position)
                assert done.event_ids == (mine.event_id,)
                assert places([mine]) == [mark]

        in_threads(50, work)
        found = by_aggregate(store.replay())
        assert {key: len(items) for key, items in found.items()} == {
            f"parcel-{number}": 10 for number in range(50)
        }

    def test_a_refused_append_does_not_disturb_those_it_meets(self, store: EventStore) -> None:
        store.append("parcel-0", moves("a"))
        refused: list[ConcurrencyError] = []

        def work(number: int) -> None:
            for turn in range(10):
                if number % 2:
                    store.append(f"parcel-{number}", moves("a"), expected_version=turn)
                else:
                    try:
                        store.append("parcel-0", moves("x"), expected_version=0)
                    except ConcurrencyError as error:
                        refused.append(error)

        in_threads(20, work)
        assert Counter((it.aggregate_id, it.actual) for it in refused) == {("parcel-0", 1): 100}
        assert places(store.get_events("parcel-0")) == ["a"]
        assert sum(1 for _ in store.replay()) == 101

    def test_readers_see_whole_appends_and_never_step_back(
        self, store: EventStore, open_store: OpenStore
    ) -> None:
        done = threading.Event()

        def write() -> None:
            try:
                for _ in range(100):
                    store.append("parcel-1", moves(*"abc"))
            finally:
                done.set()

        def read(reader: EventStore) -> None:
            seen = 0
            while not done.is_set():
                for recorded in (reader.get_events("parcel-1"), [*reader.replay()]):
                    assert versions(recorded) == [*range(1, len(recorded) + 1)]
                    assert len(recorded) % 3 == 0
                    assert len(recorded) >= seen
                    seen = len(recorded)

        with open_store() as other:
            work: list[Callable[[], None]] = [
                write,
                lambda: read(store),
                lambda: read(other),
                lambda: read(other),
            ]
            in_threads(4, lambda number: work[number]())

    def test_the_appends_of_one_caller_keep_their_order(self, store: EventStore) -> None:
        def work(number: int) -> None:
            for turn in range(20):
                store.append("parcel-1", moves(f"{number}.{turn:02}"))

        in_threads(8, work)
        found = places(store.get_events("parcel-1"))
        for number in range(8):
            own = [place for place in found if place.startswith(f"{number}.")]
            assert own == [f"{number}.{turn:02}" for turn in range(20)]
