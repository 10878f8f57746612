"""A follower that is frozen while it writes the index: its lock stays, the index stands still."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from uuid import uuid4

import pytest

from eventkit.kafka import store as store_module
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from eventkit.kafka.writing.helping import Helper
from tests.contract.domain import moves, versions
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import QUICK

STALL = 0.3  # seconds until a writer is taken for dead


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores that wait for locks, and for writers, a moment only."""
    monkeypatch.setattr(store_module, "_SQLITE_TIMEOUT", 0.2)
    monkeypatch.setattr(store_module, "Helper", partial(Helper, stall_timeout=STALL))


def awaited(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + SECONDS
    while not condition():
        assert monotonic() < deadline
        sleep(0.01)


@pytest.mark.usefixtures("impatient")
def test_stores_wait_for_a_lock_of_the_index_and_take_nobody_for_dead_meanwhile(
    open_kafka: Callable[[], KafkaStore],
    kafka_address: str,
    names: Names,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    index = tmp_path / "index.db"
    settings = KafkaSettings(kafka_address, QUICK)
    elsewhere = KafkaStore(settings, index=tmp_path / "elsewhere.db", prefix=names.prefix)
    with elsewhere, open_kafka() as follower, open_kafka() as store, ThreadPoolExecutor() as pool:
        store.append("parcel-1", moves("a"))
        follower._following._lock.beat = lambda: None  # type: ignore[method-assign]
        with closing(sqlite3.connect(index, isolation_level=None)) as frozen:
            frozen.execute("BEGIN IMMEDIATE")  # as a process holds it that is frozen by now
            waiting = pool.submit(store.append, "parcel-1", moves("b"), 1)
            seen = monotonic()
            elsewhere.append("parcel-2", moves("a"))
            awaited(lambda: "the index is locked, trying again" in caplog.text)
            awaited(lambda: monotonic() > seen + 3 * STALL)
            assert elsewhere.append("parcel-2", moves("b"), 1).version == 2
            assert not waiting.done()
            frozen.execute("ROLLBACK")
        assert waiting.result(SECONDS).version == 2
        store.wait(elsewhere.append("parcel-2", moves("c"), 2).position)
        assert versions(store.get_events("parcel-2")) == [1, 2, 3]
    assert "ending the transaction" not in caplog.text


def test_who_takes_over_follows_categories_that_were_made_after_it_was_opened(
    open_kafka: Callable[[], KafkaStore], kafka_address: str, names: Names
) -> None:
    with open_kafka() as early:
        assert versions(early.get_events("parcel-1")) == []
        Topics(Cluster(KafkaSettings(kafka_address)), names).create("late", 2, 1)
        with open_kafka() as knows:
            assert knows.append("late-1", moves("a")).version == 1
        awaited(lambda: early._following.is_follower)
        with open_kafka() as other:
            assert other.append("late-1", moves("b"), 1).version == 2
            assert versions(other.get_events("late-1")) == [1, 2]


@pytest.fixture
def no_topics(cluster: Cluster) -> Iterator[Names]:
    """A log that has nothing yet."""
    names = Names(f"{uuid4().hex}.")
    yield names
    found = cluster.admin.list_topics(timeout=SECONDS).topics
    cluster.admin.delete_topics([it for it in found if it.startswith(names.prefix)])


def test_who_was_opened_before_there_were_topics_follows_them_for_all_others(
    no_topics: Names, kafka_address: str, tmp_path: Path
) -> None:
    settings, prefix = KafkaSettings(kafka_address, QUICK), no_topics.prefix
    shared = partial(KafkaStore, settings, index=tmp_path / "index.db", prefix=prefix)

    def read() -> list[int]:
        with shared() as third:
            return versions(third.get_events("late-1"))

    with ThreadPoolExecutor() as pool, shared() as early:  # whose end ends one that waits for it
        Topics(Cluster(settings), no_topics).create("late", 2, 1)
        with shared() as knows:
            awaited(lambda: knows._following.is_follower)
        awaited(lambda: early._following.is_follower)
        with KafkaStore(settings, index=tmp_path / "elsewhere.db", prefix=prefix) as elsewhere:
            elsewhere.append("late-1", moves("a"))
        assert pool.submit(read).result(5) == [1]
