"""No room, no lock, no right to write: the append is refused, and all before it is safe."""

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import pytest

from eventkit import Repository
from eventkit.errors import StoreBusy, StoreUnavailable
from eventkit.sqlite import SqliteStore, snapshots
from eventkit.store import Snapshot
from tests.contract.domain import Parcel, moves, places
from tests.unit.source import ROOT

LARGE = "x" * 100_000


@contextmanager
def room_for(store: SqliteStore, pages: int) -> Iterator[None]:
    """Let the file of a store grow by some pages only."""
    (now,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {now + pages}")
    yield
    store._connection.execute("PRAGMA max_page_count = 1000000")


def fill(store: SqliteStore) -> int:
    """Append until there is no room; return how many appends were acknowledged."""
    for count in range(1_000):
        try:
            store.append("parcel-1", moves(f"{count} {LARGE}"), expected_version=count)
        except StoreUnavailable as error:
            assert "no room to write" in str(error)  # noqa: PT017 - the end of the loop
            return count
    raise AssertionError("never full")


def test_a_full_disk_refuses_the_append_and_keeps_what_was_before(
    store: SqliteStore, file: Path
) -> None:
    store.append("parcel-2", moves("a"))
    with room_for(store, pages=60):
        count = fill(store)
        assert len(store.get_events("parcel-1")) == count
        with pytest.raises(StoreUnavailable) as caught:
            store.append("parcel-2", moves(LARGE))
        assert str(caught.value) == (
            f"no room to write {file}: the disk, or a limit set for the file, is full. Nothing of "
            "this append was written, everything before it is safe; make room and try again."
        )
        assert places(store.get_events("parcel-2")) == ["a"]
    assert store.append("parcel-1", moves(LARGE), expected_version=count).version == count + 1


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Mount a disk of 1 MB; only root can."""
    folder = Path(tempfile.mkdtemp())
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("a small disk can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - a tool of the system
        folder.rmdir()


def test_a_disk_that_is_really_full_refuses_the_append_too(small_disk: Path) -> None:
    file, ballast = small_disk / "events.db", small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    with SqliteStore(file) as store:
        store.append("parcel-2", moves("a"))
        count = fill(store)
        assert len(store.get_events("parcel-1")) == count
        ballast.unlink()
        assert store.append("parcel-1", moves(LARGE), expected_version=count).version == count + 1
    with SqliteStore(file) as store:
        assert len(store.get_events("parcel-1")) == count + 1
        assert places(store.get_events("parcel-2")) == ["a"]


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the write lock, as a long transaction of another program would."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_a_lock_that_is_held_too_long_refuses_the_append(file: Path, timeout: float) -> None:
    with SqliteStore(file, timeout=timeout) as store:
        store.append("parcel-1", moves("a"))
        with locked(file):
            with pytest.raises(StoreBusy) as caught:
                store.append("parcel-1", moves("b"))
            assert str(caught.value) == (
                f"{file} stayed locked by another process for longer than the time-out; nothing "
                "was written. Try again, or find the process that holds it."
            )
            assert caught.value.retryable
            assert places(store.get_events("parcel-1")) == ["a"]
        assert store.append("parcel-1", moves("c")).version == 2


def test_a_snapshot_that_cannot_be_written_leaves_the_store_as_it_was(
    store: SqliteStore, file: Path
) -> None:
    snapshot = Snapshot("parcel-1", 1, b"", datetime.now(UTC), "fold")
    store.snapshots.save_snapshot(snapshot)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON snapshots BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
    with pytest.raises(StoreUnavailable):
        store.snapshots.save_snapshot(replace(snapshot, version=2))
    assert store.snapshots.load_snapshot("parcel-1") == snapshot
    assert store.append("parcel-1", moves("a")).version == 1


def test_loads_do_not_wait_for_each_other_where_no_snapshot_can_be_written(
    store: SqliteStore, file: Path
) -> None:
    loads = 200
    for number in range(loads):
        store.append(f"parcel-{number}", moves("a"))
    repository = Repository(store, Parcel, snapshot_every=1)
    with locked(file), ThreadPoolExecutor(loads) as threads:
        before = monotonic()
        found = list(threads.map(repository.get, [f"parcel-{number}" for number in range(loads)]))
        assert monotonic() - before < 15  # one after the other they would wait for 20 s
        assert [parcel.places for parcel in found] == [["a"]] * loads


def test_snapshots_are_written_again_some_time_after_a_lock(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_PAUSE", 0.3)
    snapshot = Snapshot("parcel-1", 1, b"", datetime.now(UTC), "fold")
    with locked(file), pytest.raises(StoreBusy):
        store.snapshots.save_snapshot(snapshot)
    deadline = monotonic() + 30
    while monotonic() < deadline:
        try:
            store.snapshots.save_snapshot(snapshot)
            break
        except StoreBusy as error:  # to ask does not put it off
            assert "due again at the next load" in str(error)  # noqa: PT017 - for as long as it is
        sleep(0.05)
    assert store.snapshots.load_snapshot("parcel-1") == snapshot


def test_a_locked_store_can_be_opened_read_and_closed(file: Path) -> None:
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
    with locked(file), SqliteStore(file, timeout=0) as store:
        assert places(store.replay()) == ["a"]


def test_a_new_file_that_stays_locked_is_busy(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy):
            SqliteStore(file, timeout=0)
    SqliteStore(file, timeout=0).close()


def test_a_new_file_that_somebody_else_prepares_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("eventkit.sqlite.schema.time.sleep", lambda _pause: other.rollback())
        with SqliteStore(file) as store:
            assert store.append("parcel-1", moves("a")).version == 1


AS_NOBODY = """
import os, sys
from eventkit.errors import StoreError
from eventkit.sqlite import SqliteStore, snapshots
from eventkit.store import Snapshot
from tests.contract.domain import Parcel, moves, places

def warm_up(file):
    with SqliteStore(file) as store:  # load all that is needed while this user may
        store.append("parcel-1", moves("a"))
        list(store.replay())
    os.unlink(file)

file, spare = sys.argv[1:]
warm_up(spare)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    store = SqliteStore(file)
    print(places(store.replay()))
    store.append("parcel-1", moves("b"))
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def guarded() -> Iterator[Path]:
    """Make a store in a folder that everybody may read and only its owner may write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with SqliteStore(folder / "events.db") as store:
            store.append("parcel-1", moves("a"))
        yield folder
        folder.chmod(0o755)


def as_nobody(file: Path, spare: Path) -> list[str]:
    """Return what another user (or, without root, this one) sees when it opens a file."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(file), str(spare)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_file_that_may_not_be_written_can_be_read(guarded: Path, tmp_path: Path) -> None:
    file = guarded / "events.db"
    guarded.chmod(0o777)
    file.chmod(0o444)
    before = file.read_bytes()
    read, refused = as_nobody(file, tmp_path / "spare.db")
    assert read == "['a']"
    assert refused == (
        f"StoreUnavailable {file} is read-only for this user; nothing was written. Make the file "
        "and its folder writable."
    )
    assert file.read_bytes() == before


def test_a_file_that_may_not_be_read_is_not_opened(guarded: Path, tmp_path: Path) -> None:
    file = guarded / "events.db"
    file.chmod(0o000)
    (line,) = as_nobody(file, tmp_path / "spare.db")
    assert line == (
        f"StoreUnavailable {file} cannot be opened: may this user read and write it and its "
        "folder, and are there not too many files open?"
    )


def test_a_folder_that_may_not_be_written_takes_no_new_store(guarded: Path, tmp_path: Path) -> None:
    guarded.chmod(0o555)
    (line,) = as_nobody(guarded / "new.db", tmp_path / "spare.db")
    assert line.startswith(f"StoreUnavailable {guarded / 'new.db'} cannot be opened: ")
    assert [path.name for path in guarded.iterdir()] == ["events.db"]


def test_a_file_in_a_folder_that_may_not_be_written_says_so(guarded: Path, tmp_path: Path) -> None:
    """SQLite keeps two files beside it while it is open."""
    file = guarded / "events.db"
    file.chmod(0o666)
    guarded.chmod(0o555)
    before = file.read_bytes()
    lines = as_nobody(file, tmp_path / "spare.db")
    assert lines[-1].startswith(f"StoreUnavailable {file} ")
    assert "folder" in lines[-1]
    assert file.read_bytes() == before
