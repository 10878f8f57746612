"""What a PostgreSQL server can be told, wherever it runs."""

from typing import Protocol

USER = "eventkit"
PASSWORD = "eventkit"  # noqa: S105 - of servers that hold test data and listen on loopback alone
SETTINGS = {"max_connections": "300"}
"""What differs from PostgreSQL's defaults: callers of a benchmark. fsync is on, as by default."""
START_SECONDS = 60


class Server(Protocol):
    """A PostgreSQL server of ours; a start goes on with the data that is there."""

    @property
    def url(self) -> str:
        """A superuser's URL of the database `postgres`."""
        ...

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        ...

    def start(self) -> None:
        """Start it, if it does not run; return when it serves clients."""
        ...

    def stop(self) -> None:
        """End it in order: open transactions are undone, clients are told."""
        ...

    def kill(self) -> None:
        """End it at once, as a crash does: the next start recovers from its log."""
        ...

    def close(self) -> None:
        """End it for good and remove what it kept."""
        ...


def url_of(host: str, port: int) -> str:
    """Return the URL of a server that we set up."""
    return f"postgresql://{USER}:{PASSWORD}@{host}:{port}/postgres"
