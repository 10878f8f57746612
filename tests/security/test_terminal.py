"""Text from events and ids is data: it steers no terminal, runs no SQL and makes no file."""

import json
import os
import pty
import sqlite3
import stat
import sys
from pathlib import Path
from select import select
from subprocess import Popen

import pytest

from eventkit import EventStore, connect
from eventkit.errors import EventkitError, InvalidAggregateId, InvalidUrl, StoreUnavailable
from eventkit.events import Metadata
from eventkit.kafka.locks import FollowerLock
from tests.contract.domain import ParcelMoved, ParcelSent

EVIL = [
    "'; DROP TABLE events; --", '" OR 1=1 --', "$(touch made)", "`touch made`", "../../made",
    "%00", "%2e%2e%2fmade", "x" * 900, "\u202eright to left", "\x9b31mred", "[red]bold[/red]",
    "{0.__class__}", "%s%n", "\\", "\ufeff", "\U000e0001",
]  # fmt: skip
CONTROL = ["\x00", "\n", "\r", "\x1b[2J", "\x07", "\x7f"]
STEERS = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e\x7f"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.mark.parametrize("text", EVIL)
def test_any_text_is_kept_as_it_is(text: str, file: Path) -> None:
    metadata = Metadata(caused_by_user=text, workspace_id=text, extra={text: text})
    with connect(f"sqlite:///{file}") as store:
        store.append(f"parcel-{text}", [ParcelMoved(place=text)], metadata=metadata)
        store.append("parcel-1", [ParcelMoved(place="x")])
        (found,) = store.get_events(f"parcel-{text}")
        assert found.event == ParcelMoved(place=text)
        assert found.metadata.extra == {text: text}
        assert [it.aggregate_id for it in store.replay(workspace_id=text)] == [f"parcel-{text}"]
        assert len(list(store.replay())) == 2
    assert {it.name.split(".db")[0] for it in file.parent.iterdir()} == {"events"}


@pytest.mark.parametrize("text", CONTROL)
def test_an_id_with_a_control_character_is_refused(text: str, file: Path) -> None:
    with connect(f"sqlite:///{file}") as store:
        with pytest.raises(InvalidAggregateId, match="control character") as caught:
            store.append(f"parcel-{text}", [ParcelMoved(place="x")])
        assert text not in str(caught.value)
        event = ParcelMoved(place=text)
        store.append("parcel-1", [event], metadata=Metadata(caused_by_user=text))
        assert store.get_events("parcel-1")[0].event == event


@pytest.mark.parametrize("category", ["../x", "a/b", "a b", "a'b", "a\x00", "x" * 300, "é", ""])
def test_a_category_is_of_few_characters(category: str, file: Path) -> None:
    with (
        connect(f"sqlite:///{file}") as store,
        pytest.raises(EventkitError, match=r"category|control"),
    ):
        store.append(f"{category}-1", [ParcelMoved(place="x")])


@pytest.fixture
def store(file: Path) -> EventStore:
    metadata = Metadata(caused_by_user=STEERS, workspace_id=STEERS, extra={STEERS: STEERS})
    with connect(f"sqlite:///{file}") as store:
        store.append("parcel-\x9b2J[red]x", [ParcelSent(to=STEERS)], metadata=metadata)
    return store


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "command",
    [["events", "parcel-\x9b2J[red]x"], ["events", "--json", "parcel-\x9b2J[red]x"],
     ["state", "parcel-\x9b2J[red]x"]],
    ids=" ".join,
)  # fmt: skip
def test_a_terminal_is_not_steered(command: list[str], file: Path) -> None:
    shown = on_terminal("--app", "tests.contract.domain", "--store", f"sqlite:///{file}", *command)
    for text in ("\x1b]0", "\x1b[2J", "\x9b", "\u202e", "\x7f", "\x07"):
        assert text not in shown
    if "--json" in command:
        assert json.loads(shown)["data"]["to"] == STEERS
    if "parcel-\x9b2J[red]x" in command:
        assert "[red]" in shown or "owned" in shown


def on_terminal(*arguments: str) -> str:
    """What a command writes to a terminal."""
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "eventkit", *arguments]
    written = b""
    with Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        # The terminal stays open here: with its last user gone, what is not read yet may be lost.
        while process.poll() is None or select([screen], [], [], 0)[0]:
            if select([screen], [], [], 0.1)[0]:
                written += os.read(screen, 65_536)
    os.close(terminal)
    os.close(screen)
    assert process.returncode == 0, written
    return written.decode()


SECRET = "hunter2"  # noqa: S105 - made up
URLS = [
    f"postgresql://user:{SECRET}@host/db", f"mysql://user:{SECRET}@host", f"user:{SECRET}@host",
    f"sqlite://user:{SECRET}@host/x", f"kafka://user:{SECRET}@host:9092", f"nonsense://u:{SECRET}'@h",
    f"kafka://host:1?sasl.password={SECRET}", f"sqlite:///x?password={SECRET}",
    f"nonsense://u:@{SECRET}@h", f"kafka://host:1?sasl.oauthbearer.client.secret={SECRET}",
]  # fmt: skip


@pytest.mark.parametrize("url", [it for it in URLS if "://" in it])
def test_a_url_that_leads_nowhere_is_told_without_its_password(url: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        connect(url)
    assert SECRET not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


def test_files_are_no_more_open_than_the_umask_says(file: Path) -> None:
    before = os.umask(0o077)
    try:
        with connect(f"sqlite:///{file}") as store:
            store.append("parcel-1", [ParcelMoved(place="x")])
            FollowerLock(file).close()
            found = {it.name: stat.S_IMODE(it.stat().st_mode) for it in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert {mode & 0o077 for mode in found.values()} == {0}, found


@pytest.mark.parametrize("name", ["index.db", "index.db.lock"])
def test_a_link_in_the_place_of_an_index_is_refused_where_everybody_may_write(
    name: str, tmp_path: Path
) -> None:
    open_to_all, mine = tmp_path / "all", tmp_path / "mine"
    open_to_all.mkdir()
    open_to_all.chmod(0o1777)
    (open_to_all / name).symlink_to(mine)
    with pytest.raises(StoreUnavailable, match="is a link, or belongs to another user"):
        FollowerLock(open_to_all / "index.db")
    assert not mine.exists()
    open_to_all.chmod(0o755)
    FollowerLock(open_to_all / "index.db").close()  # a folder of one's own: one's own link


def test_a_store_in_a_file_takes_no_sql_from_its_names(tmp_path: Path) -> None:
    odd = tmp_path / "a';DROP TABLE events;--.db"
    with connect(f"sqlite:///{odd}") as store:
        store.append("parcel-1", [ParcelMoved(place="x")])
    with sqlite3.connect(odd) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
