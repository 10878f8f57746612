"""Where a server comes from on this machine: Docker if an engine answers, else its programs."""

from collections.abc import Callable
from typing import NamedTuple

from tools.postgres.errors import PostgresError
from tools.postgres.local_server import LocalServer
from tools.postgres.programs import INSTALL, find_programs
from tools.postgres.server import Server


class Source(NamedTuple):
    """A way to bring servers: its name in a test run's header, and how to make one."""

    name: str
    make: Callable[[], Server]


def choose() -> Source:
    """Return the source that this machine has.

    Raises:
        PostgresError: there is none; the message has the command that brings one.
    """
    # Docker's libraries take long to import: only runs that need a server pay for it.
    from tools.broker.from_docker import engine_answers  # noqa: PLC0415

    if engine_answers():
        from tools.postgres.container_server import IMAGE, ContainerServer  # noqa: PLC0415

        return Source(f"{IMAGE} in Docker", ContainerServer)
    programs = find_programs()
    if programs is None:
        raise PostgresError(
            "No PostgreSQL can be started here: no Docker engine answers, and there is no initdb. "
            f"On Debian or Ubuntu: {INSTALL}"
        )
    return Source(f"PostgreSQL in {programs}", lambda: LocalServer(programs))
