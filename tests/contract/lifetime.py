"""Opening, closing, opening again; and what cannot be done to a store at all."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from eventkit import Append, EventStore, Position, Repository
from eventkit.errors import StoreClosed
from tests.contract.base import Contract
from tests.contract.domain import OpenStore, Parcel, moves, places

DUTIES = {
    "append", "append_all", "append_each", "close", "get_events", "replay", "snapshots",
    "subscribe", "types", "wait",
}  # fmt: skip

CHANGES_HISTORY = (
    "alter", "amend", "clear", "compact", "delete", "discard", "drop", "edit", "erase", "overwrite",
    "patch", "purge", "put", "remove", "replace", "reset", "rewrite", "rollback", "set", "trim",
    "truncate", "undo", "update", "upsert", "vacuum", "write",
)  # fmt: skip

EACH_USE: dict[str, Callable[[EventStore], Any]] = {
    "append": lambda store: store.append("parcel-1", moves("b")),
    "append_each": lambda store: store.append_each([Append("parcel-1", moves("b"))]),
    "append_all": lambda store: store.append_all([Append("parcel-1", moves("b"))]),
    "get_events": lambda store: store.get_events("parcel-1"),
    "replay": lambda store: list(store.replay()),
    "subscribe": lambda store: next(store.subscribe()),
    "wait": lambda store: store.wait(Position("parcel.events", 0, 1)),
    "load_snapshot": lambda store: store.snapshots.load_snapshot("parcel-1"),
    "repository": lambda store: Repository(store, Parcel, snapshot_every=1).get("parcel-1"),
}


class LifetimeContract(Contract):
    def test_a_store_opened_again_holds_what_was_appended(self, open_store: OpenStore) -> None:
        with open_store() as store:
            store.append("parcel-1", moves("a", "b"))
            before = list(store.replay())
        with open_store() as store:
            assert list(store.replay()) == before
            assert store.append("parcel-1", moves("c"), expected_version=2).version == 3

    def test_two_stores_at_once_append_to_the_same_history(self, open_store: OpenStore) -> None:
        with open_store() as one, open_store() as two:
            for version in range(0, 20, 2):
                one.append("parcel-1", moves("one"), expected_version=version)
                two.append("parcel-1", moves("two"), expected_version=version + 1)
            assert places(one.get_events("parcel-1")) == ["one", "two"] * 10
            assert places(two.get_events("parcel-1")) == ["one", "two"] * 10

    def test_closing_again_does_nothing(self, open_store: OpenStore) -> None:
        store = open_store()
        store.close()
        store.close()

    def test_a_store_that_was_never_used_can_be_closed(self, open_store: OpenStore) -> None:
        with open_store():
            pass

    def test_a_closed_store_says_so(self, open_store: OpenStore, subtests: pytest.Subtests) -> None:
        with open_store() as store:
            store.append("parcel-1", moves("a"))
        for name, use in EACH_USE.items():
            with subtests.test(name), pytest.raises(StoreClosed, match="is closed"):
                use(store)

    def test_closing_one_store_leaves_the_others_of_the_process_open(
        self, open_store: OpenStore
    ) -> None:
        with open_store() as store:
            open_store().close()
            store.append("parcel-1", moves("a"))
            open_store().close()
            assert places(store.get_events("parcel-1")) == ["a"]

    def test_appends_that_meet_a_close_are_recorded_or_refused(self, open_store: OpenStore) -> None:
        store = open_store()
        begun = threading.Semaphore(0)

        def work(number: int) -> int:
            for acknowledged in range(1_000_000):
                try:
                    store.append(f"parcel-{number}", moves("a"), expected_version=acknowledged)
                except StoreClosed:
                    return acknowledged
                begun.release()
            raise AssertionError("never closed")

        with ThreadPoolExecutor(50) as pool:
            acknowledged = [pool.submit(work, number) for number in range(50)]
            for _ in range(100):
                begun.acquire()
            store.close()
            expected = {number: future.result() for number, future in enumerate(acknowledged)}
        with open_store() as store:
            found = {number: len(store.get_events(f"parcel-{number}")) for number in range(50)}
        assert found == expected

    def test_threads_that_close_at_once_do_it_once(self, open_store: OpenStore) -> None:
        store = open_store()
        store.append("parcel-1", moves("a"))
        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(store.close) for _ in range(8)]:
                future.result()

    def test_the_seam_has_three_duties_and_no_more(self) -> None:
        assert {name for name in vars(EventStore) if not name.startswith("_")} == DUTIES

    def test_nothing_a_store_offers_changes_history(self, store: EventStore) -> None:
        offered = {name for name in dir(store) if not name.startswith("_")}
        assert {it for it in offered if it.startswith(CHANGES_HISTORY)} == set()
