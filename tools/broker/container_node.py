"""A broker in a Docker container."""

import time
from collections.abc import Mapping
from pathlib import Path

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tools.broker.errors import BrokerError
from tools.broker.node import READY
from tools.broker.properties import Listener, Listeners, escaped

CLIENTS, CONTROLLER, INTERNAL, SECURE = 9092, 9093, 9094, 9095
DATA = "/var/lib/kafka/data"  # a volume of the image

EXIT_SECONDS = 30
POLL_SECONDS = 0.2


class ContainerNode:
    """A broker in a container of its own, which keeps its data until `close`.

    Args:
        number: the broker's id in its cluster.
        image: of Apache Kafka.
        log: the file that gets the container's output at the end.
        network: joins the brokers of a cluster.
        host: the name or address at which this machine reaches the containers' ports.
        ports: the ports of `host` for clients and, if there is a second one, for TLS.
        advertised: host:port that clients are told to connect to, such as a proxy's.
    """

    def __init__(
        self,
        number: int,
        image: str,
        log: Path,
        network: Network,
        host: str,
        ports: tuple[int, ...],
        advertised: str | None = None,
    ) -> None:
        self.number = number
        self.log = log
        self.address = f"{host}:{ports[0]}"
        name = f"kafka-{number}"
        inside = [Listener(f":{port}", f"{name}:{port}") for port in (INTERNAL, CONTROLLER)]
        secure = [Listener(f":{SECURE}", f"{host}:{port}") for port in ports[1:]]
        clients = Listener(f":{CLIENTS}", advertised or self.address)
        self.listeners = Listeners(clients, *inside, *secure)
        self._container = DockerContainer(image).with_network(network).with_network_aliases(name)
        for inner, outer in zip((CLIENTS, SECURE), ports, strict=False):
            self._container.with_bind_ports(inner, outer)
        self._created = False

    @property
    def running(self) -> bool:
        return self._state() in {"running", "paused"}

    def configure(self, settings: Mapping[str, str], cluster_id: str) -> None:
        # The image turns each KAFKA_A_B into the line a.b of its server.properties, as it is.
        named = {
            f"KAFKA_{name.upper().replace('.', '_')}": escaped(settings[name]) for name in settings
        }
        self._container.with_envs(CLUSTER_ID=cluster_id, **named)

    def start(self, timeout: float) -> None:
        if self.running:
            return
        deadline = time.monotonic() + timeout
        try:
            starts = self._output().count(READY) + 1
            if self._created:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
                self._created = True
        except DockerException as error:
            raise BrokerError(f"broker {self.number} could not be started: {error}") from error
        self._wait_until_ready(starts, deadline)

    def kill(self) -> None:
        if self.running:
            self._container.get_wrapped_container().kill()
            self._container.get_wrapped_container().wait(timeout=EXIT_SECONDS)

    def stop(self) -> None:
        self.resume()
        if self.running:
            self._container.get_wrapped_container().stop(timeout=EXIT_SECONDS)

    def pause(self) -> None:
        if self._state() == "running":
            self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        if self._state() == "paused":
            self._container.get_wrapped_container().unpause()

    def close(self) -> None:
        self.log.write_text(self._output(), encoding="utf-8")
        self._container.stop()

    def _wait_until_ready(self, starts: int, deadline: float) -> None:
        while self._output().count(READY) < starts:
            if not self.running:
                raise self._failure("ended before it was ready")
            if time.monotonic() > deadline:
                raise self._failure("was not ready in time")
            time.sleep(POLL_SECONDS)

    def _state(self) -> str:
        if not self._created:
            return "created"
        container = self._container.get_wrapped_container()
        container.reload()
        return str(container.status)

    def _output(self) -> str:
        if not self._created:
            return ""
        logs: bytes = self._container.get_wrapped_container().logs()
        return logs.decode(errors="replace")

    def _failure(self, what: str) -> BrokerError:
        lines = self._output().splitlines()[-20:]
        return BrokerError("\n".join([f"broker {self.number} {what}; its output ends:", *lines]))
