"""`eventkit dead-letters`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit.projection import failures as failing
from tests.acceptance import poisoned
from tests.acceptance.cli_kit import Cli, event
from tests.acceptance.test_cli_verify import damage


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Six guests arrived and two left; the handler could not take guests 2 and 3."""
    monkeypatch.setattr(failing, "_PAUSES", (0, 0))
    monkeypatch.setattr(poisoned, "BROKEN", {"guest-2", "guest-3"})
    cli = Cli(tmp_path, app="tests.acceptance.poisoned")
    arrivals = [event(n, subject=f"guest-{n}") for n in range(6)]
    departures = [event(6 + n, subject=f"guest-{n}", type="GuestLeft", data={}) for n in (2, 4)]
    cli("import", cli.file("log.jsonl", arrivals + departures))
    told = cli("projection", "run")
    assert (told.code, told.out) == (
        1,
        "presence: 5 events handled; ready, at position 8 of 8; 3 parked, see dead-letters list\n",
    )
    assert told.err.startswith("3 event(s) were parked; the read models lack them.")
    yield cli
    cli.close()


def parked(cli: Cli) -> list[tuple[int, str, int, str]]:
    return [
        (it["number"], it["aggregate_id"], it["aggregate_version"], it["state"])
        for it in cli("dead-letters", "list", "--json").lines
    ]


