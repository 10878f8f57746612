"""`eventkit events`, `state` and `replay`."""

import json
from collections.abc import Iterator

import pytest

from eventkit.cli import output
from tests.acceptance.cli_kit import Cli, event, events

LIFE = [
    event(0, subject="guest-ann", data={"name": "Ann [b]", "nights": 2}),
    event(
        1,
        type="ExtraOrdered",
        subject="guest-ann",
        data={"extras": [{"what": "wine", "price": "12.50"}], "photo": "_w=="},
    ),
    event(2, type="GuestLeft", subject="guest-ann", data={}),
]


@pytest.fixture
def lived(cli: Cli) -> Cli:
    """A store with the life of one guest, and others around it."""
    cli("import", cli.file("log.jsonl", [*LIFE, *events(30)[3:]]))
    return cli


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let standard output be taken for a terminal, 60 columns wide."""
    monkeypatch.setattr(output.OUT, "_force_terminal", True)
    monkeypatch.setattr(output.OUT, "_width", 60)
    yield
    monkeypatch.undo()


@pytest.fixture(params=["with the app", "without"])
def either(lived: Cli, request: pytest.FixtureRequest) -> Cli:
    """The same store, looked at with and without the user's classes."""
    return lived if request.param == "with the app" else Cli(lived.folder, app=None)


def test_events_are_rows_parted_by_tabs(either: Cli) -> None:
    header, first, second, third = either("events", "guest-ann").out.splitlines()
    assert header.split("\t") == ["version", "time", "type", "user", "data"]
    assert first.split("\t") == [
        "1", "2020-09-13T10:00:00.000Z", "GuestArrived", "desk",
        '{"name": "Ann [b]", "nights": 2}',
    ]  # fmt: skip
    assert second.split("\t")[-1] == (
        '{"extras": [{"what": "wine", "price": "12.50"}], "photo": "_w==", "wait": null}'
    )
    assert third.split("\t")[2:] == ["GuestLeft", "desk", "{}"]


def test_times_are_shown_as_exactly_as_they_are_kept(cli: Cli) -> None:
    log = cli.file("log.jsonl", [event(0, time="2020-01-01T00:00:00.000001Z")])
    cli("import", log)
    assert "\t2020-01-01T00:00:00.000001Z\t" in cli("events", "guest-0").out


def test_events_as_json_are_the_lines_that_were_imported(either: Cli) -> None:
    shown = either("events", "guest-ann", "--json").lines
    given = [json.loads(line) for line in LIFE]
    assert [(it["id"], it["type"], it["source"]) for it in shown] == [
        (it["id"], it["type"], it["source"]) for it in given
    ]
    assert [it["aggregateversion"] for it in shown] == [1, 2, 3]
    assert shown[0]["data"] == given[0]["data"]


@pytest.mark.parametrize(
    ("options", "versions"),
    [
        (["--from", "2"], [2, 3]),
        (["--to", "2"], [1, 2]),
        (["--from", "2", "--to", "2"], [2]),
        (["--from", "4"], []),
        (["--as-of", "2020-09-13T10:00:01Z"], [1, 2]),
        (["--as-of", "2020-09-13T12:00:01.999999+02:00", "--from", "2"], [2]),
    ],
)
def test_events_can_be_cut(either: Cli, options: list[str], versions: list[int]) -> None:
    shown = either("events", "guest-ann", "--json", *options).lines
    assert [it["aggregateversion"] for it in shown] == versions


def test_an_aggregate_without_events_is_an_error(either: Cli) -> None:
    done = either("events", "guest-bob")
    assert (done.code, done.err) == (1, "error: guest-bob has no events\n")


def test_a_moment_before_its_first_event_is_an_error(either: Cli) -> None:
    done = either("events", "guest-ann", "--as-of", "2020-01-01T00:00:00Z")
    assert (done.code, done.err) == (
        1,
        "error: guest-ann had no events at 2020-01-01T00:00:00+00:00\n",
    )


def test_what_is_no_aggregate_id_is_wrong_usage(either: Cli) -> None:
    done = either("events", "ann")
    assert done.code == 2
    assert done.err.startswith("error: 'ann' is not an aggregate id: ")


def test_events_of_types_that_the_app_lacks_are_shown_as_recorded(lived: Cli) -> None:
    other = Cli(lived.folder, app="eventkit.examples.tasks")
    assert len(other("events", "guest-ann", "--json").lines) == 3


