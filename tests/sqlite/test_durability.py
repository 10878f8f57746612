"""What makes an acknowledged event survive the machine, as far as SQLite can be asked."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from eventkit.sqlite import SqliteStore
from eventkit.store import Snapshot
from tests.contract.domain import moves, places

OFF, NORMAL, FULL = range(3)


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def test_a_commit_is_flushed_to_the_disk_before_it_returns(store: SqliteStore) -> None:
    assert pragma(store._connection, "journal_mode") == "wal"
    assert pragma(store._connection, "synchronous") == FULL


def test_a_store_opened_again_is_as_careful(file: Path) -> None:
    SqliteStore(file).close()
    with SqliteStore(file) as store:
        assert pragma(store._connection, "journal_mode") == "wal"
        assert pragma(store._connection, "synchronous") == FULL


def test_a_reader_that_closes_last_flushes_what_it_moves(store: SqliteStore) -> None:
    """The last connection to close moves the log into the file."""
    with store._log.reading() as connection:
        assert pragma(connection, "synchronous") == FULL


def test_snapshots_are_not_flushed_but_events_that_move_with_them_are(store: SqliteStore) -> None:
    """NORMAL flushes checkpoints, which may move events, and no commits."""
    store.snapshots.save_snapshot(Snapshot("parcel-1", 1, b"", datetime.now(UTC), "fold"))
    assert store.snapshots._writer is not None
    assert pragma(store.snapshots._writer, "synchronous") == NORMAL


def test_closing_the_last_store_leaves_one_file(file: Path) -> None:
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
        store.get_events("parcel-1")
        store.snapshots.save_snapshot(Snapshot("parcel-1", 1, b"", datetime.now(UTC), "fold"))
        with SqliteStore(file) as other:
            other.append("parcel-1", moves("b"))
        assert log_of(file).exists()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_log_of_a_store_that_was_not_closed_is_read_by_the_next(
    file: Path, tmp_path: Path
) -> None:
    """As after kill -9: the file and its log are all there is."""
    copy = tmp_path / "copy.db"
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a", "b"))
        copy.write_bytes(file.read_bytes())
        log_of(copy).write_bytes(log_of(file).read_bytes())
    with SqliteStore(copy) as store:
        assert places(store.get_events("parcel-1")) == ["a", "b"]
        assert store.append("parcel-1", moves("c"), expected_version=2).version == 3


def test_a_log_that_was_cut_off_in_the_middle_loses_whole_appends_only(
    file: Path, tmp_path: Path
) -> None:
    """As after a loss of power in the middle of a write."""
    with SqliteStore(file) as store:
        for number in range(20):
            store.append("parcel-1", moves(*[str(number)] * 3))
        content, log = file.read_bytes(), log_of(file).read_bytes()
    found = []
    for part in range(0, len(log) + 1, len(log) // 40):
        copy = tmp_path / f"copy {part}.db"
        copy.write_bytes(content)
        log_of(copy).write_bytes(log[:part])
        with SqliteStore(copy) as store:
            found.append(places(store.get_events("parcel-1")))
    assert all(
        it == [str(number) for number in range(len(it) // 3) for _ in range(3)] for it in found
    )
    assert [len(it) for it in found] == sorted(len(it) for it in found)


def test_the_log_does_not_grow_without_end(store: SqliteStore, file: Path) -> None:
    text = "x" * 20_000
    for number in range(300):
        store.append(f"parcel-{number % 7}", moves(text))
        for _ in store.replay(categories=["parcel"]):
            break
    assert file.stat().st_size > 2_000_000
    assert log_of(file).stat().st_size < 5_000_000


def test_the_file_passes_the_checks_of_sqlite(store: SqliteStore, file: Path) -> None:
    for number in range(200):
        store.append(f"parcel-{number % 7}", moves(str(number)))
    with closing(sqlite3.connect(file)) as connection:
        assert pragma(connection, "integrity_check") == "ok"