def test_the_exit_code_tells_of_events_that_were_parked_by_this_command(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = cli("projection", "run")
    assert (again.code, again.err) == (0, "")
    cli("import", cli.file("more.jsonl", [event(20, subject="guest-3", type="GuestLeft", data={})]))
    behind = cli("projection", "run", "--json")
    assert (behind.code, behind.lines[0]["handled"], behind.lines[0]["parked"]) == (1, 0, 4)
    assert behind.err.startswith("1 event(s) were parked;")
    rebuilt = cli("projection", "rebuild", "presence")
    assert (rebuilt.code, rebuilt.err.startswith("4 event(s) were parked;")) == (1, True)
    monkeypatch.setattr(poisoned, "BROKEN", set())
    mended = cli("projection", "rebuild", "presence")
    assert (mended.code, mended.err) == (0, "")


def test_parked_events_are_listed(cli: Cli) -> None:
    told = cli("dead-letters", "list")
    header, *rows = [line.split("\t") for line in told.out.splitlines()]
    assert header == [
        "number", "projection", "kind", "aggregate", "version", "type", "state", "attempts",
        "parked at", "error",
    ]  # fmt: skip
    assert [[*row[1:8], row[9]] for row in rows] == [
        ["presence v1", "handler", "guest-2", "1", "GuestArrived", "failed", "3",
         "RuntimeError: no room"],
        ["presence v1", "handler", "guest-3", "1", "GuestArrived", "failed", "3",
         "RuntimeError: no room"],
        ["presence v1", "handler", "guest-2", "2", "GuestLeft", "waiting", "0", ""],
    ]  # fmt: skip


def test_the_list_can_be_of_one_projection_and_needs_no_app(cli: Cli) -> None:
    other = Cli(cli.folder, app=None)
    assert len(other("dead-letters", "list", "presence", "--json").lines) == 3
    none = other("dead-letters", "list", "absence")
    assert (none.code, none.out, none.err) == (0, "", "no event is parked\n")


def test_a_letter_is_shown_with_its_event_and_where_the_handler_raised(cli: Cli) -> None:
    number = parked(cli)[0][0]
    told = Cli(cli.folder, app=None)("dead-letters", "show", str(number)).out
    assert "aggregate_id: guest-2\n" in told
    assert 'data: {"name": "Guest 2", "nights": 3}\n' in told
    assert 'raise RuntimeError("no room")' in told
    (shown,) = cli("dead-letters", "show", str(number), "--json").lines
    assert (shown["state"], shown["data"]["nights"]) == ("failed", 3)


def test_an_event_that_cannot_be_read_is_parked_shown_and_discarded(cli: Cli) -> None:
    cli("import", cli.file("more.jsonl", [event(90), event(91)]))
    damage(
        cli,
        "UPDATE events SET data = CAST(data || x'00' AS BLOB) "
        "WHERE aggregate_id = 'guest-9' AND version = 1",
    )
    told = cli("projection", "run")
    assert (told.code, told.err.startswith("2 event(s) were parked;")) == (1, True)
    number = next(it[0] for it in parked(cli) if it[1] == "guest-9" and it[3] == "failed")
    for other in (cli, Cli(cli.folder, app=None)):
        (shown,) = other("dead-letters", "show", str(number), "--json").lines
        assert (shown["event_type"], shown["data"]) == ("GuestArrived", None)
        assert "UndecodableEvent" in shown["error"]
        assert "guest-9 version 1" in shown["unreadable"]
        assert "unreadable: guest-9 version 1" in other("dead-letters", "show", str(number)).out
    assert cli("dead-letters", "retry", str(number)).code == 1
    told = cli("dead-letters", "discard", str(number), "--reason", "lost")
    assert (told.code, [it for it in parked(cli) if it[1] == "guest-9"]) == (0, [])


@pytest.mark.parametrize(
    ("change", "aggregate"),
    [
        ("metadata = '[7', event_id = x'00'", "guest-9"),
        ("metadata = CAST(x'7b22ff' AS TEXT)", "guest-9"),
        ("aggregate_id = CAST(x'677565737420ff' AS TEXT)", "guest \\xff"),
    ],
)
def test_an_event_with_a_damaged_row_is_parked_shown_and_discarded(
    cli: Cli, change: str, aggregate: str
) -> None:
    cli("import", cli.file("more.jsonl", [event(90)]))
    damage(
        cli,
        f"UPDATE events SET data = CAST(data || x'00' AS BLOB), {change} "  # noqa: S608
        "WHERE aggregate_id = 'guest-9'",
    )
    told = cli("projection", "run")
    assert (told.code, told.err.startswith("1 event(s) were parked;")) == (1, True)
    number = next(it[0] for it in parked(cli) if it[1] == aggregate)
    for other in (cli, Cli(cli.folder, app=None)):
        (shown,) = other("dead-letters", "show", str(number), "--json").lines
        assert (shown["position"], shown["data"]) == ("events/0/9", None)
        assert (shown["event_id"] is None) == ("event_id" in change)
        assert "the row is damaged" in shown["error"]
        assert f"aggregate_id: {aggregate}\n" in other("dead-letters", "show", str(number)).out
    told = cli("dead-letters", "retry", str(number))
    assert (told.code, "failed again: StoreCorrupted" in told.err) == (1, True)
    told = cli("dead-letters", "discard", str(number), "--reason", "lost")
    assert (told.code, [it for it in parked(cli) if it[1] == aggregate]) == (0, [])
    assert "discarded: lost" in cli("dead-letters", "list", "--all").out


def test_a_retry_with_mended_code_applies_them_all(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poisoned, "BROKEN", set())
    told = cli("dead-letters", "retry")
    assert (told.code, told.out) == (0, "presence: 3 events applied, 0 are parked\n")
    assert parked(cli) == []
    again = cli("dead-letters", "retry")
    assert (again.code, again.err) == (0, "no event is parked\n")


def test_a_retry_of_one_letter_takes_its_aggregate_in_order(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poisoned, "BROKEN", set())
    waiting = next(it[0] for it in parked(cli) if it[3] == "waiting")
    told = cli("dead-letters", "retry", str(waiting), "--json")
    assert told.lines == [{"name": "presence", "applied": 2, "failed": [], "parked": 1}]
    assert [it[1] for it in parked(cli)] == ["guest-3"]


def test_a_retry_that_fails_again_says_where_and_makes_the_exit_code(cli: Cli) -> None:
    told = cli("dead-letters", "retry")
    assert (told.code, told.out) == (1, "presence: 0 events applied, 3 are parked\n")
    assert "guest-2 version 1, failed again: RuntimeError: no room" in told.err
    assert {it["attempts"] for it in cli("dead-letters", "list", "--json").lines} == {4, 0}


def test_a_discarded_event_keeps_its_record_and_lets_the_others_go_on(cli: Cli) -> None:
    number = parked(cli)[0][0]
    told = cli("dead-letters", "discard", str(number), "--reason", "a test of ours")
    assert (told.code, told.out) == (0, "presence: 1 events applied, 1 are parked\n")
    assert [it[1] for it in parked(cli)] == ["guest-3"]
    assert "discarded: a test of ours" in cli("dead-letters", "list", "--all").out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "99"], 1, "dead letter 99: there is none. See: eventkit dead-letters list"),
        (["retry", "99"], 1, "dead letter 99: there is none"),
        (["discard", "99", "--reason", "x"], 1, "dead letter 99: there is none"),
        (["discard", "1"], 2, "Missing option '--reason'"),
        (["discard", "1", "--reason", " "], 2, "give a reason"),
        (["show", "one"], 2, "valid integer"),
        (["retry", "0"], 2, "greater than or equal to 1"),
    ],
)
def test_wrong_input_is_told(cli: Cli, arguments: list[str], code: int, message: str) -> None:
    told = cli("dead-letters", *arguments)
    assert (told.code, told.out) == (code, "")
    assert message in told.err


