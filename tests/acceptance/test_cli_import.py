"""`eventkit import`."""

import json
import os
from pathlib import Path

import pytest

from eventkit.importer import MAX_LINE_BYTES
from tests.acceptance.cli_kit import Cli, event, events, finish, summary
from tests.acceptance.hotel import GuestArrived


def test_a_file_goes_into_a_new_store(cli: Cli) -> None:
    done = cli("import", cli.file("log.jsonl", events(25)))
    assert (done.code, done.out, done.err) == (0, summary(appended=25, aggregates=3), "")
    with cli.open() as store:
        recorded = store.get_events("guest-2")
    assert [it.event for it in recorded] == [
        GuestArrived(name=f"Guest {number}", nights=1 + number % 3) for number in range(20, 25)
    ]


def test_a_second_import_adds_nothing(cli: Cli) -> None:
    log = cli.file("log.jsonl", events(25))
    cli("import", log)
    assert cli("import", log).out == summary(there=25, aggregates=3)


def test_standard_input_is_read_as_a_file(cli: Cli) -> None:
    done = cli("import", "-", stdin=b"\n".join(events(3)))
    assert (done.code, done.out) == (0, summary(appended=3, aggregates=1))


def test_the_counts_come_as_json(cli: Cli) -> None:
    done = cli("import", cli.file("log.jsonl", events(12)), "--json")
    assert done.lines == [
        {
            "read": 12,
            "appended": 12,
            "already_there": 0,
            "rejected": 0,
            "aggregates": 2,
            "rejected_file": None,
        }
    ]


def test_a_mark_at_the_beginning_blank_lines_and_other_ends_of_line_are_no_matter(cli: Cli) -> None:
    log = cli.folder / "log.jsonl"
    log.write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(events(3)) + b"\r\n\n  \n\n")
    assert cli("import", log).out == summary(appended=3, aggregates=1)


def test_an_empty_file_is_no_error(cli: Cli) -> None:
    assert cli("import", cli.file("log.jsonl", [])).out == summary(aggregates=0)


BROKEN = {
    "not JSON": (b"{nonsense", "not JSON: "),
    "not an object": (b"[]", "the line is a list, not a JSON object"),
    "a missing field": (event(9, subject=...), "missing: subject"),
    "a wrong type": (event(9, data={"name": 7}), "data.name: Input should be a valid string"),
    "an unknown type": (event(9, type="Gone"), "no event class reads the recorded type 'Gone'. "),
    "no aggregate id": (event(9, subject="guest"), "'guest' is not an aggregate id: "),
    "no time zone": (event(9, time="2020-01-01T00:00:00"), "time: '2020-01-01T00:00:00' has no "),
    "an empty id": (event(9, id=""), "id is empty"),
    "no UTF-8": (b'{"id": "\xff"}', "not UTF-8: byte 0xff at column 9"),
    "a NUL": (b'{"id": "\x00"}', "not JSON: control character"),
    "half a character": (event(9, data={"name": "\ud800"}), "not JSON: "),
    "a very long line": (b" " * MAX_LINE_BYTES + b"{}", "the line is longer than 8 MiB; one JSON"),
    "the id of another": (event(1, data={"name": "X"}), "id used twice with other content: it is "),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_line_stops_the_import_and_what_was_before_it_is_kept(cli: Cli, what: str) -> None:
    line, reason = BROKEN[what]
    log = cli.file("log.jsonl", [*events(3), line, event(4)])
    done = cli("import", log)
    assert (done.code, done.out) == (1, summary(appended=3, rejected=1, aggregates=1))
    assert done.err.startswith(f"{log}:4: {reason}")
    assert done.err.endswith(
        "\nstopped after line 4; mend the rejected line and import again, or say --keep-going\n"
    )
    with cli.open() as store:
        assert len(store.get_events("guest-0")) == 3


@pytest.mark.parametrize("what", BROKEN)
def test_with_keep_going_the_broken_lines_are_kept_as_they_are(cli: Cli, what: str) -> None:
    line, reason = BROKEN[what]
    log = cli.file("log.jsonl", [*events(3), line, event(4), line])
    done = cli("import", log, "--keep-going")
    assert (done.code, done.out) == (1, summary(appended=4, rejected=2, aggregates=1))
    first, second, hint = done.err.splitlines()
    assert first.startswith(f"{log}:4: {reason}")
    assert second.startswith(f"{log}:6: {reason}")
    assert hint == f"the rejected lines are in {log}.rejected.jsonl; mend them and import that file"
    assert Path(f"{log}.rejected.jsonl").read_bytes() == 2 * (line + b"\n")


def test_a_file_that_was_cut_off_is_said_to_be(cli: Cli) -> None:
    log = cli.folder / "log.jsonl"
    log.write_bytes(event(0) + b"\n" + event(1)[:50])
    done = cli("import", log, "--keep-going")
    assert done.err.startswith(f"{log}:2: not JSON: EOF while parsing")
    assert "(the last line, without an end: is the file cut off?)\n" in done.err
    assert Path(f"{log}.rejected.jsonl").read_bytes() == event(1)[:50] + b"\n"


def test_mended_lines_are_imported_from_the_file_of_rejected_ones(cli: Cli) -> None:
    log = cli.file("log.jsonl", [event(0), event(1, type="GuestArived"), event(2)])
    kept = cli.folder / "kept.jsonl"
    cli("import", log, "--keep-going", "--rejected", kept)
    kept.write_bytes(kept.read_bytes().replace(b"Arived", b"Arrived"))
    assert cli("import", kept).out == summary(appended=1, aggregates=1)


def test_no_file_of_rejected_lines_is_made_where_none_is_rejected(cli: Cli) -> None:
    cli("import", cli.file("log.jsonl", events(3)), "--keep-going")
    assert {path.name for path in cli.folder.iterdir()} == {"events.db", "log.jsonl"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"time": "2020-01-01T00:00:00Z"}, "timestamp"),
        ({"causedbyuser": "boss"}, "caused_by_user"),
        ({"workspaceid": "west"}, "workspace_id"),
        ({"source": "/other"}, "source"),
        ({"traceparent": "00"}, "traceparent"),
    ],
)
def test_a_recorded_id_with_other_metadata_is_rejected(
    cli: Cli, change: dict[str, str], what: str
) -> None:
    cli("import", cli.file("log.jsonl", events(3)))
    again = cli.file("again.jsonl", [event(2, **change)])
    assert cli("import", again).err.startswith(
        f"{again}:1: id used twice with other content: it is guest-0 version 3, and its {what} "
        "differs\n"
    )


