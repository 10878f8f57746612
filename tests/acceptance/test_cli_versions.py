"""`eventkit projection`: versions beside each other, and resets."""

import pytest

from tests.acceptance.cli_kit import Cli, event


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """A store with 30 guests, and read models of version 1 and 2 live."""
    cli("import", cli.file("log.jsonl", [event(n, subject=f"guest-{n}") for n in range(30)]))
    cli("projection", "run")
    return cli


@pytest.fixture
def newer(filled: Cli) -> Cli:
    """The command with the code of the next version."""
    return Cli(filled.folder, app="tests.acceptance.hotel_renewed")


def test_a_new_version_is_built_compared_switched_to_and_dropped(filled: Cli, newer: Cli) -> None:
    assert newer("projection", "run", "occupancy").code == 1
    assert newer("projection", "rebuild", "occupancy", "--beside").out == (
        "occupancy: 30 events handled; ready, at position 30 of 30\n"
    )
    compared = filled("projection", "diff", "occupancy", "--rows", "1")
    assert compared.code == 1
    assert compared.out.splitlines() == [
        "table\trows v1\trows v2\tcompared\tonly v1\tonly v2\tdifferent",
        "rooms\t30\t30\t30\t0\t0\t30",
        "rooms: only version 2 has the column 'floor'",
        "rooms guest=guest-0: nights is 1 in v1 and 2 in v2",
        "occupancy: version 1 and version 2 are different",
    ]
    assert filled("projection", "switch", "occupancy").out == (
        "occupancy: version 2 is live; version 1 is kept for a rollback\n"
    )
    (done,) = filled("projection", "rollback", "occupancy", "--json").lines
    assert done == {"name": "occupancy", "live": 1, "previous": 2, "dropped": None, "behind": 0}
    (done,) = filled("projection", "drop", "occupancy", "--json").lines
    assert done == {"name": "occupancy", "dropped": 2}


def test_equal_versions_end_with_code_0(filled: Cli) -> None:
    same = Cli(filled.folder, app="tests.acceptance.hotel_again")
    same("projection", "rebuild", "occupancy", "--beside")
    (found,) = same("projection", "diff", "occupancy", "--json").lines
    assert (found["equal"], found["same_place"]) == (True, True)
    assert found["tables"][0]["rows_live"] == 30


def test_the_versions_are_listed(filled: Cli, newer: Cli) -> None:
    newer("projection", "rebuild", "occupancy", "--beside")
    header, *rows = filled("projection", "versions", "occupancy").out.splitlines()
    assert header.split("\t")[:4] == ["name", "version", "role", "state"]
    assert [row.split("\t") for row in rows] == [
        ["occupancy", "2", "beside", "ready", "30", "events/0/30", "rooms__v2"],
        ["occupancy", "1", "live", "ready", "30", "events/0/30", "rooms"],
    ]
    assert len(filled("projection", "versions", "--json").lines) == 3


def test_a_reset_and_a_run_make_the_same_model_again(filled: Cli) -> None:
    assert filled("projection", "reset", "occupancy", "--to-position", "events/0/12").out == (
        "occupancy: 12 events handled; at position 12 of 30; the command run goes on from there\n"
    )
    (done,) = filled("projection", "run", "occupancy", "--json").lines
    assert (done["handled"], done["lag"]) == (18, 0)
    (done,) = filled("projection", "reset", "occupancy", "--to-beginning", "--json").lines
    assert (done["handled"], done["position"], done["state"]) == (0, 0, "rebuilding")
    (done,) = filled("projection", "run", "occupancy", "--json").lines
    assert done["handled"] == 30


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("switch occupancy", 1, "has no beside version; it has 1 (live)"),
        ("rollback occupancy", 1, "has no previous version"),
        ("diff occupancy", 1, "no two versions to compare"),
        ("drop occupancy", 1, "no version to drop"),
        ("drop occupancy --version 1", 1, "version 1 is live"),
        ("drop occupancy --version 7", 1, "has no version 7"),
        ("switch none", 1, "it holds: occupancy, visits"),
        ("versions none", 2, "no projection 'none' has run into"),
        ("rebuild none --beside", 2, "has no projection 'none'; it has: occupancy, visits"),
        ("rebuild occupancy --beside", 1, "version 1 is the live one"),
        ("reset occupancy", 2, "say where to, by one of --to-beginning"),
        ("reset occupancy --to-beginning --to-position events/0/1", 2, "by one of"),
        ("reset occupancy --to-position events/0", 2, "write TOPIC/PARTITION/OFFSET"),
        ("reset occupancy --to-position events/0/-1", 2, "write TOPIC/PARTITION/OFFSET"),
        ("reset occupancy --to-position events/0/99", 2, "events/0 goes from 0 to 30"),
        ("reset occupancy --to-position other/0/1", 2, "reads no other/0; it reads events/0"),
        ("reset occupancy --to-time yesterday", 2, "is no time"),
        ("reset none --to-beginning", 2, "has no projection 'none'"),
    ],
)
def test_what_cannot_be_done_says_why_and_how_to_go_on(
    command: str, code: int, said: str, filled: Cli
) -> None:
    done = filled("projection", *command.split())
    assert done.code == code
    assert said in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["switch", "rollback", "diff", "drop"])
def test_without_read_models_nothing_is_made(command: str, cli: Cli) -> None:
    done = cli("projection", command, "occupancy")
    assert (done.code, list(cli.folder.iterdir())) == (3, [])
    assert "no read models in" in done.err
