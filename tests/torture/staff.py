"""All processes of a run: clients, visitors of read models, and crews of workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.torture.clients import Client, Setting, Visitor
from tests.torture.processes import Process
from tests.torture.workers import Crew
from tools.postgres.server import Server


@dataclass(frozen=True)
class Staff:
    """Who there is.

    Attributes:
        setting: what they have in common.
        clients: append and read.
        visitors: read the read models; they append too.
        crews: the workers of each database.
    """

    setting: Setting
    clients: Sequence[Client]
    visitors: Sequence[Visitor]
    crews: Sequence[Crew]

    @classmethod
    def hired(cls, setting: Setting, clients: int, workers: int, server: Server | None) -> Self:
        """Make all of them; none is started.

        The first two thirds of the clients share an index with each other, with every second
        worker and with the visitor. The other workers share one, and the other clients have their
        own: so workers of one group have indexes that are not equally far.
        """
        shared = max(2, clients * 2 // 3)
        indexes = ["shared" if number % 2 == 0 else "workers" for number in range(workers)]
        urls = {"lite": f"sqlite:///{setting.folder}/models.db"} if workers else {}
        if workers and server is not None:
            urls["post"] = server.url
        crews = [Crew(name, url, setting, indexes) for name, url in urls.items()]
        return cls(
            setting,
            [
                Client(f"c{number}", "shared" if number < shared else f"own{number}", setting)
                for number in range(clients)
            ],
            [Visitor("v0", "shared", setting, urls)] if urls else [],
            crews,
        )

    @property
    def appending(self) -> list[Process]:
        """All that append."""
        return [*self.clients, *self.visitors]

    @property
    def all(self) -> list[Process]:
        """All."""
        return [*self.appending, *(worker for crew in self.crews for worker in crew.workers)]

    def groups(self) -> list[str]:
        """The consumer groups of the workers, as they are called now."""
        return [crew.group for crew in self.crews] or ["none"]

    def close(self) -> None:
        """End all at once."""
        for process in self.appending:
            process.kill()
        for crew in self.crews:
            crew.close()
