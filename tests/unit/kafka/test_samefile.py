"""A store reads the one file of an index that it was opened with, or says that it is gone."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventkit.errors import StoreUnavailable
from eventkit.kafka import samefile
from eventkit.kafka.following import Following
from eventkit.kafka.indexfile import LogId, connect_index, delete_index, progress_of
from eventkit.kafka.names import Names
from eventkit.kafka.rule import Home
from eventkit.kafka.samefile import SameFile

HOMES = {("task.events", part): Home("task", part, 2) for part in range(2)}
LOG = LogId(Names().registry, {"task.events": "today's"})
GONE = "was deleted or replaced while this store used it. Close the store and open it again"

Open = Callable[..., Following]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "what? 100%20#1.db"


@pytest.fixture
def opened(index: Path) -> Iterator[Open]:
    """Opens an index as a store does, whose thread is not started: who opens first has the lock."""
    made: list[Following] = []

    def open_index(log: LogId = LOG) -> Following:
        following = Following(index, log, HOMES, {}, timeout=2)
        made.append(following)
        following.prepare()
        return following

    yield open_index
    for it in made:
        it.close()


def delete(index: Path) -> None:
    delete_index(index)


def replace(index: Path) -> None:
    delete_index(index)
    with closing(Following(index, LOG, HOMES, {}, timeout=2)) as other:
        other.prepare()


def move(index: Path) -> None:
    index.rename(index.with_name("moved.db"))


def delete_lock(index: Path) -> None:
    index.with_name(index.name + ".lock").unlink()


def names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM topics")]


@pytest.mark.parametrize("hurt", [delete, replace, move])
def test_no_connection_leads_to_another_file(
    opened: Open, index: Path, hurt: Callable[[Path], None]
) -> None:
    first = opened()
    if hurt is replace:
        first._lock.release()
    with closing(first.connect()) as before:
        hurt(index)
        there = index.exists()
        with pytest.raises(StoreUnavailable, match=GONE):
            first.connect()
        assert names(before) == ["task.events"]
    assert index.exists() is there
    with pytest.raises(StoreUnavailable, match=GONE):
        first.check()


@pytest.mark.parametrize("hurt", [delete, replace, move])
def test_no_connection_leads_to_a_file_that_comes_as_it_is_opened(
    opened: Open, index: Path, hurt: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened()
    first._lock.release()

    def late(path: Path, *, timeout: float) -> sqlite3.Connection:
        monkeypatch.setattr(samefile, "connect_index", connect_index)
        hurt(index)
        return connect_index(path, timeout=timeout)

    monkeypatch.setattr(samefile, "connect_index", late)
    with pytest.raises(StoreUnavailable, match=GONE):
        first.connect()
    assert index.exists() is (hurt is replace)


@pytest.mark.parametrize("hurt", [delete, replace, move, delete_lock])
def test_who_follows_and_who_watches_see_that_the_index_is_gone(
    opened: Open, index: Path, hurt: Callable[[Path], None]
) -> None:
    both = [opened(), opened()]
    for it in both:
        it._look_around()
        it.check()
    if hurt is replace:
        both[0]._lock.release()
    hurt(index)
    for it in both:
        with pytest.raises(StoreUnavailable, match=GONE):
            it._look_around()
        with pytest.raises(StoreUnavailable, match=GONE):
            it.check()


def test_who_follows_no_more_lets_others_follow(opened: Open, index: Path) -> None:
    first = opened()
    delete_index(index)
    first._work()
    with pytest.raises(StoreUnavailable, match=GONE):
        first._view.check()
    second = opened()
    second._look_around()
    assert (first.is_follower, second.is_follower) == (False, True)


@pytest.mark.parametrize("what", ["another log", "an older format", "damage"])
def test_what_is_no_index_of_the_log_is_replaced_by_a_new_file(
    opened: Open, index: Path, what: str
) -> None:
    watcher = opened()
    watcher._lock.release()
    if what == "damage":
        delete_index(index)
        index.write_text("no database" * 100)
    elif what == "an older format":
        with closing(sqlite3.connect(index)) as connection:
            connection.execute("PRAGMA user_version = 1")
    log = LogId(LOG.cluster, {"task.events": "yesterday's"}) if what == "another log" else LOG
    with closing(opened(log).connect()) as connection:
        assert progress_of(connection).keys() == HOMES.keys()
    with pytest.raises(StoreUnavailable, match=GONE):
        watcher._look_around()


def test_who_takes_over_a_damaged_index_leaves_it_to_the_next_store_that_opens(
    opened: Open, index: Path
) -> None:
    first = opened()
    with closing(connect_index(index, timeout=2)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nothing is kept beside the file
    with index.open("r+b") as file:
        file.write(b"no database")
    with pytest.raises(StoreUnavailable, match=r"damaged\. Close the store and open it"):
        first._follow()
    first._lock.release()
    opened()._look_around()
    with pytest.raises(StoreUnavailable, match=GONE):
        first._look_around()


def test_what_a_deleted_index_left_beside_it_is_no_part_of_the_next(
    opened: Open, index: Path
) -> None:
    first = opened()
    beside = [index.with_name(index.name + it) for it in ("-wal", "-shm")]
    before = [it.stat().st_ino for it in beside]
    first._lock.release()
    index.unlink()
    with closing(opened().connect()) as connection:
        assert progress_of(connection).keys() == HOMES.keys()
        assert [it.stat().st_ino for it in beside] != before


def test_the_folder_of_the_process_may_change(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Following(Path(index.name), LOG, HOMES, {}, timeout=2)) as following:
        following.prepare()
        monkeypatch.chdir("/")
        following._look_around()
        following.connect().close()


def test_a_link_leads_to_the_index_also_after_it_was_made_anew(index: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    index.symlink_to(elsewhere)
    for _ in range(2):
        with closing(Following(index, LOG, HOMES, {}, timeout=2)) as following:
            following.prepare()
        assert index.is_symlink()
        elsewhere.write_text("no database" * 100)


def test_nothing_is_held_where_there_is_no_file(tmp_path: Path) -> None:
    file = SameFile(tmp_path / "index.db", 2)
    assert file.hold() is None
    assert not list(tmp_path.iterdir())
