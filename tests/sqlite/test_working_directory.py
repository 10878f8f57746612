"""A relative path names the file it named when the store was opened, wherever the program goes."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventkit import Repository, connect
from eventkit.errors import StoreUnavailable
from eventkit.sqlite import SqliteStore
from tests.contract.domain import Parcel, moves, places

URL = "sqlite:///events.db"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def test_all_connections_lead_to_the_file_that_was_opened(here: Path, there: Path) -> None:
    with SqliteStore(there / "events.db") as other:
        other.append("parcel-1", moves("another log"))
    with connect(URL) as store:
        store.append("parcel-1", moves("a"))
        os.chdir(there)
        store.append("parcel-1", moves("b"), expected_version=1)
        assert places(store.get_events("parcel-1")) == ["a", "b"]
        repository = Repository(store, Parcel, snapshot_every=1)
        assert repository.get("parcel-1").places == ["a", "b"]
        assert store.snapshots.load_snapshot("parcel-1") is not None

        together = threading.Barrier(4)  # so that each reads on a connection of its own

        def read(_: int) -> list[str]:
            together.wait()
            return places(store.get_events("parcel-1"))

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(read, range(4))) == [["a", "b"]] * 4
    assert sorted(it.name for it in here.iterdir()) == ["events.db"]


def test_nothing_is_made_where_the_program_went(here: Path, there: Path) -> None:
    del here
    with connect(URL) as store:
        os.chdir(there)
        store.append("parcel-1", moves("a"))
        assert places(store.replay()) == ["a"]
    assert list(there.iterdir()) == []


def test_messages_name_the_file_as_it_was_given(here: Path, there: Path) -> None:
    del here
    with connect(URL) as store:
        os.chdir(there)
        assert repr(store) == "SqliteStore('events.db')"


def test_a_working_directory_that_is_gone_is_told(here: Path) -> None:
    here.rmdir()
    with pytest.raises(StoreUnavailable, match=r"events\.db cannot be opened"):
        connect(URL)
