"""Workers of `Ledger` as processes of their own, and a log that grows meanwhile."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from eventkit import Append, EventStore
from eventkit.errors import EventkitError
from eventkit.projection import ReadModels, Runner
from tests.kafka.ledger import Ledger
from tests.projection.accounts import Deposited, Opened, Withdrawn
from tests.projection.following import SECONDS
from tests.unit.source import ROOT


class Workers:
    """Starts the command line, and ends what it started.

    Args:
        store: URL of the store.
        models: URL of the read models.
        log: a folder for what they print.
        app: the user's module.
    """

    def __init__(self, store: str, models: str, log: Path, app: str = "tests.kafka.ledger") -> None:
        self._environment = {
            **os.environ,
            "EVENTKIT_APP": app,
            "EVENTKIT_STORE": store,
            "EVENTKIT_READ_MODELS": models,
            "PYTHONPATH": str(ROOT),
        }
        self._log = log
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, *arguments: str, names: Sequence[str] = ("ledger",), command: str = "run"
    ) -> subprocess.Popen[str]:
        """Start `eventkit projection run` with names and arguments, `--follow` unless given."""
        started = [sys.executable, "-m", "eventkit", "projection", command, *names]
        arguments = arguments or ("--follow",)
        with (self._log / f"worker-{len(self._started)}.log").open("w") as log:
            process = subprocess.Popen(
                [*started, *arguments], env=self._environment, stdout=log, stderr=log, text=True
            )
        self._started.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        """What a process has printed."""
        return (self._log / f"worker-{self._started.index(process)}.log").read_text()

    def end(self, *processes: subprocess.Popen[str]) -> list[int]:
        """Let processes drain; their exit codes."""
        for process in processes:
            process.send_signal(signal.SIGTERM)
        return [process.wait(SECONDS) for process in processes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._started:
            process.kill()
            process.wait()


def fill(store: EventStore, accounts: int, rounds: int) -> None:
    """Open accounts, and move money on each in turn."""
    names = [f"account-{number}" for number in range(accounts)]
    appends = [Append(name, [Opened(owner=name)]) for name in names]
    for amount in range(1, rounds + 1):
        appends += [Append(name, [Deposited(amount=2 * amount)]) for name in names]
        appends += [Append(name, [Withdrawn(amount=amount)]) for name in names]
    for outcome in store.append_each(appends):
        if isinstance(outcome, Exception):
            raise outcome


@contextmanager
def growing(store: EventStore, accounts: int) -> Iterator[None]:
    """Append to all accounts in turn meanwhile; what fails while a broker is away may be lost."""
    stop = threading.Event()

    def grow() -> None:
        amount = 0
        while not stop.wait(0.05):
            amount += 1
            appends = [
                Append(f"account-{it}", [Deposited(amount=amount)]) for it in range(accounts)
            ]
            try:
                store.append_each(appends)
            except EventkitError:
                continue

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def handled(store: EventStore, models: ReadModels) -> int:
    """How many events the projection has handled."""
    return Runner(Ledger(), store, models).status().events


def is_current(store: EventStore, models: ReadModels) -> bool:
    """Whether the read model is at the end of the log."""
    return models.exists() and Runner(Ledger(), store, models).status().lag == 0
