"""The proxy that tests put before brokers; against a listener in place of a broker."""

import gc
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tools.broker.ports import LOOPBACK
from tools.proxy.proxy import Proxy


@pytest.fixture
def listener() -> Iterator[str]:
    """The address of one whom connections may wait for, and who never answers."""
    with socket.create_server((LOOPBACK, 0), backlog=4_096) as server:
        host, port = server.getsockname()
        yield f"{host}:{port}"


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What Python could only tell the hook for what cannot be raised, such as sockets left open."""
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: told.append(it.exc_value))
    return told


def test_a_proxy_that_ends_leaves_no_socket_open(listener: str, unraisable: list[object]) -> None:
    for _ in range(40):
        ended = threading.Event()
        with Proxy(listener) as proxy:
            clients = [threading.Thread(target=connect, args=(proxy, ended)) for _ in range(4)]
            for client in clients:
                client.start()
            time.sleep(0.005)
        ended.set()
        for client in clients:
            client.join()
    del proxy
    gc.collect()
    assert not unraisable


def connect(proxy: Proxy, ended: threading.Event) -> None:
    """Connect again and again."""
    host, port = proxy.address.rsplit(":", 1)
    with suppress(OSError):
        while not ended.is_set():
            socket.create_connection((host, int(port)), timeout=0.05).close()
