"""Commands for a projection that builds nothing and has effects alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import mails
from tests.acceptance.cli_kit import Cli, event

_NOTHING = "mails has effects and no tables: there is nothing to "


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Two guests came before it ran for the first time, one of them left after that."""
    monkeypatch.setattr(mails, "SENT", [])
    cli = Cli(tmp_path, app="tests.acceptance.mails")
    cli("import", cli.file("log.jsonl", [event(0), event(10)]))
    assert cli("projection", "run").out == "mails: 0 events handled; ready, at position 2 of 2\n"
    leave(cli, 1)
    yield cli
    cli.close()


def leave(cli: Cli, number: int) -> None:
    line = event(50 + number, subject=f"guest-{number}", type="GuestLeft", data={})
    cli("import", cli.file(f"{number}.jsonl", [line]))


def test_it_is_listed_run_and_told_of(cli: Cli) -> None:
    assert cli("projection", "list", "--json").lines == [
        {"name": "mails", "version": 1, "categories": None, "tables": []}
    ]
    (status,) = cli("projection", "status", "--json").lines
    assert (status["position"], status["lag"], status["state"]) == (2, 1, "ready")
    assert cli("projection", "run").out == "mails: 1 events handled; ready, at position 3 of 3\n"
    assert mails.SENT == ["guest-1"]
    (version,) = cli("projection", "versions", "--json").lines
    assert (version["role"], version["tables"]) == ("live", [])
    assert cli("projection", "versions").code == 0


@pytest.mark.parametrize("beside", [[], ["--beside"]])
def test_a_rebuild_says_that_there_is_nothing_to_rebuild(
    cli: Cli, beside: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if beside:
        monkeypatch.setattr(mails.Mails, "version", 2)
    told = cli("projection", "rebuild", "mails", *beside)
    assert (told.code, told.err.startswith(f"{_NOTHING}rebuild. Effects never run again")) == (
        0, True,
    )  # fmt: skip
    sent = [] if beside else ["guest-1"]
    assert sent == mails.SENT
    if beside:
        assert cli("projection", "diff", "mails").out == f"{_NOTHING}compare\n"
        assert cli("projection", "switch", "mails").out == (
            "mails: version 2 is live; version 1 is kept for a rollback\n"
        )
        cli("projection", "run")
        assert mails.SENT == ["guest-1"]
        assert cli("projection", "drop", "mails").out == "mails: version 1 is dropped\n"


def test_a_reset_is_refused_and_a_verification_has_nothing_to_compare(cli: Cli) -> None:
    told = cli("projection", "reset", "mails", "--to-beginning")
    assert (told.code, f"{_NOTHING}reset" in told.err, mails.SENT) == (1, True, [])
    told = cli("verify", "--projection", "mails")
    assert (told.code, mails.SENT) == (0, [])
    assert "mails has effects and no tables: nothing to compare" in told.out + told.err