def test_metadata_that_a_line_leaves_out_is_no_other_metadata(cli: Cli) -> None:
    cli("import", cli.file("log.jsonl", events(3)))
    again = cli.file("again.jsonl", [event(2, causedbyuser=..., workspaceid=...)])
    assert cli("import", again).out == summary(there=1, aggregates=1)


LATE = {
    "the id of an event that is recorded": event(2, workspaceid="west"),
    "a number that Avro cannot hold": event(9, data={"name": "X", "nights": 2**63}),
}


@pytest.mark.parametrize("what", LATE)
def test_where_only_the_store_can_refuse_a_line_it_is_said_how_far_was_read(
    cli: Cli, what: str
) -> None:
    cli("import", cli.file("log.jsonl", events(3)))
    done = cli("import", cli.file("more.jsonl", [LATE[what], event(3), event(4)]))
    assert (done.code, done.out) == (1, summary(appended=2, rejected=1, aggregates=1))
    assert "\nstopped after line 3; " in done.err


def test_a_recorded_id_at_another_aggregate_is_rejected(cli: Cli) -> None:
    cli("import", cli.file("log.jsonl", events(3)))
    again = cli.file("again.jsonl", [event(2, subject="guest-9")])
    assert "it is guest-0 version 3, and the append is for guest-9" in cli("import", again).err


def test_the_same_line_twice_in_a_file_is_one_event(cli: Cli) -> None:
    done = cli("import", cli.file("log.jsonl", [event(0), event(0), event(1)]))
    assert (done.code, done.out) == (0, summary(appended=2, there=1, aggregates=1))


def test_a_store_that_fails_ends_the_import_with_what_is_in_it(cli: Cli) -> None:
    (cli.folder / "events.db").write_bytes(b"no database" * 100)
    done = cli("import", cli.file("log.jsonl", events(3)))
    assert done.code == 3
    assert done.err.startswith("error: ")


