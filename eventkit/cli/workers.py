"""Worker processes of projections: started, watched, and ended together.

Processes that share a run to the end of the log, as an order of events:

1. If it is a rebuild, the one that was called sees that the store can be read, and makes the
   tables empty, in one transaction. Only then does it start the others: none of them clears
   anything.
2. Each takes its part of the partitions up to where they end by then, and ends. The last one to
   come to its end finds all others there, and declares the read model ready; not if the log has
   grown between the start of two, for then it knows of later ends than the other went to.
3. So one more process runs alone: it reads what came meanwhile, and declares it ready if nobody
   has. Effects that are due run then too.

A process that dies ends all; the read model stays as far as it is, and `run` goes on with it. A
second rebuild that comes meanwhile makes the tables anew: the batches of the first one's processes
find their checkpoints gone, are undone, and their processes help with the new tables.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NamedTuple, Self
from urllib.parse import parse_qs, quote

import typer

from eventkit.cli.interrupts import handling
from eventkit.cli.kafka import is_kafka
from eventkit.cli.options import READ_MODELS_VARIABLE
from eventkit.cli.output import complain
from eventkit.cli.session import Session
from eventkit.errors import InvalidInput

_LOOK = 0.05
"""Seconds between two looks at the workers."""
_DRAIN = 60.0
"""Seconds that workers may take to end after they were told to."""
_KILLED = 128
"""What shells add to the number of a signal."""


class Place(NamedTuple):
    """Which of several workers a process is, and which process started it."""

    number: int
    of: int
    parent: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the hidden option `--worker`."""
        try:
            number, of, parent = map(int, text.split("/"))
        except ValueError as error:
            raise typer.BadParameter("this option is eventkit's own") from error
        return cls(number, of, parent)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}/{self.parent}"

    @property
    def is_orphan(self) -> bool:
        """Whether the process that watched this one is gone."""
        return os.getppid() != self.parent


def check_shared(session: Session) -> None:
    """See that workers can share the partitions of the store.

    Raises:
        InvalidInput: it has only one.
    """
    if not is_kafka(session.store_url):
        raise InvalidInput(
            "--workers shares the partitions of a log on Kafka; the embedded store has only one. "
            "Leave it out."
        )


def run_workers(
    session: Session, arguments: Sequence[str], count: int, *, finish: bool = False
) -> None:
    """Run a command in several processes until it is done, a signal comes, or one of them fails.

    Parameters:
        session: of the command.
        arguments: the command, and its own.
        count: of the processes.
        finish: once they are done, run it in one more.

    Raises:
        InvalidInput: the store cannot be shared among workers.
        typer.Exit: with the code of the one that failed.
    """
    check_shared(session)
    with _shared_index(session.store_url) as url:
        # In the environment: a URL may hold a password, and all users of a host see arguments.
        environment = os.environ | {
            "EVENTKIT_APP": session.app_name or "",
            "EVENTKIT_STORE": url,
            READ_MODELS_VARIABLE: session.read_models_url,
        }
        code = _Workers(arguments, environment, count).run()
        if finish and not code:
            code = _Workers(arguments, environment, 1).run()
    if code:
        raise typer.Exit(code)


@contextmanager
def _shared_index(url: str) -> Iterator[str]:
    """The URL with an index file for all, which goes with them unless the URL names one."""
    if parse_qs(url.partition("?")[2]).get("index"):
        yield url
        return
    with TemporaryDirectory(prefix="eventkit-") as folder:
        mark = "&" if "?" in url else "?"
        yield url + f"{mark}index={quote(str(Path(folder, 'index.db')))}"


class _Workers:
    """Processes that end together.

    Parameters:
        arguments: of the command.
        environment: of the processes.
        count: how many.
    """

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], count: int) -> None:
        self._command = [sys.executable, "-m", "eventkit", *arguments]
        self._environment = environment
        self._count = count
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._asked = 0
        self._kill_at: float | None = None
        self._code = 0

    def run(self) -> int:
        """Start them, and return when all have ended; the exit code of the first that failed."""
        with handling(self._ask):
            try:
                for number in range(1, self._count + 1):
                    self._start(number)
                told = 0
                while self._running:
                    if told != self._asked:
                        told = self._asked
                        self._tell(signal.SIGTERM)
                    self._look()
                    time.sleep(_LOOK)  # never longer: see `follow` about signals after SIGCONT
            finally:
                self._tell(signal.SIGKILL)
        return self._code

    def _start(self, number: int) -> None:
        place = Place(number, self._count, os.getpid())
        # A session of its own: Ctrl-C at a terminal comes here alone, and is passed on once.
        self._running[number] = subprocess.Popen(  # noqa: S603 - ourselves
            [*self._command, "--worker", str(place)],
            env=self._environment,
            start_new_session=True,
        )

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked += 1

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._running.values():
            worker.send_signal(number)
        if self._kill_at is None:
            self._kill_at = time.monotonic() + _DRAIN

    def _look(self) -> None:
        for number, worker in list(self._running.items()):
            code = worker.poll()
            if code is not None:
                del self._running[number]
                self._ended(number, worker.pid, code)
        if self._running and self._kill_at is not None and time.monotonic() > self._kill_at:
            complain(f"killing workers that did not end within {_DRAIN:.0f} s")
            self._tell(signal.SIGKILL)
            self._kill_at = None

    def _ended(self, number: int, pid: int, code: int) -> None:
        if code == 0:
            return
        if self._code == 0:
            self._code = _KILLED - code if code < 0 else code
        if code < 0 or self._kill_at is None:
            why = (
                f"was killed by {signal.Signals(-code).name}"
                if code < 0
                else f"ended with exit code {code}; its message is above"
            )
            rest = "; the others are ended" if self._running and self._kill_at is None else ""
            complain(f"worker {number} (process {pid}) {why}{rest}")
        if self._kill_at is None:
            self._tell(signal.SIGTERM)
