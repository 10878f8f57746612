"""Loopback ports that stay ours while a broker is down."""

import socket
from typing import Self

from tools.broker.errors import BrokerError

LOOPBACK = "127.0.0.1"


class Port:
    """A loopback port, bound but never listened at, so that no other process is given it.

    Without it, the port of a killed broker could become the local port of some client's connection,
    and the broker could not come back. The broker itself may bind the port, since both sides set
    SO_REUSEADDR (Java does on its own) and only one of them listens.
    """

    def __init__(self, number: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((LOOPBACK, number))
        except OSError as error:
            self._socket.close()
            raise BrokerError(f"port {number} cannot be had: {error.strerror}") from error
        self.number: int = self._socket.getsockname()[1]

    @classmethod
    def free(cls) -> Self:
        """Reserve a port that nobody uses."""
        return cls(0)

    @property
    def address(self) -> str:
        """The port as host:port."""
        return f"{LOOPBACK}:{self.number}"

    def release(self) -> None:
        """Give the port back."""
        self._socket.close()
