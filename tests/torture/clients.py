"""The client processes of a run, as the rig starts, freezes and kills them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from tests.torture.processes import Process


@dataclass
class Setting:
    """What all processes of a run have in common.

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

    def index(self, name: str) -> Path:
        """The file of an index."""
        return self.folder / f"{name}.db"


class Client(Process):
    """A client over all its incarnations.

    Args:
        name: of the client.
        index: the name of its index file; clients with the same one share it.
        setting: of the run.
        apart: whether each of its records goes in a batch of its own, so that records of others
            come between those of an append.
    """

    def __init__(self, name: str, index: str, setting: Setting, *, apart: bool) -> None:
        super().__init__(name, setting.folder, setting.index(index), setting.environment)
        self._setting = setting
        self._url = f"{setting.url}&batch.num.messages=1" if apart else setting.url

    def command(self) -> list[str]:
        it = self._setting
        arguments = [self._url, self.index, self.log, self.name, it.seed, it.callers]
        return ["tests.torture.client", *map(str, arguments)]


class Visitor(Process):
    """A process that reads read models, and its own writes in them.

    Args:
        name: of the process.
        index: the name of its index file.
        setting: of the run.
        models: URLs of databases by the name of the projection in each.
    """

    def __init__(self, name: str, index: str, setting: Setting, models: Mapping[str, str]) -> None:
        super().__init__(name, setting.folder, setting.index(index), setting.environment)
        self._setting = setting
        self._models = models

    def command(self) -> list[str]:
        it = self._setting
        arguments = [it.url, self.index, self.log, self.name, it.seed]
        models = [f"{name}={url}" for name, url in self._models.items()]
        return ["tests.torture.visitor", *map(str, arguments), *models]


def wait_for_more(clients: Sequence[Process], more: int, timeout: float) -> dict[str, float]:
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
