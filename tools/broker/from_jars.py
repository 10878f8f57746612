"""Start a cluster from Kafka's jars."""

from contextlib import ExitStack
from pathlib import Path

from tools.broker.class_archive import with_archive
from tools.broker.cluster import Cluster, Wanted, cluster_id_of, security_of
from tools.broker.jar_node import JarNode
from tools.broker.jars import Jars, resolve
from tools.broker.ports import LOOPBACK


def prepare() -> Jars:
    """Return Kafka's jars and the archive of their classes, brought and made if they are not there.

    Raises:
        BrokerError: Java or Maven is missing, or Maven could not bring the jars.
    """
    return with_archive(resolve())


def start_from_jars(
    folder: Path, wanted: Wanted | None = None, jars: Jars | None = None
) -> Cluster:
    """Start Java processes as brokers, with their data and logs in `folder`.

    They end when this process ends, however it ends. A folder that was used before is gone on with.

    Raises:
        BrokerError: Java or Maven is missing, a port is in use, or a broker does not come up.
    """
    wanted, jars = wanted or Wanted(), jars or prepare()
    folder.mkdir(parents=True, exist_ok=True)
    security = security_of(wanted, [LOOPBACK], folder)
    with ExitStack() as undo:
        nodes: dict[int, JarNode] = {}
        for number in wanted.numbers:
            nodes[number] = JarNode(
                number,
                folder,
                jars,
                port=wanted.port_of(number),
                advertised=wanted.advertised_of(number),
                secure=security is not None,
                java=wanted.java,
            )
            undo.callback(nodes[number].close)
        data = {number: str(node.data) for number, node in nodes.items()}
        cluster = Cluster(nodes, data, wanted, security, cluster_id_of(folder))
        undo.pop_all()
    return cluster.start()
