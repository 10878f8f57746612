"""The client processes of a run, as the rig starts, freezes and kills them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from tests.torture.history import lines_of


@dataclass
class Setting:
    """What all clients of a run have in common.

    Attributes:
        url: of the store.
        folder: of logs and indexes.
        seed: of the run.
        callers: threads of each client.
        environment: variables for its processes, besides ours.
    """

    url: str
    folder: Path
    seed: int
    callers: int
    environment: Mapping[str, str] = field(default_factory=dict)


class Client:
    """A client over all its incarnations.

    Args:
        name: of the client.
        index: the name of its index file; clients with the same one share it.
        setting: of the run.
    """

    def __init__(self, name: str, index: str, setting: Setting) -> None:
        self.name = name
        self.index = setting.folder / f"{index}.db"
        self.log = setting.folder / f"{name}.jsonl"
        self._errors = setting.folder / f"{name}.log"
        self._setting = setting
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if alive and self._process is not None else None

    def start(self) -> None:
        """Start the process, if it does not run."""
        if self.pid is not None:
            return
        it = self._setting
        arguments = [it.url, self.index, self.log, self.name, it.seed, it.callers]
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.torture.client", *map(str, arguments)],
                stderr=errors,
                env={**os.environ, **it.environment},
            )

    def send(self, what: signal.Signals) -> None:
        """Send a signal, if there is a process."""
        if self.pid is not None and self._process is not None:
            self._process.send_signal(what)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ended(self, timeout: float) -> int | None:
        """How it ended, or None when it did not in time."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def done(self) -> int:
        """How many appends were acknowledged."""
        return sum(1 for line in lines_of(self.log) if line["kind"] == "done")


def wait_for_more(clients: Sequence[Client], more: int, timeout: float) -> dict[str, float]:
    """Wait until each client has that many more acknowledged; returns how long each one took.

    One that did not is not in the answer.
    """
    began = monotonic()
    goals = {it.name: it.done() + more for it in clients}
    took: dict[str, float] = {}
    while len(took) < len(goals) and monotonic() < began + timeout:
        for it in clients:
            if it.name not in took and it.done() >= goals[it.name]:
                took[it.name] = monotonic() - began
        sleep(0.1)
    return took


def follower_of(index: Path) -> int | None:
    """The process that holds the lock beside an index, where the system tells."""
    try:
        inode = index.with_name(index.name + ".lock").stat().st_ino
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(rf"FLOCK\s+\S+\s+WRITE\s+(\d+)\s+\S+:{inode}\s", locks)
    return int(found[1]) if found else None
