"""A cluster of one or three brokers that can be killed, frozen and restarted one by one."""

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tools.broker.node import Node
from tools.broker.properties import COMMON, identity, sized_for

if TYPE_CHECKING:
    from tools.broker.security import Security

START_SECONDS = 90  # a start takes 3 s; on a machine that does much else it may take long

# The first compiler only: half the time and work for a start. Good for tests.
SOON_UP = ("-Xmx512m", "-XX:TieredStopAtLevel=1")
# For figures that mean something, and for brokers that stay.
FULL_SPEED = ("-Xmx1g",)


@dataclass(frozen=True)
class Wanted:
    """The cluster to start.

    Attributes:
        brokers: how many; their ids are 1, 2, 3.
        users: names of users; given some, each broker has a TLS listener that asks for a password.
        ports: where clients connect, one for each broker; none takes free ones.
        advertised: what clients are told to connect to, such as proxies, one for each broker.
        settings: broker settings that add to ours or replace them.
        java: options for each broker's Java, where it is this machine's.
    """

    brokers: int = 1
    users: Sequence[str] = ()
    ports: Sequence[int] = ()
    advertised: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    java: Sequence[str] = SOON_UP

    @property
    def numbers(self) -> range:
        """The ids of the brokers."""
        return range(1, self.brokers + 1)

    def port_of(self, broker: int) -> int:
        """Return where clients of that broker connect; 0 where any free port will do."""
        return self.ports[broker - 1] if self.ports else 0

    def advertised_of(self, broker: int) -> str | None:
        """Return what clients of that broker are told to connect to, if not the broker itself."""
        return self.advertised[broker - 1] if self.advertised else None


class Cluster:
    """Brokers that belong together; a context manager that ends them.

    Args:
        nodes: the brokers by id, not started yet.
        data: for each broker, the folder of its data as the broker sees it.
        wanted: how they are set up.
        security: their certificate and users, if they have a secure listener.
        cluster_id: Kafka's name for the cluster.
        release: called at the end, when all brokers are gone.
    """

    def __init__(
        self,
        nodes: Mapping[int, Node],
        data: Mapping[int, str],
        wanted: Wanted,
        security: "Security | None",
        cluster_id: str,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.nodes = nodes
        self.security = security
        self._release = release
        listeners = {number: node.listeners for number, node in nodes.items()}
        for number, node in nodes.items():
            settings = COMMON | sized_for(len(nodes))
            settings |= identity(number, listeners, data[number])
            settings |= security.broker_settings() if security else {}
            node.configure(settings | dict(wanted.settings), cluster_id)

    @property
    def bootstrap(self) -> str:
        """The addresses of the plaintext listeners, as clients are told them."""
        return ",".join(node.listeners.clients.advertised for node in self.nodes.values())

    def client_settings(self, user: str) -> dict[str, str]:
        """Return what confluent_kafka needs to connect to the secure listeners as `user`."""
        if self.security is None:
            raise ValueError("this cluster was started without users")
        secure = [node.listeners.secure for node in self.nodes.values()]
        addresses = ",".join(listener.advertised for listener in secure if listener)
        return {"bootstrap.servers": addresses} | self.security.client_settings(user)

    def start(self, timeout: float = START_SECONDS) -> Self:
        """Start all brokers that are not running; return when they serve clients.

        Raises:
            BrokerError: one did not come up within `timeout` seconds; all are ended then.
        """
        try:
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                list(pool.map(lambda node: node.start(timeout), self.nodes.values()))
        except BaseException:
            self.close()
            raise
        return self

    def kill(self, broker: int) -> None:
        """End the broker with that id at once, as SIGKILL does."""
        self.nodes[broker].kill()

    def stop(self, broker: int) -> None:
        """End the broker with that id in order: it hands its partitions over first."""
        self.nodes[broker].stop()

    def stop_all(self) -> None:
        """End all brokers in order, together: one alone would wait for a majority."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.stop(), self.nodes.values()))

    def restart(self, broker: int, timeout: float = START_SECONDS) -> None:
        """Start the broker with that id on the data and port that it had, after killing it."""
        self.nodes[broker].kill()
        self.nodes[broker].start(timeout)

    def pause(self, broker: int) -> None:
        """Freeze the broker with that id, as SIGSTOP does."""
        self.nodes[broker].pause()

    def resume(self, broker: int) -> None:
        """Let the frozen broker with that id go on."""
        self.nodes[broker].resume()

    def heal(self) -> None:
        """Let all brokers run again: the frozen ones go on, those that ended start."""
        for node in self.nodes.values():
            node.resume()
        self.start()

    def close(self) -> None:
        """End all brokers at once; their logs and data stay in the folder."""
        for node in self.nodes.values():
            node.close()
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def security_of(wanted: Wanted, hosts: Sequence[str], folder: Path) -> "Security | None":
    """Return users and a certificate for `hosts`, if `wanted` has users."""
    if not wanted.users:
        return None
    # Its libraries are for tests; `make broker` does without them.
    from tools.broker.security import Security  # noqa: PLC0415

    return Security(wanted.users, hosts, folder)


def cluster_id_of(folder: Path) -> str:
    """Return the id of the cluster in `folder`, a new one if it has none yet."""
    kept = folder / "cluster-id"
    if not kept.exists():
        kept.write_text(new_cluster_id(), encoding="ascii")
    return kept.read_text(encoding="ascii")


def new_cluster_id() -> str:
    """Return a cluster id as Kafka makes them: 16 random bytes, no `-` in front."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
