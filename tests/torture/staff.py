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
        own: so workers of one group have indexes that are not equally far. Every second client
        writes the records of an append apart.
        """
        shared = max(2, clients * 2 // 3)
        indexes_of_clients = ["shared" if it < shared else f"own{it}" for it in range(clients)]
        indexes_of_workers = ["workers" if it % 2 else "shared" for it in range(workers)]
        urls = {"lite": f"sqlite:///{setting.folder}/models.db"} if workers else {}
        if workers and server is not None:
            urls["post"] = server.url
        crews = [Crew(name, url, setting, indexes_of_workers) for name, url in urls.items()]
        return cls(
            setting,
            [
                Client(f"c{number}", index, setting, apart=number % 2 == 0)
                for number, index in enumerate(indexes_of_clients)
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
