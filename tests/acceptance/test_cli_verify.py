"""`eventkit verify` on a file: each kind of damage is told, a healthy file has none."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from eventkit import Metadata, Repository
from eventkit.sqlite.schema import expected_objects
from eventkit.sqlite.verifying import SqliteVerifier
from tests.acceptance.cli_kit import Cli, Outcome, finish
from tests.acceptance.hotel import Guest, GuestArrived, GuestLeft

KEY = ",  -- Avro single-object encoding\n    UNIQUE (aggregate_id, version)"
GUARDS = [it for it in expected_objects() if it.startswith("events_are")]


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A healthy store: ten guests of three events each, with a snapshot each."""
    cli = Cli(tmp_path)
    with cli.open() as store:
        repository = Repository(store, Guest, snapshot_every=1)
        for number in range(10):
            events = [GuestArrived(name="x"), GuestLeft(), GuestArrived(name="y")]
            store.append(f"guest-{number}", events, metadata=Metadata(workspace_id="north"))
            repository.get(f"guest-{number}")
    yield cli
    cli.close()


def damage(cli: Cli, statement: str) -> None:
    """Change the file behind the guards, which are there again afterwards; `@` stands for `AT`."""
    connection = sqlite3.connect(cli.folder / "events.db", isolation_level=None)
    for name in GUARDS:
        connection.execute(f"DROP TRIGGER {name}")
    assert connection.execute(statement.replace("@", AT)).rowcount > 0
    for name in GUARDS:
        connection.execute(expected_objects()[name])
    connection.close()


def verify(cli: Cli, *arguments: str) -> Outcome:
    return cli("verify", "--json", *arguments)


def test_a_healthy_file_gives_no_finding(cli: Cli) -> None:
    assert verify(cli, "--snapshots", "all") == Outcome(0, "", "30 events read, 0 finding(s)\n")
    assert cli("verify") == Outcome(0, "30 events read, 0 finding(s)\n", "")
    assert Cli(cli.folder, app=None)("verify").code == 0


AT = "WHERE aggregate_id = 'guest-3' AND version = 2"


@pytest.mark.parametrize(
    ("statement", "kinds", "problem"),
    [
        ("DELETE FROM events @", {"gap", "snapshot"}, "version 3 follows version 1"),
        ("UPDATE events SET version = 9 @", {"gap", "snapshot"}, "version 9 follows"),
        ("UPDATE events SET position = 99 @", {"gap"}, "version 3 stands before version 2"),
        ("UPDATE events SET event_type = 'X' @", {"type"}, "no event class reads"),
        ("UPDATE events SET data = x'C3010000000000000000' @", {"schema"}, "not hold"),
        (
            "UPDATE events SET data = CAST(data || x'00' AS BLOB) @",
            {"body"},
            "follow the last field",
        ),
        ("UPDATE events SET data = x'7b7d' @", {"body"}, "are no Avro record"),
        ("UPDATE events SET metadata = '{' @", {"body"}, "the row is damaged"),
        ("UPDATE events SET event_id = x'01' @", {"body"}, "the row is damaged"),
        ("UPDATE events SET metadata = CAST(x'22ff22' AS TEXT) @", {"body"}, "damaged"),
        (
            "UPDATE snapshots SET version = 2 WHERE aggregate_id = 'guest-3'",
            {"snapshot"},
            "the snapshot of version 2 differs from a replay in name, present",
        ),
        (
            "UPDATE snapshots SET version = 4 WHERE aggregate_id = 'guest-3'",
            {"snapshot"},
            "the snapshot is of version 4, the log has 3 event(s)",
        ),
    ],
)
def test_damage_is_told(cli: Cli, statement: str, kinds: set[str], problem: str) -> None:
    damage(cli, statement)
    told = verify(cli, "--snapshots", "all")
    assert told.code == 1
    assert {it["kind"] for it in told.lines} == kinds
    assert problem in told.out
    assert {it["aggregate_id"] for it in told.lines} == {"guest-3"}
    shown = cli("verify")
    assert (shown.code, problem in shown.out) == (1, True)


@pytest.mark.parametrize("id_", ["", "guest"])
def test_an_id_that_is_none_is_told(cli: Cli, id_: str) -> None:
    damage(cli, f"UPDATE events SET aggregate_id = '{id_}' WHERE aggregate_id = 'guest-3'")  # noqa: S608
    assert {it["aggregate_id"] for it in verify(cli).lines if it["kind"] == "stranger"} == {id_}


def test_text_that_is_damaged_is_told_in_json_as_in_a_table(cli: Cli) -> None:
    damage(cli, "UPDATE events SET aggregate_id = CAST(x'67756573742dff' AS TEXT) @")
    damage(cli, "UPDATE events SET event_type = CAST(x'ff' AS TEXT) WHERE position = 30")
    told = verify(cli)
    assert {it["aggregate_id"] for it in told.lines} == {"guest-3", "guest-9", "guest-\\udcff"}
    assert (told.code, "30 events read" in told.err) == (1, True)
    assert "guest-\\udcff" in cli("verify").out


def test_guards_that_are_gone_are_told_with_the_command_that_makes_them(cli: Cli) -> None:
    connection = sqlite3.connect(cli.folder / "events.db", isolation_level=None)
    connection.execute("DROP TRIGGER events_are_never_updated")
    connection.execute("DROP TRIGGER events_are_never_deleted")
    connection.execute(
        "CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events BEGIN SELECT 1; END"
    )
    told = verify(cli).lines
    assert [it["kind"] for it in told] == ["guard", "guard"]
    for it in told:
        _, _, statement = it["fix"].partition(f"sqlite3 {cli.folder}/events.db ")
        connection.executescript(statement.strip("'").replace("'\"'\"'", "'"))
    connection.close()
    assert verify(cli).code == 0


