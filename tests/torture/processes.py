"""The processes of a run, over all their incarnations, and who starts them again."""

import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from tests.torture.checker import Violation
from tools.broker.process import start

_LOOK = 0.2
_SENT = (signal.SIGKILL, signal.SIGTERM)
_AGAIN = 1.0
"""Seconds after which a process that ended is started again."""


class Process:
    """A process, over all its incarnations.

    Args:
        name: of the process.
        folder: of what it logs.
        index: the index file that it uses.
        environment: variables, besides ours.
    """

    def __init__(
        self, name: str, folder: Path, index: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.index = index
        self.log = folder / f"{name}.jsonl"
        self.output = folder / f"{name}.log"
        self.wanted = False
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.crashes: list[int] = []  # codes of ends by a signal that nobody here sends
        self._lock = threading.Lock()  # nemeses and the keeper start and kill as they like
        self._noted: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._read = self._done = 0

    def command(self) -> list[str]:
        """What to run, after `python -m`."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        alive = self._process is not None and self._process.poll() is None
        return self._process.pid if alive and self._process is not None else None

    def start(self) -> None:
        """Start the process, if it does not run."""
        with self._lock:
            self.wanted = True
            self._start()

    def _start(self) -> None:
        if self.pid is not None:
            return
        self.note_end()
        self._started_at = monotonic()
        self._process = tied(self.command(), self._environment, self.output)

    def look(self) -> None:
        """Start it again if it has ended by itself, as a supervisor does."""
        with self._lock:
            if self.wanted and self.pid is None and monotonic() > self._started_at + _AGAIN:
                self._start()

    def note_end(self) -> None:
        """Keep how the last incarnation ended, if it crashed."""
        if self._process is not None and self._process is not self._noted:
            code = self._process.poll()
            if code is not None and code < 0 and -code not in _SENT:
                self.crashes.append(code)
            self._noted = self._process if code is not None else None

    def send(self, what: signal.Signals) -> None:
        """Send a signal, if there is a process."""
        if self.pid is not None and self._process is not None:
            self._process.send_signal(what)

    def kill(self) -> None:
        """End the process at once."""
        with self._lock:
            self.wanted = False
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def drain(self, timeout: float) -> int | None:
        """Ask the process to end; as `ended`."""
        self.wanted = False
        self.send(signal.SIGTERM)
        return self.ended(timeout)

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
        if self.log.exists():
            with self.log.open("rb") as log:
                log.seek(self._read)
                fresh = log.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read += len(whole)
            self._done += whole.count(b'{"kind": "done"')
        return self._done


def tied(
    module: Sequence[str], environment: Mapping[str, str], output: Path
) -> subprocess.Popen[bytes]:
    """Start `python -m` a module, which cannot outlive this process."""
    told = [f"{name}={value}" for name, value in environment.items()]
    return start(["env", *told, sys.executable, "-m", *module], output)


def drained(promise: str, processes: Sequence[Process], timeout: float) -> list[Violation]:
    """Ask all to end; returns which did not do so in order."""
    for it in processes:
        it.wanted = False
        it.send(signal.SIGTERM)
    codes = {it.name: it.ended(timeout) for it in processes}
    return [Violation(promise, f"{name}: {code}") for name, code in codes.items() if code != 0]


class Keeper:
    """A thread that starts again what ends by itself: failpoints kill, and workers give up.

    Args:
        processes: those to keep.
    """

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Let go of them."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK):
            for it in self._processes:
                it.look()
