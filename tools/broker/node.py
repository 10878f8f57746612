"""What a broker of a cluster can be told to do, wherever it runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tools.broker.properties import Listeners

READY = "Kafka Server started"  # Kafka's last word of a start, after it has joined its cluster


class Node(Protocol):
    """A broker of a cluster."""

    listeners: Listeners
    log: Path

    @property
    def address(self) -> str:
        """host:port of the plaintext listener as this machine reaches it, with no proxy between."""
        ...

    @property
    def running(self) -> bool:
        """Whether the broker's process is there, be it paused."""
        ...

    def configure(self, settings: Mapping[str, str], cluster_id: str) -> None:
        """Take the settings for the starts to come."""
        ...

    def start(self, timeout: float) -> None:
        """Start the broker on the data it has; return when it serves clients."""
        ...

    def kill(self) -> None:
        """End the broker at once, as SIGKILL does; return when it is gone."""
        ...

    def stop(self) -> None:
        """End the broker in order, so that it hands its partitions over first."""
        ...

    def pause(self) -> None:
        """Freeze the broker, as SIGSTOP does."""
        ...

    def resume(self) -> None:
        """Let a frozen broker go on."""
        ...

    def close(self) -> None:
        """End the broker for good and give back what it held."""
        ...
