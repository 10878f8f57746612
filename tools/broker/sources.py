"""Where brokers come from on this machine: Docker if an engine answers, else Kafka's jars."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tools.broker.cluster import Cluster, Wanted
from tools.broker.errors import NoBrokerHere
from tools.broker.from_jars import prepare, start_from_jars
from tools.broker.jars import INSTALL, kafka_version, obstacle


class Source(NamedTuple):
    """A way to bring brokers.

    Attributes:
        name: the source in the words of a test run's header.
        prepare: brings what a start needs, once; may take minutes.
        start: starts a cluster that keeps its files in the given folder.
    """

    name: str
    prepare: Callable[[], object]
    start: Callable[[Path, Wanted], Cluster]


def choose() -> Source:
    """Return the source that this machine has.

    Raises:
        NoBrokerHere: there is none; the message has the command that brings one.
    """
    # Docker's libraries take long to import: only runs that need a broker pay for it.
    from tools.broker import from_docker  # noqa: PLC0415

    if from_docker.engine_answers():
        name = f"Kafka {kafka_version()} in Docker"
        return Source(name, from_docker.pull, from_docker.start_from_docker)
    problem = obstacle()
    if problem is None:
        return Source(f"Kafka {kafka_version()} from its jars", prepare, start_from_jars)
    raise NoBrokerHere(
        f"No Kafka can be started here: no Docker engine answers, and there is {problem}. "
        f"On Debian or Ubuntu: {INSTALL}"
    )
