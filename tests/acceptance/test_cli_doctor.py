"""`eventkit doctor` on a file: what is not as it should be is told with what mends it."""

import json
import os
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli_kit import Cli, Outcome
from tests.acceptance.hotel import GuestLeft


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    cli = Cli(tmp_path, app=None)
    with cli.open() as store:
        store.append("guest-1", [GuestLeft()])
    yield cli
    cli.close()


def wrong(told: Outcome) -> list[tuple[str, str, str]]:
    """What is not well: state, what, and what was told."""
    return [(it["state"], it["what"], it["told"]) for it in told.lines if it["state"] != "ok"]


def doctor(cli: Cli, *arguments: str) -> Outcome:
    return cli("doctor", "--json", *arguments)


def test_a_sound_file_gives_no_finding(cli: Cli) -> None:
    told = doctor(cli)
    assert (told.code, wrong(told)) == (0, [])
    looked_at = {it["what"].split(" ")[0] for it in told.lines}
    assert {"python", "eventkit", "SQLite", "file", "journal", "write", "disk"} <= looked_at
    assert "ok\tjournal mode\twal" in cli("doctor").out


def test_a_file_that_is_not_there_is_not_made(cli: Cli, tmp_path: Path) -> None:
    cli.options[-1] = f"sqlite:///{tmp_path}/nosuch.db"
    told = doctor(cli)
    assert (told.code, wrong(told)[0][2]) == (3, "there is no such file")
    assert not (tmp_path / "nosuch.db").exists()


def test_a_folder_is_told_to_be_one(cli: Cli, tmp_path: Path) -> None:
    cli.options[-1] = f"sqlite:///{tmp_path}"
    told = doctor(cli)
    assert (told.code, wrong(told)[0][2]) == (3, "it is a folder")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("PRAGMA application_id = 1", "it is no event store"),
        ("PRAGMA user_version = 99", "it has format 99, this eventkit reads up to 1"),
    ],
)
def test_a_file_that_is_none_of_ours_cannot_be_used(cli: Cli, statement: str, told: str) -> None:
    connection = sqlite3.connect(cli.folder / "events.db", isolation_level=None)
    connection.execute(statement)
    connection.close()
    found = doctor(cli)
    assert found.code == 3
    assert told in wrong(found)[0][2]


def test_a_file_that_is_cut_off_cannot_be_used(cli: Cli) -> None:
    path = cli.folder / "events.db"
    os.truncate(path, path.stat().st_size - 100)
    found = doctor(cli)
    assert found.code == 3
    assert any("cut off" in told or "damaged" in told for _, _, told in wrong(found))


def test_another_journal_mode_is_a_warning_with_the_command_that_mends_it(cli: Cli) -> None:
    path = cli.folder / "events.db"
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    connection.close()
    found = doctor(cli)
    assert (found.code, wrong(found)[0][:2]) == (1, ("warning", "journal mode"))
    (fix,) = [it["fix"] for it in found.lines if it["state"] == "warning"]
    command, file, statement = shlex.split(fix)
    assert (command, file) == ("sqlite3", str(path))
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(statement)
    connection.close()
    assert doctor(cli).code == 0


def test_a_lock_that_is_held_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.sqlite.checkup._LOCKED", 0.05)
    holder = sqlite3.connect(cli.folder / "events.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    found = doctor(cli)
    holder.close()
    assert (found.code, wrong(found)[0][1]) == (1, "write lock")
    assert "fuser -v" in found.out
    assert doctor(cli).code == 0


@pytest.mark.parametrize(("free", "state", "code"), [(1 << 29, "warning", 1), (1, "problem", 1)])
def test_a_disk_that_is_nearly_full_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, free: int, state: str, code: int
) -> None:
    usage = type("Usage", (), {"free": free})()
    monkeypatch.setattr("eventkit.health.checks.shutil.disk_usage", lambda _: usage)
    found = doctor(cli)
    assert found.code == code
    assert [(it, what.startswith("disk space")) for it, what, _ in wrong(found)] == [(state, True)]


def test_a_file_that_may_not_be_written_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cli.folder / "events.db"
    access = os.access
    monkeypatch.setattr(  # root may write everything
        "eventkit.health.checks.os.access",
        lambda it, mode: it != path and access(it, mode),
    )
    found = doctor(cli)
    assert found.code == 3
    assert wrong(found) == [
        ("problem", f"permissions of {path}", f"this user may not read and write {path}")
    ]


def test_wrong_usage_is_told(cli: Cli) -> None:
    assert doctor(cli, "--role", "boss").code == 2
    assert doctor(cli, "--index", "x.db").code == 2
    for url in ("sqlite:", "postgresql://ann:hunter2@h/d"):
        cli.options[-1] = url
        told = doctor(cli)
        assert (told.code, "hunter2" in told.out + told.err) == (2, False)


def test_machines_get_one_object_a_line(cli: Cli) -> None:
    process = cli.start("doctor", "--json")
    out, _ = process.communicate(timeout=60)
    for line in out.splitlines():
        assert set(json.loads(line)) == {"what", "state", "told", "fix", "unusable"}
    assert process.returncode == 0
