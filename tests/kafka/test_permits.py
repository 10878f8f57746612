"""The reference read models on Kafka and PostgreSQL, by the commands of docker-compose.yml."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eventkit.cli.main import app
from eventkit.projection import ReadModels
from projections.permits import AuditTrail, OpenPermits, StepTimes
from projections.sample import main as write_sample
from tests.projection.permit_log import PermitLog
from tests.projection.test_permits import REAL, rows_of
from tests.unit.source import ROOT

SECONDS = 60.0
LINES = 2_000
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """Return the commands of the services of the compose file, without the program's name."""
    found = re.findall(r"^    command: eventkit (.+)$", COMPOSE, re.MULTILINE)
    return [shlex.split(it) for it in found]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> PermitLog:
    """The beginning of the real log where it is there, else a log of the same form."""
    path = tmp_path_factory.mktemp("log") / "permits.jsonl"
    if REAL.exists():
        lines = REAL.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:LINES]), encoding="utf-8")
    else:
        write_sample([str(path), "--permits", "400"])
    return PermitLog(path)


class Office:
    """Runs commands in the environment of the compose file's services."""

    def __init__(self, kafka: str, database: str, folder: Path) -> None:
        self.read_models = database
        options = f"prefix={uuid.uuid4().hex}.&index={folder / 'index.db'}&fetch.wait.max.ms=10"
        self._environment = {
            "EVENTKIT_APP": "projections.permits",
            "EVENTKIT_STORE": f"kafka://{kafka}?{options}",
            "EVENTKIT_READ_MODELS": database,
        }

    def __call__(self, *arguments: str | Path) -> str:
        """Run a command in this process and return what it printed."""
        result = CliRunner().invoke(app, list(map(str, arguments)), env=self._environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    @contextmanager
    def started(self, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """A command in a process of its own, while it runs."""
        command = [sys.executable, "-m", "eventkit", *arguments]
        with subprocess.Popen(
            command, cwd=ROOT, env=os.environ | self._environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def are_ready(self) -> bool:
        """Whether all projections are at the end of the log."""
        lines = map(json.loads, self("projection", "status", "--json").splitlines())
        return all(it["state"] == "ready" and not it["lag"] for it in lines)


@pytest.fixture
def office(kafka_address: str, database: str, tmp_path: Path) -> Office:
    return Office(kafka_address, database, tmp_path)


def assert_equal_to(log: PermitLog, read_models: str) -> None:
    """See that the read models are what the lines of the log say."""
    with ReadModels(read_models) as models:
        assert rows_of(OpenPermits(), models)["board"] == log.open_permits()
        assert rows_of(AuditTrail(), models)["trail"] == log.audit_trail()
        times = [row[:4] for row in rows_of(StepTimes(), models)["times"]]
    expected = log.step_times()
    assert [row[:2] for row in times] == [row[:2] for row in expected]
    hours = [value for row in expected for value in row[2:]]
    assert [value for row in times for value in row[2:]] == pytest.approx(hours, rel=1e-12)


def test_the_compose_file_names_the_app_and_the_databases_that_are_there() -> None:
    assert [it[:2] for it in commands()] == [["topics", "create"], ["projection", "run"]]
    named = dict(re.findall(r"^    (EVENTKIT_\w+): (\S+)$", COMPOSE, re.MULTILINE))
    assert named["EVENTKIT_APP"] == "projections.permits"
    (listener,) = re.findall(r"INTERNAL://(kafka:\d+)$", COMPOSE, re.MULTILINE)
    assert named["EVENTKIT_STORE"].startswith(f"kafka://{listener}?index=")
    postgres = dict(re.findall(r"^      POSTGRES_(\w+): (\S+)$", COMPOSE, re.MULTILINE))
    url = "postgresql://{USER}:{PASSWORD}@postgres:5432/{DB}".format_map(postgres)
    assert named["EVENTKIT_READ_MODELS"] == url


def test_the_read_models_are_what_the_log_says_also_after_a_kill_and_a_rebuild(
    office: Office, log: PermitLog, tmp_path: Path
) -> None:
    make_topics, work = commands()
    office(*make_topics)
    half = tmp_path / "half.jsonl"
    half.write_text("".join(f"{json.dumps(it)}\n" for it in log.lines[: len(log.lines) // 2]))
    office("import", half)
    with office.started(work) as worker:
        office("import", log.path)  # the worker may be anywhere in it
        worker.kill()
    with office.started(work) as worker:
        deadline = time.monotonic() + SECONDS
        while not office.are_ready():
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)  # each question costs as much as some hundred events
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=SECONDS)
        assert worker.returncode in {0, 130}
    assert_equal_to(log, office.read_models)
    for projection in (OpenPermits, StepTimes, AuditTrail):
        office("projection", "rebuild", projection.name)
    assert_equal_to(log, office.read_models)
