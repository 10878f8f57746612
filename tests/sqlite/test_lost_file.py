"""A file that is moved, deleted or replaced under a store: nothing more is acknowledged into it."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from eventkit import Append, OutcomeUnknown, Repository
from eventkit.errors import EventkitError, StoreUnavailable
from eventkit.sqlite import SqliteStore, openedfile
from eventkit.sqlite.schema import connect_file
from tests.contract.domain import Parcel, moves, places
from tests.sqlite.faults import Faults

GONE = r"events\.db was moved, deleted or replaced while this store used it"
LOGS = ("-wal", "-shm")


def move(file: Path) -> None:
    file.rename(file.with_name("old.db"))


def delete(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    with SqliteStore(file.with_name("other.db")) as other:
        other.append("parcel-1", moves("another log"))
    file.with_name("other.db").replace(file)


def move_the_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))


LOSSES = [move, delete, replace, move_the_folder]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "events.db"


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openedfile, "_BETWEEN_LOOKS", 0.0)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lost_file_takes_no_more_appends_and_nothing_is_made_in_its_place(
    store: SqliteStore, file: Path, lose: Callable[[Path], None]
) -> None:
    store.append("parcel-1", moves("a"))
    lose(file)
    there = file.read_bytes() if file.exists() else None
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=GONE):
            store.append("parcel-1", moves("b"))
        with pytest.raises(StoreUnavailable, match=GONE):
            store.append_each([Append("parcel-2", moves("b"))])
        with pytest.raises(StoreUnavailable, match=GONE):
            store.get_events("parcel-1")
        with pytest.raises(StoreUnavailable, match=GONE):
            list(store.replay())
    assert (file.read_bytes() if file.exists() else None) == there


@pytest.mark.parametrize("lose", LOSSES)
def test_who_reads_on_a_new_connection_is_told_at_once(
    store: SqliteStore, file: Path, lose: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that have a connection go on for a moment: they know all that was acknowledged."""
    store.append("parcel-1", moves("a"))
    monkeypatch.setattr(openedfile, "_BETWEEN_LOOKS", 1_000.0)
    store.get_events("parcel-1")
    lose(file)
    assert places(store.get_events("parcel-1")) == ["a"]
    with store._log.reading(), pytest.raises(StoreUnavailable, match=GONE):
        store.get_events("parcel-1")


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("statement", ["INSERT INTO events", "COMMIT"])
def test_what_is_written_while_the_file_is_lost_is_in_doubt(
    store: SqliteStore, file: Path, lose: Callable[[Path], None], statement: str
) -> None:
    known = store.append("parcel-1", moves("a"))
    faults = Faults(store)

    def strike(sql: str) -> None:
        if sql.startswith(statement):
            faults.before = lambda _sql: None
            lose(file)

    faults.before = strike
    retried, written = store.append_each(
        [
            Append("parcel-1", moves("a"), 0, event_ids=known.event_ids),
            Append("parcel-2", moves("b")),
        ]
    )
    assert not isinstance(retried, EventkitError)
    assert isinstance(written, OutcomeUnknown)
    assert "moved, deleted or replaced" in written.reason
    with pytest.raises(StoreUnavailable, match=GONE):
        store.append("parcel-2", moves("b"), event_ids=written.event_ids)


def test_a_lost_file_keeps_snapshots_from_being_written_and_loads_say_so(
    store: SqliteStore, file: Path
) -> None:
    store.append("parcel-1", moves("a"))
    delete(file)
    with pytest.raises(StoreUnavailable, match=GONE):
        Repository(store, Parcel, snapshot_every=1).get("parcel-1")
    assert not file.exists()


def test_a_file_that_comes_back_is_not_trusted_until_it_is_opened_again(
    store: SqliteStore, file: Path
) -> None:
    store.append("parcel-1", moves("a"))
    move(file)
    with pytest.raises(StoreUnavailable, match=GONE):
        store.append("parcel-1", moves("b"))
    file.with_name("old.db").rename(file)
    with pytest.raises(StoreUnavailable, match=GONE):
        store.append("parcel-1", moves("b"))
    store.close()
    with SqliteStore(file) as again:
        assert places(again.get_events("parcel-1")) == ["a"]
        assert again.append("parcel-1", moves("b"), expected_version=1).version == 2


def test_no_new_file_is_made_beside_the_log_of_a_moved_one(store: SqliteStore, file: Path) -> None:
    store.append("parcel-1", moves("a"))
    move(file)
    store.close()
    with pytest.raises(StoreUnavailable, match=r"there is no file .*, but events\.db-wal"):
        SqliteStore(file)
    file.with_name("old.db").rename(file)
    with SqliteStore(file) as again:
        assert places(again.replay()) == ["a"]


def test_a_new_file_is_made_once_the_log_of_the_old_one_is_deleted(
    store: SqliteStore, file: Path
) -> None:
    store.append("parcel-1", moves("a"))
    delete(file)
    store.close()
    for suffix in LOGS:
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    with SqliteStore(file) as again:
        assert list(again.replay()) == []


def test_a_file_that_is_replaced_while_it_is_opened_is_not_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SqliteStore(file).close()
    SqliteStore(file.with_name("other.db")).close()

    def late(path: Path, *, timeout: float, create: bool = True) -> sqlite3.Connection:
        connection = connect_file(path, timeout=timeout, create=create)
        file.with_name("other.db").replace(file)
        return connection

    monkeypatch.setattr(openedfile, "connect_file", late)
    with pytest.raises(StoreUnavailable, match=GONE):
        SqliteStore(file)


def test_a_link_to_the_file_may_be_moved_as_long_as_the_name_leads_there(
    file: Path, store: SqliteStore
) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    with SqliteStore(link) as linked:
        linked.append("parcel-1", moves("a"))
        link.unlink()
        os.link(file, link)
        assert linked.append("parcel-1", moves("b")).version == 2
    assert places(store.replay()) == ["a", "b"]
