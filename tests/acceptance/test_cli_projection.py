"""`eventkit projection`."""

import signal
import sqlite3
import threading
from collections.abc import Mapping

import pytest

from eventkit.cli import following, projections
from eventkit.cli.session import Session
from eventkit.errors import CategoryAdded
from eventkit.projection import ReadModels, Runner
from tests.acceptance.cli_kit import Cli, event
from tests.acceptance.hotel import Occupancy


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """A store with 30 guests, two of whom left again."""
    arrivals = [event(n, subject=f"guest-{n}") for n in range(30)]
    departures = [event(30 + n, subject=f"guest-{n}", type="GuestLeft", data={}) for n in (3, 4)]
    cli("import", cli.file("log.jsonl", arrivals + departures))
    return cli


def guests(cli: Cli) -> int:
    """How many guests the read model holds."""
    with (
        ReadModels(f"sqlite:///{cli.folder}/events-read-models.db") as models,
        models.connect() as connection,
    ):
        return len(connection.execute(Occupancy.rooms.select()).all())


def test_the_projections_of_the_app_are_listed(cli: Cli) -> None:
    assert cli("projection", "list").out == (
        "name\tversion\tcategories\ttables\noccupancy\t1\tguest\trooms\nvisits\t2\tall\tvisits\n"
    )


def test_the_list_comes_as_json(cli: Cli) -> None:
    assert cli("projection", "list", "--json").lines == [
        {"name": "occupancy", "version": 1, "categories": ["guest"], "tables": ["rooms"]},
        {"name": "visits", "version": 2, "categories": None, "tables": ["visits"]},
    ]


def test_an_app_without_projections_says_so(cli: Cli) -> None:
    done = Cli(cli.folder, app="tests.acceptance.untyped")("projection", "list")
    assert (done.code, done.err) == (0, "the app has no projections\n")


def test_run_brings_all_read_models_up_to_the_log(filled: Cli) -> None:
    assert filled("projection", "run").out == (
        "occupancy: 32 events handled; ready, at position 32 of 32\n"
        "visits: 30 events handled; ready, at position 32 of 32\n"
    )
    assert guests(filled) == 28


def test_a_signal_while_a_store_is_opened_again_drains_as_any_other(
    filled: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[bool] = []

    def follow(
        runners: Mapping[str, Runner], stop: threading.Event, *_: object
    ) -> Mapping[str, int]:
        rounds.append(stop.is_set())
        if len(rounds) == 1:
            raise CategoryAdded(("depot",))
        return following.follow(runners, stop)

    def opened(cli: Session) -> object:
        if rounds:
            signal.raise_signal(signal.SIGTERM)
        return opening(cli)

    opening = Session.open_existing_store
    monkeypatch.setattr(Session, "open_existing_store", opened)
    monkeypatch.setattr(projections, "follow", follow)
    told = filled("projection", "run", "occupancy", "--follow")
    assert (told.code, rounds) == (0, [False, True])
    assert told.out.startswith("occupancy: 0 events handled; ")


def test_workers_cannot_share_a_rebuild_of_the_embedded_store_and_nothing_is_cleared(
    filled: Cli,
) -> None:
    filled("projection", "run")
    told = filled("projection", "rebuild", "occupancy", "--workers", "2")
    assert (told.code, "the embedded store has only one" in told.err) == (2, True)
    assert guests(filled) == 28


def test_run_goes_on_where_it_was(filled: Cli) -> None:
    filled("projection", "run", "occupancy")
    left = [event(40, subject="guest-5", type="GuestLeft", data={})]
    filled("import", filled.file("more.jsonl", left))
    (done,) = filled("projection", "run", "occupancy", "--json").lines
    assert (done["name"], done["handled"], done["position"], done["lag"]) == (
        "occupancy", 1, 33, 0,
    )  # fmt: skip
    assert guests(filled) == 27


def test_status_tells_how_far_they_are_and_makes_nothing(filled: Cli) -> None:
    before = {path.name for path in filled.folder.iterdir()}
    (status,) = filled("projection", "status", "occupancy", "--json").lines
    assert status.pop("lag_seconds") > 0
    (part,) = status.pop("partitions")
    assert status == {
        "name": "occupancy", "version": 1, "position": 0, "end": 32, "lag": 32, "events": 0,
        "updated_at": None, "state": "new", "parked": 0, "rate": 0,
    }  # fmt: skip
    assert (part["topic"], part["partition"], part["lag"], part["state"]) == (
        "events",
        0,
        32,
        "new",
    )
    assert (part["worker"], part["error"]) == (None, None)
    assert {path.name for path in filled.folder.iterdir()} == before


def test_status_is_a_table(filled: Cli) -> None:
    filled("projection", "run", "visits")
    header, occupancy, visits = filled("projection", "status").out.splitlines()
    assert header.split("\t")[:4] == ["name", "version", "partition", "position"]
    told = occupancy.split("\t")
    assert told[:6] == ["occupancy", "1", "events/0", "0", "32", "32"]
    assert told[7:] == ["0", "0.0", "0", "new", "", "", ""]
    assert visits.split("\t")[3:11] == ["32", "32", "0", "0.0", "30", "0.0", "0", "ready"]


def test_status_tells_that_the_read_model_was_built_from_a_longer_log(filled: Cli) -> None:
    filled("projection", "run")
    with sqlite3.connect(filled.folder / "events-read-models.db") as connection:
        connection.execute('UPDATE eventkit_checkpoints SET "offset" = 1600')
    connection.close()
    told = filled("projection", "status", "occupancy")
    assert "failed" in told.out
    assert "its checkpoint is at 1,600 and the log of this store ends at 32" in told.out
    assert "eventkit projection rebuild occupancy" in told.out
    (status,) = filled("projection", "status", "occupancy", "--json").lines
    assert status["state"] == "outdated"
    assert filled("projection", "run", "occupancy").code == 1


def test_rebuild_builds_the_same_again(filled: Cli) -> None:
    filled("projection", "run")
    assert filled("projection", "rebuild", "occupancy").out == (
        "occupancy: 32 events handled; ready, at position 32 of 32\n"
    )
    assert guests(filled) == 28


def test_read_models_go_where_they_are_asked_to(filled: Cli) -> None:
    filled.options += ["--read-models", f"sqlite:///{filled.folder}/other.db"]
    filled("projection", "run")
    assert (filled.folder / "other.db").exists()
    assert not (filled.folder / "events-read-models.db").exists()


@pytest.mark.parametrize("command", [["run", "none"], ["status", "none"], ["rebuild", "none"]])
def test_an_unknown_name_is_wrong_usage(filled: Cli, command: list[str]) -> None:
    done = filled("projection", *command)
    assert (done.code, done.err) == (
        2,
        "error: tests.acceptance.hotel has no projection 'none'; it has: occupancy, visits\n",
    )


@pytest.mark.parametrize("command", [["run"], ["status"], ["rebuild", "visits"]])
def test_they_make_no_store(cli: Cli, command: list[str]) -> None:
    assert cli("projection", *command).code == 3
    assert list(cli.folder.iterdir()) == []


def test_read_models_that_cannot_be_used_are_told_apart(filled: Cli) -> None:
    (filled.folder / "events-read-models.db").write_bytes(b"no database" * 100)
    done = filled("projection", "run")
    assert done.code == 3
    assert done.err.startswith("error: ")


def test_the_event_store_is_no_place_for_read_models(filled: Cli) -> None:
    filled.options += ["--read-models", filled.url]
    assert filled("projection", "run").code == 3