def test_a_file_that_cannot_be_read_is_wrong_usage(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = cli.file("log.jsonl", events(3))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
    for file, why in ((log, "may not be read"), (cli.folder, "is a folder"), ("no", "not exist")):
        done = cli("import", file)
        assert done.code == 2
        assert why in done.err


@pytest.mark.parametrize("name", ["log.jsonl", "other.jsonl"])
def test_rejected_lines_go_neither_over_the_input_nor_nowhere(cli: Cli, name: str) -> None:
    log = cli.file("log.jsonl", events(3))
    going = ["--keep-going"] if name == "log.jsonl" else []
    done = cli("import", log, *going, "--rejected", cli.folder / name)
    assert done.code == 2
    assert log.read_bytes().count(b"\n") == 3


def test_lines_that_an_earlier_import_rejected_stay_where_they_are(cli: Cli) -> None:
    log = cli.file("log.jsonl", [event(0), b"{", event(1)])
    kept = [Path(f"{log}.rejected{number}.jsonl") for number in ("", "-2", "-3")]
    for number, path in enumerate(kept):
        done = cli("import", log, "--keep-going", "--json")
        assert done.lines[0]["rejected_file"] == str(path)
        assert path.read_bytes() == b"{\n"
        path.write_bytes(b"mended %d" % number)
    assert [path.read_bytes() for path in kept] == [b"mended 0", b"mended 1", b"mended 2"]


def test_the_file_of_rejected_lines_can_come_back_through_standard_input(cli: Cli) -> None:
    kept = cli.file("stdin.rejected.jsonl", [b"{", *events(5_000), b"["])
    before = kept.read_bytes()
    with kept.open("rb") as file:
        done = finish(cli.start("import", "-", "--keep-going", stdin=file, cwd=cli.folder))
    assert done.out == summary(appended=5_000, rejected=2, aggregates=500)
    assert kept.read_bytes() == before
    assert (cli.folder / "stdin.rejected-2.jsonl").read_bytes() == b"{\n[\n"


def test_a_file_for_rejected_lines_is_never_written_over(cli: Cli) -> None:
    log = cli.file("log.jsonl", [b"{"])
    kept = cli.file("kept.jsonl", [b"mended"])
    done = cli("import", log, "--keep-going", "--rejected", kept)
    assert (done.code, "name another file" in done.err) == (2, True)
    assert kept.read_bytes() == b"mended\n"
    kept.write_bytes(b"")  # as of mktemp
    assert cli("import", log, "--keep-going", "--rejected", kept).code == 1
    assert kept.read_bytes() == b"{\n"


def test_only_a_dash_is_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cli.folder)
    for number, (name, argument) in enumerate((("stdin", "stdin"), ("-", "./-"))):
        cli.file(name, [event(number)])
        assert cli("import", argument, stdin=b"").out == summary(appended=1, aggregates=1)


def test_a_file_for_rejected_lines_that_cannot_be_made_is_named(cli: Cli) -> None:
    log = cli.file("log.jsonl", [b"{"])
    kept = cli.folder / "none" / "kept.jsonl"
    done = cli("import", log, "--keep-going", "--rejected", kept)
    assert (done.code, done.err.splitlines()[-1]) == (
        3,
        f"error: {kept}: No such file or directory",
    )


def test_what_is_in_the_data_cannot_steer_the_terminal(cli: Cli) -> None:
    log = cli.file("log.jsonl", [event(0, type="\x1b[2J[red]X[/red]")])
    assert r"\x1b[2J[red]X[/red]" in cli("import", log).err


def test_what_replay_prints_can_be_imported_into_another_store(cli: Cli, tmp_path: Path) -> None:
    extras = [{"what": "wine", "price": "12.50"}, {"what": "cake", "price": "1E+1"}]
    ordered = {"extras": extras, "photo": "__79AA==", "wait": "PT1H0.000001S"}
    odd = event(11, type="ExtraOrdered", data=ordered, traceparent="00-1", correlationid="c")
    cli("import", cli.file("log.jsonl", [*events(11), odd, event(12, causedbyuser=...)]))
    copy = Cli(tmp_path / "copy")
    copy.folder.mkdir()
    assert (
        copy("import", copy.file("copy.jsonl", cli("replay").out.encode().splitlines())).code == 0
    )
    with cli.open() as one, copy.open() as other:
        assert list(one.replay()) == list(other.replay())
    assert json.loads(copy("replay").out.splitlines()[11])["data"] == ordered | {
        "photo": "__79AA=="
    }
