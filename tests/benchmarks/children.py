"""Processes of a measurement, which end with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE = 60.0
_GRACE = 5.0


class Child:
    """A module of these benchmarks in a process of its own.

    Parameters:
        process: it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def say(self, line: str) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def line(self) -> str:
        """Wait for a line of it.

        Raises:
            AssertionError: it ended without one.
        """
        assert self._process.stdout is not None
        found = self._process.stdout.readline()
        if not found:
            code = self._process.wait()
            raise AssertionError(f"{self._process.args!r} ended with {code} and said nothing")
        return found.rstrip("\n")

    def wait(self) -> None:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: it goes on for too long.
        """
        self._process.wait(_PATIENCE)


@contextmanager
def child(module: str, *arguments: object) -> Iterator[Child]:
    """Run a module until the block ends.

    It has a session of its own: Ctrl-C in a terminal is for the one that writes the report. It
    should end when its input does, which is when its parent is gone.
    """
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        cwd=Path(__file__).parents[2],
    ) as process:  # fmt: skip
        try:
            yield Child(process)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    # In order if it can: a worker that is killed stays in its consumer group for a while, and the
    # next one gets no partitions.
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
