"""The command line as the tests use it: in this process where that will do, else in its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from typer.testing import CliRunner

from eventkit.cli.main import app
from eventkit.sqlite import SqliteStore
from tests.unit.source import ROOT

HOTEL = "tests.acceptance.hotel"


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Its output, read as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """Runs commands against a store in a folder of its own.

    Parameters:
        folder: where the store is.
        app: the module of the user's classes; None gives none.
    """

    def __init__(self, folder: Path, app: str | None = HOTEL) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self.url = f"sqlite:///{folder}/events.db"
        self.options = ["--store", self.url]
        if app is not None:
            self.options = ["--app", app, *self.options]

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None) -> Outcome:
        """Run a command in this process."""
        command = [*self.options, *map(str, arguments)]
        result = CliRunner().invoke(app, command, input=stdin, env={"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def start(
        self, *arguments: str | Path, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command in a process of its own, with more environment and options of Popen."""
        command = [sys.executable, "-m", "eventkit", *self.options, *map(str, arguments)]
        usual: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT}
        environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT), **(env or {})}
        process = subprocess.Popen(command, env=environment, **(usual | options))
        self._started.append(process)
        return process

    def close(self) -> None:
        """End the processes that were started and still run."""
        for process in self._started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def open(self) -> SqliteStore:
        """The store, for a look at what a command did to it."""
        return SqliteStore(self.folder / "events.db")

    def file(self, name: str, lines: Iterable[bytes]) -> Path:
        """Make a file of lines; each gets its end."""
        path = self.folder / name
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path


def finish(process: subprocess.Popen[bytes]) -> Outcome:
    """Wait for a process and return what it left behind."""
    out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out.decode(), err.decode())


def event(number: int, **changes: Any) -> bytes:
    """The line of the `number`th event: guests arrive, ten events each; `...` leaves one out."""
    attributes = {
        "specversion": "1.0",
        "id": str(UUID(int=number, version=4)),
        "source": "/hotel",
        "type": "GuestArrived",
        "subject": f"guest-{number // 10}",
        "time": f"2020-09-13T12:{number // 60 % 60:02}:{number % 60:02}+02:00",
        "workspaceid": "north" if number % 2 else "south",
        "causedbyuser": "desk",
        "data": {"name": f"Guest {number}", "nights": 1 + number % 3},
    } | changes
    return json.dumps({name: it for name, it in attributes.items() if it is not ...}).encode()


def events(count: int) -> list[bytes]:
    """The lines of the first `count` events."""
    return [event(number) for number in range(count)]


def summary(*, appended: int = 0, there: int = 0, rejected: int = 0, aggregates: int) -> str:
    """What an import says at its end."""
    read = appended + there + rejected
    return (
        f"{read:,} events read: {appended:,} appended, {there:,} already there, "
        f"{rejected:,} rejected; {aggregates:,} aggregates\n"
    )