def test_a_letter_that_was_discarded_is_not_parked_any_more(cli: Cli) -> None:
    number = str(parked(cli)[0][0])
    cli("dead-letters", "discard", number, "--reason", "a test of ours")
    told = cli("dead-letters", "discard", number, "--reason", "again")
    assert told.code == 1
    assert "it was discarded already: a test of ours" in told.err
    assert cli("dead-letters", "retry", number).code == 1


def test_without_read_models_there_is_nothing_to_list(tmp_path: Path) -> None:
    told = Cli(tmp_path, app=None)("dead-letters", "list")
    assert told.code == 3
    assert "there are no read models" in told.err


def test_a_projection_that_the_app_lacks_cannot_be_retried(cli: Cli) -> None:
    other = Cli(cli.folder)
    told = other("dead-letters", "retry", str(parked(cli)[0][0]))
    assert told.code == 2
    assert "has no projection 'presence'" in told.err


def test_another_version_of_the_code_cannot_retry(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poisoned.Presence, "version", 2)
    told = cli("dead-letters", "retry", str(parked(cli)[0][0]))
    assert told.code == 1
    assert "is of presence version 1, this code is presence version 2" in told.err


def test_what_another_version_has_to_retry_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poisoned.Presence, "version", 2)
    told = cli("dead-letters", "retry")
    assert (told.code, told.out) == (1, "")
    assert told.err == (
        "error: presence: 3 parked events are of version 1, this code is version 2; the code of "
        "version 1 retries them\n"
    )
    assert len(parked(cli)) == 3
    cli("projection", "rebuild", "presence", "--beside")
    assert len(parked(cli)) == 6
    monkeypatch.setattr(poisoned, "BROKEN", set())
    told = cli("dead-letters", "retry")
    assert (told.code, told.out) == (1, "presence: 3 events applied, 0 are parked\n")
    assert "presence: 3 parked events are of version 1, this code is version 2" in told.err
    monkeypatch.setattr(poisoned.Presence, "version", 1)
    told = cli("dead-letters", "retry")
    assert (told.code, told.out) == (0, "presence: 3 events applied, 0 are parked\n")


def test_the_wrong_store_is_noticed(cli: Cli, tmp_path: Path) -> None:
    other = Cli(tmp_path / "other", app="tests.acceptance.poisoned")
    other.folder.mkdir()
    other("import", other.file("log.jsonl", [event(50 + n) for n in range(9)]))
    url = f"sqlite:///{cli.folder}/events-read-models.db"
    told = other("--read-models", url, "dead-letters", "retry")
    assert (told.code, told.out) == (1, "presence: 0 events applied, 3 are parked\n")
    assert "guest-2 version 1 at events/0/3, which is not in this store" in told.err
    assert len(parked(cli)) == 3


def test_an_event_that_is_gone_stops_no_other_and_can_be_given_up(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poisoned, "BROKEN", set())
    damage(cli, "DELETE FROM events WHERE aggregate_id = 'guest-2' AND version = 1")
    number = parked(cli)[0][0]
    told = cli("dead-letters", "retry")
    assert (told.code, told.out) == (1, "presence: 1 events applied, 2 are parked\n")
    assert f"eventkit dead-letters discard {number} --reason" in told.err
    assert {it[1] for it in parked(cli)} == {"guest-2"}
    told = cli("dead-letters", "discard", str(number), "--reason", "gone")
    assert (told.code, told.out) == (0, "presence: 1 events applied, 0 are parked\n")


def test_a_discard_with_another_event_gone_behind_it_tells_both(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poisoned, "BROKEN", set())
    damage(cli, "DELETE FROM events WHERE aggregate_id = 'guest-2'")
    first = next(it[0] for it in parked(cli) if it[1:3] == ("guest-2", 1))
    behind = next(it[0] for it in parked(cli) if it[1:3] == ("guest-2", 2))
    told = cli("dead-letters", "discard", str(first), "--reason", "gone")
    assert (told.code, told.out) == (1, "presence: 0 events applied, 2 are parked\n")
    assert f"eventkit dead-letters discard {behind} --reason" in told.err
    assert first not in [it[0] for it in parked(cli)]


def test_a_projection_that_cannot_be_retried_hinders_no_other(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Cli(cli.folder, app="tests.acceptance.poisoned_twice")
    assert both("projection", "run", "visits").code == 1
    monkeypatch.setattr(poisoned, "BROKEN", set())
    told = both("dead-letters", "retry")
    assert (told.code, told.out) == (1, "visits: 3 events applied, 0 are parked\n")
    assert "projection presence: " in told.err
    assert "rebuild it" in told.err
