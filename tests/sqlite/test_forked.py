"""What a process that was made by `fork()` may do with the files of its parent."""

import os
from collections.abc import Callable
from mmap import mmap
from pathlib import Path

import pytest

from eventkit.errors import EventkitError
from eventkit.sqlite import SqliteStore
from eventkit.sqlite.forked import is_inherited
from eventkit.sqlite.readonly import open_readonly
from tests.contract.domain import moves, places
from tests.sqlite.scripts import python

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

FORKED = """
import os, sys
from eventkit import Repository
from eventkit.errors import StoreClosed
from eventkit.sqlite import SqliteStore
from eventkit.store import Snapshot
from tests.contract.domain import Parcel, moves

store = SqliteStore(sys.argv[1])
store.append("parcel-1", moves("a"))
repository = Repository(store, Parcel, snapshot_every=1)
repository.get("parcel-1")
replay = store.replay()
uses = {
    "append": lambda: store.append("parcel-1", moves("b")),
    "get_events": lambda: store.get_events("parcel-1"),
    "replay": lambda: list(replay),
    "repository": lambda: repository.get("parcel-1"),
    "load_snapshot": lambda: store.snapshots.load_snapshot("parcel-1"),
    "save_snapshot": lambda: store.snapshots.save_snapshot(snapshot),
}
snapshot = store.snapshots.load_snapshot("parcel-1")
child = os.fork()
if child == 0:
    for name, use in uses.items():
        try:
            use()
        except StoreClosed as error:
            print(name, error)
    store.close()
    sys.exit()
os.waitpid(child, 0)
store.append("parcel-1", moves("parent"))
store.close()
"""


def test_after_fork_the_child_is_told_that_the_store_is_not_its_own(file: Path) -> None:
    said = python(FORKED, file).splitlines()
    reason = f"the event store {file} was opened before fork() and belongs to the parent process."
    uses = ["append", "get_events", "replay", "repository", "load_snapshot", "save_snapshot"]
    assert [it.partition(" Close it")[0] for it in said] == [f"{use} {reason}" for use in uses]
    with SqliteStore(file) as store:
        assert places(store.get_events("parcel-1")) == ["a", "parent"]


def in_a_child(work: Callable[[], object]) -> str:
    """What comes of it in a forked process: `done`, or the error."""
    with mmap(-1, 4_096) as shared:  # no descriptor, which the work may close
        child = os.fork()
        if child == 0:
            try:
                work()
                told = "done"
            except EventkitError as error:
                told = f"{type(error).__name__}: {error}"
            except BaseException as error:  # noqa: BLE001 - the test reads it
                told = repr(error)
            shared.write(told.encode())
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0)
        return shared[:].rstrip(b"\0").decode()


def append_alone(file: Path) -> None:
    with SqliteStore(file) as own:
        own.append("parcel-2", moves("child"))


def test_a_child_does_not_open_the_file_that_its_parent_has_open(file: Path) -> None:
    """Its notes of locks are the parent's: what it appends is lost once the parent closes."""
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
        told = in_a_child(lambda: append_alone(file))
        looked = in_a_child(lambda: open_readonly(file))
        store.append("parcel-1", moves("b"))
    refused = f"StoreUnavailable: {file} was open in the process that this one was forked from"
    assert (told[: len(refused)], looked[: len(refused)]) == (refused, refused)
    assert "before the fork" in told
    with SqliteStore(file) as store:
        assert places(store.replay()) == ["a", "b"]


def test_a_child_opens_what_its_parent_closed_or_never_had_open(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
    with SqliteStore(tmp_path / "third.db"):
        assert in_a_child(lambda: append_alone(file)) == "done"
        assert in_a_child(lambda: append_alone(other)) == "done"
    for path, held in ((file, ["a", "child"]), (other, ["child"])):
        with SqliteStore(path) as store:
            assert places(store.replay()) == held


def test_a_child_that_closes_its_descriptors_as_daemons_do_is_refused_too(file: Path) -> None:
    """SQLite does not notice: it would go on as if the locks were held."""

    def work() -> None:
        os.closerange(3, 1_000)
        with SqliteStore(file.with_name("other.db")):  # gets numbers of descriptors that were open
            append_alone(file)

    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
        assert "this one was forked from" in in_a_child(work)


def test_nothing_is_inherited_but_by_a_fork(file: Path) -> None:
    with SqliteStore(file):
        assert not is_inherited(file)
    assert not is_inherited(file.with_name("none.db"))


def test_event_ids_of_a_forked_process_are_its_own() -> None:
    script = """
import os, sys
from eventkit.ids import new_event_id
new_event_id()
reading, writing = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.write(writing, "".join(f"{new_event_id()}\\n" for _ in range(20)).encode())
        os._exit(0)
os.close(writing)
for _ in range(4):
    os.wait()
sys.stdout.write(os.read(reading, 10_000).decode())
"""
    # The first 48 bits are the time; the rest must differ wherever the time does not.
    ids = python(script).split()
    assert len(ids) == 80
    assert len({event_id[14:] for event_id in ids}) == 80
