"""Each command that opens read models or a log, with a password, and a server out of reach."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from confluent_kafka import KafkaException
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from eventkit import connect
from eventkit.cli import projections
from eventkit.kafka.membership import Look
from tests.acceptance import hotel
from tests.kafka.verify_kit import run
from tests.projection.following import until

SECRET = "hunter2hunter2"  # noqa: S105 - made up
APP = "tests.acceptance.hotel"
NAME = "occupancy"

READ_MODELS = [
    ["projection", "run"], ["projection", "run", "--follow"], ["projection", "status"],
    ["projection", "rebuild", NAME], ["projection", "rebuild", NAME, "--beside"],
    ["projection", "versions"], ["projection", "diff", NAME], ["projection", "switch", NAME],
    ["projection", "rollback", NAME], ["projection", "drop", NAME],
    ["projection", "reset", NAME, "--to-beginning"],
    ["dead-letters", "list"], ["dead-letters", "show", "1"], ["dead-letters", "retry"],
    ["dead-letters", "discard", "1", "--reason", "a test"],
    ["verify", "--projection", NAME],
]  # fmt: skip
"""All commands that open the read models; `doctor` looks at the store alone."""
SAID = {
    "wrong port": "cannot be reached",
    "wrong password": "does not let this user in",
    "wrong database": "does not exist",
}
JSON = {"wrong port": [], "wrong password": ["--json"], "wrong database": []}


class Told(NamedTuple):
    """All that a command has said, whichever way, and its exit code."""

    code: int
    text: str


class Commands:
    """Runs commands and gathers what they say: output, and what any logger is told."""

    def __init__(
        self, store: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self._store, self._caplog, self._capfd = store, caplog, capfd
        caplog.set_level(logging.DEBUG)

    def __call__(self, *arguments: str, store: str | None = None) -> Told:
        self._caplog.clear()
        told = run("--app", APP, "--store", store or self._store, *arguments)
        out, err = self._capfd.readouterr()
        logged = "".join(f"{it.getMessage()} {it.exc_text}\n" for it in self._caplog.records)
        return Told(told.code, told.out + told.err + out + err + logged)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('log') / 'events.db'}"
    with connect(url) as opened:
        opened.append("guest-1", [hotel.GuestArrived(name="Ann")])
    return url


@pytest.fixture
def command(
    store: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(store, caplog, capfd)


@pytest.fixture(scope="module")
def user(postgres: str) -> Iterator[str]:
    """A user of the server whose password is nothing else, too."""
    name = f"user_{os.getpid()}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        role = sql.Identifier(name)
        made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(SECRET))
        connection.execute(made)
        try:
            yield name
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture(scope="module")
def broken(postgres: str, user: str) -> dict[str, str]:
    """URLs of read models that cannot be used, each for another reason."""
    at = conninfo_to_dict(postgres)
    place = f"{at['host']}:{at['port']}"
    return {
        "wrong port": f"postgresql://{user}:{SECRET}@127.0.0.1:1/x?connect_timeout=2",
        "wrong password": f"postgresql://{user}:{SECRET}2@{place}/postgres?passfile={SECRET}",
        "wrong database": f"postgresql://{user}:{SECRET}@{place}/none",
    }


@pytest.mark.parametrize("how", SAID)
@pytest.mark.parametrize("arguments", READ_MODELS, ids=" ".join)
def test_no_command_tells_the_password_of_read_models_that_cannot_be_used(
    arguments: list[str], how: str, command: Commands, broken: dict[str, str]
) -> None:
    told = command("--read-models", broken[how], *arguments, *JSON[how])
    assert told.code == 3
    assert SAID[how] in told.text
    assert SECRET not in told.text


@pytest.fixture
def usable(database: str) -> str:
    """The URL of read models that can be used; a quote stands in a password of it as it is.

    What the server asks for comes behind the `?`, where it takes the place of what is before.
    """
    url = make_url(database)
    query = {"user": str(url.username), "password": str(url.password)}
    url = url.set(username="ann", password=SECRET, query=query)
    return url.render_as_string(hide_password=False).replace(SECRET, f"it's-{SECRET}")


def test_a_follower_tells_where_its_read_models_are_without_the_password(
    command: Commands, usable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projections, "follow", lambda runners, *_: dict.fromkeys(runners, 0))
    told = command("--read-models", usable, "projection", "run", "--follow")
    assert told.code == 0
    assert f":***@{make_url(usable).host}" in told.text
    assert SECRET not in told.text


@pytest.mark.parametrize("from_environment", [True, False])
def test_the_commands_that_the_demo_proposes_hold_no_password(
    from_environment: bool,  # noqa: FBT001 - a parameter of the test
    command: Commands,
    usable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if from_environment:
        monkeypatch.setenv("EVENTKIT_READ_MODELS", usable)
    told = command(*([] if from_environment else ["--read-models", usable]), "demo")
    assert told.code == 0
    assert ("with the password instead of ***" in told.text) is not from_environment
    assert ("--read-models" in told.text) is not from_environment
    assert SECRET not in told.text


def test_doctor_tells_no_password_of_a_log_that_is_away(command: Commands, tmp_path: Path) -> None:
    file = tmp_path / "kafka.conf"
    file.write_text(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=ann\n"
        f"sasl.password={SECRET}\n"
    )
    told = command("doctor", "--json", store=f"kafka://127.0.0.1:1?config={file}")
    assert told.code in {1, 3}
    assert "127.0.0.1:1" in told.text
    assert SECRET not in told.text


def test_a_question_for_the_members_of_a_group_hands_its_settings_to_nobody_else() -> None:
    """They go through a pipe: arguments are there for all to see, an environment for the user."""
    settings = {"bootstrap.servers": "127.0.0.1:1", "sasl.password": SECRET}
    look = Look(settings, "group", 1.0)
    try:
        process = Path("/proc", str(look._process.pid))
        arguments, environment = (process / it for it in ("cmdline", "environ"))
        until(lambda: b"membership.py" in arguments.read_bytes())
        assert SECRET.encode() not in arguments.read_bytes() + environment.read_bytes()
        look.wait(20)
        with pytest.raises(KafkaException) as caught:
            look.members()
        assert SECRET not in str(caught.value)
    finally:
        look.close()
