"""Files that are no event store, or no sound one: a clear error, and nothing changed."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from eventkit import EventkitError, Metadata, Repository, connect
from eventkit.errors import (
    InvalidInput,
    NotAnEventStore,
    StoreCorrupted,
    StoreError,
    StoreUnavailable,
    UndecodableEvent,
)
from eventkit.sqlite import SqliteStore, schema
from eventkit.store import EventFilter, Snapshot
from tests.contract.domain import Parcel, ParcelSent, moves, places


def content_of(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder and its folders."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def opening(file: Path) -> tuple[type[StoreError], str]:
    """Return the error that opening a file gives."""
    with pytest.raises(StoreError) as caught:
        SqliteStore(file, timeout=0)
    return type(caught.value), str(caught.value)


def text_file(file: Path) -> None:
    file.write_text("shopping list: milk\n" * 100)


def two_bytes(file: Path) -> None:
    file.write_text("x\n")


def database_of_another_program(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")


def file_of_another_program_in_wal_mode(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE events (title TEXT)")


def empty_file_marked_by_another_program(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA application_id = 7")
        connection.execute("VACUUM")


def newer_format(file: Path) -> None:
    SqliteStore(file).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 2")


def first_bytes_flipped(file: Path) -> None:
    SqliteStore(file).close()
    content = file.read_bytes()
    file.write_bytes(bytes(255 - byte for byte in content[:16]) + content[16:])


def cut_off(file: Path) -> None:
    SqliteStore(file).close()
    os.truncate(file, file.stat().st_size // 2)


def cut_off_in_the_header(file: Path) -> None:
    SqliteStore(file).close()
    os.truncate(file, 60)


def cut_off_in_the_last_page(file: Path) -> None:
    SqliteStore(file).close()
    os.truncate(file, file.stat().st_size - 1)


NO_SQLITE = "{file} is no SQLite file, or its beginning is damaged. Nothing was changed."
ANOTHER = "{file} is a database of another program. Nothing was changed; choose another file name."

NEWER = (
    "{file} was written by a newer eventkit (format 2, this one reads up to 1). Nothing was "
    "changed; upgrade eventkit."
)
DAMAGED = (
    "{file} is damaged (database disk image is malformed). Nothing was changed; restore it from a "
    "backup, or save what is readable with `sqlite3 FILE .recover`."
)
CUT_OFF = (
    "{file} was cut off in the middle of a page. Nothing was changed; restore it from a backup, or "
    "save what is readable with `sqlite3 FILE .recover`."
)

REFUSED: list[tuple[Callable[[Path], None], type[StoreError], str]] = [
    (text_file, NotAnEventStore, NO_SQLITE),
    (two_bytes, NotAnEventStore, NO_SQLITE),
    (first_bytes_flipped, NotAnEventStore, NO_SQLITE),
    (database_of_another_program, NotAnEventStore, ANOTHER),
    (file_of_another_program_in_wal_mode, NotAnEventStore, ANOTHER),
    (empty_file_marked_by_another_program, NotAnEventStore, ANOTHER),
    (newer_format, NotAnEventStore, NEWER),
    (cut_off, StoreCorrupted, DAMAGED),
    (cut_off_in_the_header, StoreCorrupted, DAMAGED),
    (cut_off_in_the_last_page, StoreCorrupted, CUT_OFF),
    (
        Path.mkdir,
        StoreUnavailable,
        "{file} cannot be opened: it is a folder; name a file in it.",
    ),
]


@pytest.mark.parametrize(
    ("make", "kind", "message"), REFUSED, ids=[make.__name__ for make, _, _ in REFUSED]
)
def test_what_is_no_event_store_is_refused_and_left_as_it_was(
    file: Path, make: Callable[[Path], None], kind: type[StoreError], message: str
) -> None:
    make(file)
    before = content_of(file.parent)
    assert opening(file) == (kind, message.format(file=file))
    after = content_of(file.parent)
    assert {name: after[name] for name in before} == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "no" / "events.db"
    assert opening(file) == (
        StoreUnavailable,
        f"{file} cannot be opened: there is no folder {file.parent}; make it first.",
    )
    assert content_of(tmp_path) == {}


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    kind, message = opening(tmp_path / ("x" * 300))
    assert kind is StoreUnavailable
    assert message.endswith("name a file that this user may use.")


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_store_needs_a_file(path: str) -> None:
    with pytest.raises(InvalidInput, match="an event store is a file"):
        SqliteStore(path)


def test_an_empty_file_becomes_a_store(file: Path) -> None:
    file.touch()
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
    with SqliteStore(file) as store:
        assert places(store.replay()) == ["a"]


@pytest.mark.parametrize(
    "name", ["with space.db", "ünïcode 漢字.db", "q?mode=ro#.db", "'; --.db", "%20.db", "a\nb.db"]
)
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    with SqliteStore(tmp_path / name) as store:
        store.append("parcel-1", moves("a"))
    assert list(content_of(tmp_path)) == [name]


def test_a_file_name_that_is_no_text_can_be_used_and_shown(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"\xff\xfe.db")
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
        assert places(store.replay()) == ["a"]
        assert repr(store).encode()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    file.write_text("no store")
    _, message = opening(file)
    assert "\\udcff\\udcfe.db" in message.encode().decode()


def test_a_url_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///events.db", f"sqlite:///{tmp_path}/events.db?timeout=2.5"):
        with connect(url) as store:
            store.append("parcel-1", moves("a"))
    with connect("sqlite:///events.db") as store:
        assert len(store.get_events("parcel-1")) == 2


def written(file: Path) -> list[object]:
    """Fill a store, with a snapshot and large events; return all that is in it."""
    with SqliteStore(file) as store:
        for number in range(60):
            store.append(f"parcel-{number % 5}", moves(*(f"{number}.{step}" for step in range(3))))
        store.append("parcel-0", [ParcelSent(to="x" * 20_000)])
        Repository(store, Parcel, snapshot_every=1).get("parcel-0")
        return use(store)


def use(store: SqliteStore) -> list[object]:
    """Return what a store holds, read in all the ways there are."""
    read: list[object] = []
    for number in range(5):
        read += [
            (it.event_id, it.version, it.event, it.metadata, it.position)
            for it in store.get_events(f"parcel-{number}")
        ]
    read += [(it.event_id, it.aggregate_id, it.event, it.timestamp) for it in store.replay()]
    read += [Repository(store, Parcel, snapshot_every=1).get("parcel-0").places]
    return read


@pytest.mark.parametrize("seed", range(3))
def test_damage_in_the_middle_of_a_file_never_ends_in_any_other_error(
    file: Path, seed: int
) -> None:
    """What cannot be seen (a letter in a text) is the disk's to guard; all else has a name."""
    written(file)
    content = file.read_bytes()
    random = Random(seed)  # noqa: S311 - a repeatable choice
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(random.choice([1, 1, 1, 50])):
            damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        file.write_bytes(damaged)
        with suppress(EventkitError), SqliteStore(file, timeout=0) as store:
            with suppress(EventkitError):
                use(store)
            store.append("parcel-1", moves("new"))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_says_so(file: Path, part: float) -> None:
    written(file)
    os.truncate(file, int(file.stat().st_size * part))
    before = file.read_bytes()
    with pytest.raises(StoreCorrupted, match=r"is damaged|cut off"), SqliteStore(file) as store:
        store.append("parcel-1", moves("new"))
    assert file.read_bytes() == before


