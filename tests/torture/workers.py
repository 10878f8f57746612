"""The worker processes of a read model, as the rig starts, freezes and kills them."""

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, sleep

from eventkit.errors import EventkitError
from eventkit.projection import ReadModels
from eventkit.projection.builds import builds_of, live_build, with_role
from eventkit.projection.reports import Reports
from tests.torture.clients import Setting
from tests.torture.processes import Process
from tests.torture.read_models import live_of

_DRAIN = 8.0
_TRIES = 30.0


class Worker(Process):
    """A worker over all its incarnations.

    Args:
        name: of the worker.
        index: the name of its index file.
        setting: of the run.
        crew: what it works on.
    """

    def __init__(self, name: str, index: str, setting: Setting, crew: "Crew") -> None:
        super().__init__(name, setting.folder, setting.index(index), setting.environment)
        self._setting = setting
        self._crew = crew

    def command(self) -> list[str]:
        it, crew = self._setting, self._crew
        arguments = [it.url, self.index, crew.url, self.log, self.name, crew.name, crew.version]
        return ["tests.torture.worker", *map(str, arguments)]


class Crew:
    """All workers of the projection in one database.

    Args:
        name: of the projection, and so of its consumer group.
        url: of the database.
        setting: of the run.
        indexes: one worker for each, with an index file of that name.

    Attributes:
        version: of the code that workers run when they are started the next time.
        newest: the highest version that there ever was.
    """

    def __init__(self, name: str, url: str, setting: Setting, indexes: Sequence[str]) -> None:
        self.name = name
        self.url = url
        self.setting = setting
        self.version = self.newest = 1
        self.models = ReadModels(url, timeout=5, patience=5)
        self.workers = [
            Worker(f"{name}{number}", index, setting, self) for number, index in enumerate(indexes)
        ]

    @property
    def group(self) -> str:
        """The consumer group of the workers."""
        return f"{self.name}.v{self.version}"

    def worker_of(self, partition: int) -> Worker | None:
        """The one that said last that it has a partition."""
        with suppress(EventkitError), self.models.connect() as connection:
            build = live_build(builds_of(connection, self.name))
            if build is None:
                return None
            told = Reports(self.name, build.version, build.number).read(connection)
            names = {it.number: report.worker or "" for it, report in told.items()}
            pid = names.get(partition, "").rpartition(":")[2]
            return next((it for it in self.workers if str(it.pid) == pid), None)
        return None

    def left_over(self) -> int | None:
        """The version beside the live one, where a command that was killed left one."""
        with suppress(EventkitError), self.models.connect() as connection:
            build = with_role(builds_of(connection, self.name), "beside")
            return None if build is None else build.version
        return None

    def settle(self) -> None:
        """Let the workers run the code of the version that readers read.

        Raises:
            EventkitError: the database cannot be asked.
        """
        until = monotonic() + _TRIES
        while True:
            try:
                live = live_of(self.models, self.name) if self.models.exists() else None
                break
            except EventkitError:
                if monotonic() > until:
                    raise
                sleep(0.2)
        if live is not None and live[0] != self.version:
            self.deploy(live[0])

    def deploy(self, version: int, *, drains: bool = True) -> None:
        """Let the workers run other code, one after the other."""
        self.version = version
        for worker in self.workers:
            if not drains or worker.drain(_DRAIN) is None:
                worker.kill()
            worker.start()

    def close(self) -> None:
        """End all."""
        for worker in self.workers:
            worker.kill()
        self.models.close()
