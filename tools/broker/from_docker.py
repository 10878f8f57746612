"""Start a cluster in Docker containers."""

import gc
import warnings
from contextlib import ExitStack, closing
from pathlib import Path

from docker.errors import DockerException, ImageNotFound
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.network import Network

from tools.broker.cluster import Cluster, Wanted, new_cluster_id, security_of
from tools.broker.container_node import DATA, ContainerNode
from tools.broker.errors import BrokerError
from tools.broker.jars import kafka_version
from tools.broker.ports import Port

PROBE_SECONDS = 10


def image() -> str:
    """Return the image of the Kafka that the pom pins."""
    return f"apache/kafka:{kafka_version()}"


def engine_answers() -> bool:
    """Return whether a Docker engine can be reached."""
    with warnings.catch_warnings():
        # Where nothing answers, docker's client leaves its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(DockerClient(timeout=PROBE_SECONDS).client) as client:
                return bool(client.ping())
        except DockerException:
            return False
        finally:
            gc.collect()


def pull() -> None:
    """Bring the image, if it is not there yet.

    Raises:
        BrokerError: it cannot be had.
    """
    with closing(DockerClient().client) as client:
        try:
            client.images.get(image())
        except ImageNotFound:
            try:
                client.images.pull(image())
            except DockerException as error:
                raise BrokerError(f"docker cannot pull {image()}: {error}") from error


def start_from_docker(folder: Path, wanted: Wanted | None = None) -> Cluster:
    """Start containers as brokers, with their logs in `folder` when they have ended.

    Raises:
        BrokerError: a broker does not come up.
    """
    wanted = wanted or Wanted()
    folder.mkdir(parents=True, exist_ok=True)
    engine = DockerClient()
    with closing(engine.client):
        host = engine.host()
    security = security_of(wanted, [host], folder)
    with ExitStack() as undo:
        network = Network().create()
        undo.callback(network.remove)
        nodes: dict[int, ContainerNode] = {}
        for number in wanted.numbers:
            nodes[number] = ContainerNode(
                number,
                image(),
                folder / f"broker-{number}.log",
                network,
                host,
                free_ports(wanted.port_of(number), 2 if security else 1),
                wanted.advertised_of(number),
            )
            undo.callback(nodes[number].close)
        data = dict.fromkeys(nodes, DATA)
        cluster = Cluster(nodes, data, wanted, security, new_cluster_id(), network.remove)
        undo.pop_all()
    return cluster.start()


def free_ports(first: int, count: int) -> tuple[int, ...]:
    """Return `count` free ports, `first` among them unless it is 0."""
    ports = [Port(number) for number in [first, 0][:count]]
    for port in ports:
        port.release()  # the engine binds them next
    return tuple(port.number for port in ports)
