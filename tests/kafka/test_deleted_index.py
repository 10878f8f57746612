"""An index that is deleted under running stores: each call tells so, and none reads less."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import pytest

from eventkit.errors import EventkitError, OutcomeUnknown, StoreUnavailable
from eventkit.kafka.store import KafkaStore
from eventkit.store import Append, Appended
from tests.contract.domain import moves
from tests.kafka.clients import SECONDS

Open = Callable[[], KafkaStore]
GONE = "was deleted or replaced while this store used it. Close the store and open it again"
SOON = 2.0
KNOWN = 3
ALL, BUT_THE_LOCK = ("", "-shm", "-wal", ".lock"), ("", "-shm", "-wal")


def delete(index: Path, *suffixes: str) -> None:
    for suffix in suffixes:  # in the order of `rm index.db*`
        index.with_name(index.name + suffix).unlink()


def until_told(call: Callable[[], object]) -> None:
    """Call until it says that the index is gone."""
    told, deadline = "", monotonic() + SOON
    while not told:
        assert monotonic() < deadline
        try:
            call()
        except EventkitError as error:
            told = str(error)
    assert GONE in told


@pytest.mark.parametrize("thirds", [0, 1], ids=["alone", "opened again"])
@pytest.mark.parametrize("files", [ALL, BUT_THE_LOCK, ("",)], ids=["all", "no lock", "one"])
def test_who_used_a_deleted_index_is_told_and_reads_no_less(
    open_kafka: Open, tmp_path: Path, files: tuple[str, ...], thirds: int
) -> None:
    with open_kafka() as follower, open_kafka() as watcher:
        for version in range(KNOWN):
            follower.append("parcel-1", moves("a"), version)
        stores = (follower, watcher)
        for store in stores:
            assert len(store.get_events("parcel-1")) == KNOWN
        delete(tmp_path / "index.db", *files)
        for _ in range(thirds):
            with open_kafka() as third:
                assert len(third.get_events("parcel-1")) == KNOWN
                third.append("parcel-1", moves("b"), KNOWN)
                for store in stores:
                    until_told(partial(read_twice, store))
        for store in stores:
            until_told(partial(read_twice, store))
            until_told(partial(store.append, "parcel-2", moves("a")))
            until_told(partial(next, store.replay()))
    with open_kafka() as store:
        assert len(store.get_events("parcel-1")) == KNOWN + thirds


def read_twice(store: KafkaStore) -> None:
    """Read by a connection of before and by a new one, at one time."""
    with store._log.reading():
        assert len(store.get_events("parcel-1")) >= KNOWN


def test_appends_that_are_under_way_end(open_kafka: Open, tmp_path: Path) -> None:
    ends: list[Appended | EventkitError] = []
    with open_kafka() as follower, open_kafka() as watcher:
        for number in range(50):
            for store in (follower, watcher):
                store.append_soon(Append(f"parcel-{number}", moves("a")), ends.append)
        delete(tmp_path / "index.db", *ALL)
        deadline = monotonic() + SECONDS
        while len(ends) < 100:
            assert monotonic() < deadline
            sleep(0.01)
    done = {it.aggregate_id: it.version for it in ends if isinstance(it, Appended)}
    assert all(isinstance(it, (Appended, StoreUnavailable, OutcomeUnknown)) for it in ends)
    with open_kafka() as store:
        assert all(len(store.get_events(it)) >= version for it, version in done.items())
