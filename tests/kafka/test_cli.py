"""Every command works on Kafka, and says how to go on where it cannot."""

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from eventkit.cli.main import app
from projections.sample import main as write_sample

APP = ("--app", "projections.permits")


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


def run(*arguments: str) -> Outcome:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def url(kafka_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log that does not exist yet; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    return f"kafka://{kafka_address}?prefix={uuid.uuid4().hex}.&fetch.wait.max.ms=10"


@pytest.fixture
def cli(url: str) -> Cli:
    return lambda *arguments: run(*APP, "--store", url, *arguments)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "sample.jsonl"
    write_sample([str(path), "--permits", "20"])
    return path


def make_topics(cli: Cli) -> None:
    made = cli("topics", "create", "permit", "--partitions", "2", "--replication", "1")
    assert (made.code, made.err) == (0, "")


def test_a_newcomer_sees_the_demo(cli: Cli, log: Path, tmp_path: Path) -> None:
    told = cli("demo", str(log))
    assert (told.code, told.err) == (0, "")
    assert re.search(r"Made on Kafka for this: \S+eventkit.schemas, \S+permit.events", told.out)
    assert told.out.count(" rows, equal") == 3
    assert list(tmp_path.glob("*-read-models.db"))
    again = cli("demo", str(log))
    assert "events were there already: none is added twice" in again.out
    assert (again.out.count(" rows, equal"), "Made on Kafka" in again.out) == (3, False)


def test_every_command_reads_what_was_imported(cli: Cli, log: Path) -> None:
    make_topics(cli)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    permit = lines[0]["subject"]
    imported = cli("import", str(log))
    assert imported.out.startswith(f"{len(lines):,} events read: {len(lines):,} appended, 0 al")
    again = cli("import", str(log), "--json")
    assert json.loads(again.out)["already_there"] == len(lines)
    shown = [json.loads(line) for line in cli("events", permit, "--json").out.splitlines()]
    assert [it["id"] for it in shown] == [it["id"] for it in lines if it["subject"] == permit]
    state = json.loads(cli("state", permit, "--json").out)
    assert (state["aggregate_id"], state["version"]) == (permit, len(shown))
    replayed = [json.loads(line) for line in cli("replay").out.splitlines()]
    assert sorted(it["id"] for it in replayed) == sorted(it["id"] for it in lines)


def test_projections_read_from_kafka(cli: Cli, log: Path) -> None:
    make_topics(cli)
    cli("import", str(log))
    count = len(log.read_text().splitlines())
    new = [json.loads(line) for line in cli("projection", "status", "--json").out.splitlines()]
    assert {(it["state"], it["position"], it["lag"] >= count) for it in new} == {("new", 0, True)}
    run = [json.loads(line) for line in cli("projection", "run", "--json").out.splitlines()]
    assert {(it["handled"], it["state"], it["lag"]) for it in run} == {(count, "ready", 0)}
    rebuilt = cli("projection", "rebuild", "open_permits")
    assert rebuilt.out.startswith(f"open_permits: {count:,} events handled; ready")
    assert cli("projection", "run", "open_permits").out.startswith("open_permits: 0 events")


def test_a_log_without_topics_is_told_with_the_command_that_makes_them(
    cli: Cli, url: str, log: Path
) -> None:
    create = f"eventkit --store '{url}' topics create"
    size = "--partitions 12 --replication 1"
    for command in (
        ["events", "permit-1"],
        ["state", "permit-1"],
        ["replay"],
        ["import", str(log)],
    ):
        told = cli(*command)
        assert (told.code, "there is no event store at" in told.err) == (3, True)
        assert told.err.splitlines()[-1] == f"{create} CATEGORY {size}"
    cli("topics", "create", "task", "--partitions", "2", "--replication", "1")
    written = cli("import", str(log))
    assert (written.code, "had no topics for the category 'permit'" in written.err) == (3, True)
    assert written.err.splitlines()[-1] == f"{create} permit {size}"


def test_the_example_comes_into_no_log_of_somebody_else(cli: Cli, url: str) -> None:
    make_topics(cli)
    told = run("--store", url, "demo")
    assert (told.code, "holds events already; say --app MODULE" in told.err) == (2, True)
    assert "task" not in cli("topics", "check").out


def test_an_address_where_nothing_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.cli.kafka._TIMEOUT", 1.0)
    told = run(*APP, "--store", "kafka://localhost:1", "events", "permit-1")
    assert (told.code, "Kafka at localhost:1 cannot be used" in told.err) == (3, True)
    assert "Is a broker up there" in told.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kafka://", "write kafka://host:port"),
        ("kafka://ann:hunter2@h:1", "a URL is no place for passwords"),
        ("kafka://h:1?sasl.password=hunter2", "a URL is no place for sasl.password"),
        ("kafka://h:1?retention=1", "unknown option 'retention'"),
        ("kafka://h:1?acks=1&x.y=1", "unknown option 'acks'"),
        ("kafka://h:1?no.such.setting=1", 'No such configuration property: "no.such.setting"'),
    ],
)
def test_wrong_urls_are_wrong_usage(url: str, message: str) -> None:
    told = run(*APP, "--store", url, "replay")
    assert (told.code, message in told.err, "hunter2" in told.err) == (2, True, False)
