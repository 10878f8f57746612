"""Writers in processes of their own, to be killed and frozen."""

import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from eventkit.events import Position
from eventkit.store import Appended
from tests.kafka.writer_kit import SECONDS, Topic


class Writing:
    """A process that appends: see writing_process.py."""

    module = "tests.kafka.writing_process"

    def __init__(self, topic: Topic, callers: int, aggregates: int) -> None:
        arguments = [topic.address, topic.name, topic.partitions, callers, aggregates]
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.module, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[list[Any]] = []
        self._ready = threading.Event()
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                with self._changed:
                    self.said.append(json.loads(line))
                    self._changed.notify_all()

    def count(self, kind: str = "ack") -> int:
        return sum(1 for it in self.said if it[0] == kind)

    def wait_for(self, more: int, kind: str = "ack") -> None:
        """Return when it has said that many more of a kind."""
        with self._changed:
            goal = self.count(kind) + more
            assert self._changed.wait_for(lambda: self.count(kind) >= goal, SECONDS)

    def wait_until_ready(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.said), SECONDS)

    @property
    def acknowledged(self) -> list[Appended]:
        return [
            Appended(name, version, Position(*place), tuple(map(uuid.UUID, ids)))
            for kind, name, version, place, ids in (it for it in self.said if it[0] == "ack")
        ]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals) -> int:
        """Send a signal that ends it; returns how it ended."""
        self.send(number)
        code = self.process.wait(SECONDS)
        self._reader.join()
        return code


class Moving(Writing):
    """A process that appends to two or three aggregates together: see moving_process.py."""

    module = "tests.kafka.moving_process"


@contextmanager
def writing(
    topic: Topic, count: int, callers: int, aggregates: int, kind: type[Writing] = Writing
) -> Iterator[list[Writing]]:
    """Start writers that append by then; kill those that are left at the end."""
    writers = [kind(topic, callers, aggregates) for _ in range(count)]
    try:
        for writer in writers:
            writer.wait_until_ready()
        yield writers
    finally:
        for writer in writers:
            if writer.process.poll() is None:
                writer.end(signal.SIGKILL)
            assert writer.process.stdout is not None
            writer.process.stdout.close()


def acknowledged(writers: Iterable[Writing]) -> list[Appended]:
    return [done for writer in writers for done in writer.acknowledged]