def test_keys_that_are_gone_and_what_came_in_are_told(cli: Cli) -> None:
    """The table is another one, that takes a version and an id twice."""
    path = cli.folder / "events.db"
    connection = sqlite3.connect(path, isolation_level=None)
    sql = expected_objects()["events"].replace(KEY, "")
    sql = sql.replace(" UNIQUE", "")
    for name in GUARDS:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("ALTER TABLE events RENAME TO old")
    connection.execute(sql)
    connection.execute("INSERT INTO events SELECT * FROM old")
    connection.execute(f"INSERT INTO events SELECT 99, {_COLUMNS} FROM old {AT}")  # noqa: S608
    connection.execute("DROP TABLE old")
    connection.close()
    told = verify(cli, "--snapshots", "0")
    assert [it["kind"] for it in told.lines].count("guard") == 1 + len(GUARDS)
    assert {it["kind"] for it in told.lines} == {"guard", "double", "event-id"}
    assert str(UUID(bytes=_id_of(path))) in told.out


_COLUMNS = "event_id, aggregate_id, version, event_type, timestamp, workspace_id, metadata, data"


def _id_of(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    (found,) = connection.execute(f"SELECT event_id FROM events {AT}").fetchone()  # noqa: S608
    connection.close()
    return bytes(found)


def test_pages_that_are_damaged_are_told(cli: Cli) -> None:
    with cli.open() as store:
        store.append_each([])
    connection = sqlite3.connect(cli.folder / "events.db", isolation_level=None)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_events_1'"
    ).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with (cli.folder / "events.db").open("r+b") as file:
        file.seek(page * size - 40)
        file.write(bytes(40))
    told = verify(cli)
    assert told.code in {1, 3}
    assert "file" in {it["kind"] for it in told.lines}


def test_ctrl_c_shows_what_was_found_so_far(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(cli, "DELETE FROM events @")
    damage(cli, "UPDATE events SET data = x'7b7d' WHERE position = 30")
    monkeypatch.setattr("eventkit.sqlite.verifying._EVERY", 1)

    rows = SqliteVerifier._rows

    def interrupted(self: SqliteVerifier) -> Iterator[object]:
        signal.raise_signal(signal.SIGINT)
        return rows(self)

    monkeypatch.setattr(SqliteVerifier, "_rows", interrupted)
    told = cli("verify")
    assert told.code == 130
    assert "version 3 follows version 1" in told.out
    assert "it was not read to the end" in told.out


def test_a_file_that_is_not_there_or_none_of_ours_is_told(cli: Cli, tmp_path: Path) -> None:
    cli.options[-1] = f"sqlite:///{tmp_path}/nosuch.db"
    assert verify(cli).code == 3
    assert not (tmp_path / "nosuch.db").exists()
    (tmp_path / "text.db").write_text("no database" * 1000)
    cli.options[-1] = f"sqlite:///{tmp_path}/text.db"
    assert verify(cli).code == 3


def test_wrong_usage_is_told(cli: Cli) -> None:
    assert verify(cli, "--snapshots", "-1").code == 2
    told = verify(cli, "--index", str(cli.folder / "events.db"))
    assert (told.code, "--index is for a log on Kafka" in told.err) == (2, True)


def test_the_output_is_for_machines_in_a_process_of_its_own(cli: Cli) -> None:
    damage(cli, "DELETE FROM events @")
    told = finish(cli.start("verify", "--json", "--snapshots", "0"))
    assert told.code == 1
    assert json.loads(told.out)["fix"].startswith("restore the file from a backup")


def test_a_read_model_that_differs_from_a_rebuild_is_told(cli: Cli) -> None:
    assert cli("projection", "run", "occupancy").code == 0
    healthy = cli("verify", "--projection", "occupancy", "--projection", "occupancy")
    assert healthy == Outcome(0, "30 events read, 0 finding(s)\n", "")
    with sqlite3.connect(cli.folder / "events-read-models.db") as connection:
        connection.execute("UPDATE rooms SET nights = 9 WHERE guest = 'guest-3'")
    connection.close()
    told = verify(cli, "--projection", "all")
    assert (told.code, len(told.lines)) == (1, 1)
    (found,) = told.lines
    assert found["kind"] == "read-model"
    assert found["problem"] == (
        "occupancy, table rooms: row guest 'guest-3': nights is 9, in a rebuild 1"
    )
    assert "eventkit projection rebuild occupancy" in found["fix"]
    assert "not checked: the read model visits: it is not there yet" in told.err


def test_a_read_model_of_which_a_table_is_gone_ends_with_1_and_says_what_mends_it(
    cli: Cli,
) -> None:
    assert cli("projection", "run", "occupancy").code == 0
    with sqlite3.connect(cli.folder / "events-read-models.db") as connection:
        connection.execute("DROP TABLE rooms")
    connection.close()
    told = cli("verify", "--projection", "occupancy")
    assert (told.code, told.err) == (1, "")
    assert "occupancy: its table 'rooms' is missing in the database" in told.out
    assert "eventkit projection rebuild occupancy" in told.out
    assert "1 finding(s): 1 read-model" in told.out


def test_a_read_model_that_nobody_knows_is_refused_before_anything_is_read(cli: Cli) -> None:
    told = cli("verify", "--projection", "occupency")
    assert (told.code, told.out) == (2, "")
    assert "occupancy" in told.err