def damage(store: SqliteStore, column: str) -> None:
    """Write nonsense into one column of the second of three events."""
    store.append("parcel-1", moves("a", "b", "c"), metadata=Metadata(caused_by_user="ann"))
    store._connection.execute("DROP TRIGGER events_are_never_updated")
    store._connection.execute(f"UPDATE events SET {column} WHERE position = 2")  # noqa: S608 - ours


def test_a_body_that_is_damaged_is_named(store: SqliteStore) -> None:
    damage(store, "data = substr(data, 1, 11)")
    with pytest.raises(UndecodableEvent, match=r"parcel-1 version 2: .*damaged"):
        store.get_events("parcel-1")
    with pytest.raises(UndecodableEvent, match=r"parcel-1 version 2: .*damaged"):
        list(store.plain_events(EventFilter()))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("event_id", "event_id = x'00ff'"),
        ("timestamp", "timestamp = -9223372036854775808"),
        ("metadata", "metadata = '{'"),
        ("metadata", "metadata = '[7]'"),
        ("metadata", "timestamp = 9223372036854775807"),
    ],
)
def test_a_row_that_is_damaged_is_named(store: SqliteStore, name: str, column: str) -> None:
    damage(store, column)
    _, recorded, _ = store.get_events("parcel-1")
    with pytest.raises(StoreCorrupted, match=r"parcel-1 version 2: the row is damaged"):
        getattr(recorded, name)
    with pytest.raises(StoreCorrupted, match=r"parcel-1 version 2: the row is damaged"):
        list(store.plain_events(EventFilter()))


def test_a_recorded_event_has_no_other_attributes(store: SqliteStore) -> None:
    store.append("parcel-1", moves("a"))
    assert not hasattr(store.get_events("parcel-1")[0], "colour")


def test_a_snapshot_that_is_damaged_is_named(store: SqliteStore) -> None:
    store.snapshots.save_snapshot(Snapshot("parcel-1", 1, b"", datetime.now(UTC), "fold"))
    store._connection.execute("UPDATE snapshots SET timestamp = 9223372036854775807")
    with pytest.raises(StoreCorrupted, match="the snapshot of parcel-1 is damaged"):
        store.snapshots.load_snapshot("parcel-1")


def test_an_old_sqlite_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.37.2")
    with pytest.raises(StoreUnavailable, match=r"needs SQLite 3\.38\.0 or newer; .* 3\.37\.2"):
        SqliteStore(file)
    assert content_of(file.parent) == {}


def test_a_store_that_cannot_be_finished_is_not_begun(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_GUARDS", "CREATE NONSENSE;\n")
    with pytest.raises(StoreUnavailable, match="syntax error"):
        SqliteStore(file)
    monkeypatch.undo()
    with SqliteStore(file) as store:
        store.append("parcel-1", moves("a"))