@pytest.mark.usefixtures("on_terminal")
def test_a_terminal_gets_a_table_that_fits_and_in_which_data_is_no_markup(lived: Cli) -> None:
    out = lived("events", "guest-ann").out
    assert max(map(len, out.splitlines())) <= 60
    assert "[b]" in out


def test_the_state_is_a_table_of_fields(lived: Cli) -> None:
    assert lived("state", "guest-ann").out == (
        "Guest guest-ann, version 3\nfield\tvalue\nname\tAnn [b]\nbill\t12.50\npresent\tfalse\n"
    )


@pytest.mark.parametrize("option", [["--version", "2"], ["--as-of", "2020-09-13T12:00:01+02:00"]])
def test_the_state_of_an_earlier_time(lived: Cli, option: list[str]) -> None:
    assert lived("state", "guest-ann", "--json", *option).lines == [
        {
            "aggregate_id": "guest-ann",
            "version": 2,
            "state": {"name": "Ann [b]", "bill": "12.50", "present": True},
        }
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["guest-bob"], "guest-bob has no events"),
        (["guest-ann", "--version", "9"], "guest-ann is at version 3; there is no version 9"),
        (
            ["guest-ann", "--as-of", "2019-01-01T00:00:00Z"],
            "guest-ann had no events at 2019-01-01T00:00:00+00:00",
        ),
    ],
)
def test_a_state_that_never_was_is_an_error(lived: Cli, options: list[str], message: str) -> None:
    done = lived("state", *options)
    assert (done.code, done.err) == (1, f"error: {message}\n")


def test_a_version_and_a_moment_together_are_wrong_usage(lived: Cli) -> None:
    done = lived("state", "guest-ann", "--version", "2", "--as-of", "2020-01-01T00:00:00Z")
    assert done.code == 2
    assert "give one" in done.err


def test_attributes_that_are_no_fields_are_named(lived: Cli) -> None:
    other = Cli(lived.folder, app="tests.acceptance.untyped")
    done = other("state", "guest-ann")
    assert (done.code, done.out) == (0, "Guest guest-ann, version 3\nfield\tvalue\nseen\t3\n")
    assert done.err == (
        "not shown: last, name; state is what Guest declares as fields with a type\n"
    )


def test_replay_prints_the_log_in_its_order(either: Cli) -> None:
    shown = either("replay").lines
    assert [it["id"] for it in shown] == [json.loads(line)["id"] for line in events(30)]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--type", "GuestLeft"], [2]),
        (["--type", "GuestLeft", "--type", "ExtraOrdered"], [1, 2]),
        (["--type", "Gone"], []),
        (["--workspace", "south", "--limit", "2"], [0, 2]),
        (["--category", "room"], []),
        (["--category", "room", "--category", "guest", "--limit", "1"], [0]),
        (["--limit", "0"], []),
        (["--since", "2020-09-13T10:00:28Z"], [28, 29]),
        (["--until", "2020-09-13T12:00:02+02:00"], [0, 1]),
    ],
)
def test_replay_can_be_filtered(either: Cli, options: list[str], numbers: list[int]) -> None:
    done = either("replay", *options)
    assert done.code == 0
    assert [it["id"] for it in done.lines] == [json.loads(event(n))["id"] for n in numbers]


@pytest.mark.parametrize(
    ("time", "fix"),
    [
        ("2020-09-13", "2020-09-13T00:00:00+02:00, or Z for UTC: 2020-09-13T00:00:00Z"),
        ("2020-09-13T10:00", "2020-09-13T10:00:00+02:00, or Z for UTC: 2020-09-13T10:00:00Z"),
    ],
)
def test_a_time_without_a_zone_is_refused_with_the_fix(lived: Cli, time: str, fix: str) -> None:
    done = lived("replay", "--since", time)
    assert done.code == 2
    assert f"{time!r} has no time zone; add your offset, for example {fix}" in done.err


def test_no_time_at_all_is_refused(lived: Cli) -> None:
    done = lived("replay", "--since", "monday")
    assert done.code == 2
    assert "'monday' is no time" in done.err


@pytest.mark.parametrize("command", [["events", "guest-1"], ["state", "guest-1"], ["replay"]])
def test_reading_makes_no_store(cli: Cli, command: list[str]) -> None:
    done = cli(*command)
    assert done.code == 3
    assert done.err.startswith(f"error: there is no event store at {cli.url}; ")
    assert list(cli.folder.iterdir()) == []
