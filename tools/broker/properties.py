"""The server.properties of a broker: KRaft, combined mode, timings for tests."""

from collections.abc import Mapping
from typing import NamedTuple


class Listener(NamedTuple):
    """Where a broker listens and what it tells others to connect to, both as host:port."""

    bind: str
    advertised: str


class Listeners(NamedTuple):
    """The listeners of one broker."""

    clients: Listener  # plaintext, for clients
    internal: Listener  # plaintext, between brokers, so that a proxy can stand before `clients`
    controller: Listener
    secure: Listener | None = None  # TLS and a password, for clients


# Kafka's own names for the listeners.
PROTOCOLS = {
    "CLIENTS": "PLAINTEXT",
    "INTERNAL": "PLAINTEXT",
    "CONTROLLER": "PLAINTEXT",
    "SECURE": "SASL_SSL",
}

# What every broker of ours has. The defaults are made for large, patient clusters: tests would wait
# for seconds where here they wait for milliseconds.
COMMON = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "INTERNAL",
    "listener.security.protocol.map": ",".join(f"{n}:{p}" for n, p in PROTOCOLS.items()),
    # A topic that a test forgot to create is a mistake, as it is in eventkit.
    "auto.create.topics.enable": "false",
    # Enough to spread the coordinators over three brokers, and soon made (default 50).
    "offsets.topic.num.partitions": "6",
    "transaction.state.log.num.partitions": "6",
    "share.coordinator.state.topic.num.partitions": "6",
    # A group's first member does not wait for others (default 3 s).
    "group.initial.rebalance.delay.ms": "0",
    # How long a transaction outlives its time-out (default 10 s).
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}


def sized_for(brokers: int) -> dict[str, str]:
    """Return the settings that depend on how many brokers there are; of three, one may be down.

    A dead broker keeps its partitions for the session's time-out (default 9 s). A lone broker that
    was killed waits that long at its restart: until then the controller takes it for its own twin.
    """
    alone = brokers == 1
    copies, in_sync = ("1", "1") if alone else ("3", "2")
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "broker.session.timeout.ms": "1500" if alone else "3000",
        "broker.heartbeat.interval.ms": "250" if alone else "500",
    }


def identity(broker: int, cluster: Mapping[int, Listeners], data: str) -> dict[str, str]:
    """Return the settings that tell `broker` of `cluster` from the others; `data` is its folder."""
    own = cluster[broker]
    named = {"CLIENTS": own.clients, "INTERNAL": own.internal}
    if own.secure:
        named["SECURE"] = own.secure
    bound = named | {"CONTROLLER": own.controller}
    voters = {number: others.controller.advertised for number, others in cluster.items()}
    return {
        "node.id": str(broker),
        "log.dirs": data,
        "listeners": ",".join(f"{name}://{at.bind}" for name, at in bound.items()),
        "advertised.listeners": ",".join(f"{name}://{at.advertised}" for name, at in named.items()),
        "controller.quorum.voters": ",".join(f"{number}@{at}" for number, at in voters.items()),
    }


def render(settings: Mapping[str, str]) -> str:
    """Return `settings` in the format of a Java properties file."""
    return "".join(f"{name}={escaped(value)}\n" for name, value in settings.items())


def escaped(value: str) -> str:
    """Return `value` as it stands in a line of a Java properties file."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
