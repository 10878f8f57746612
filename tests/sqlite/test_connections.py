"""Connections that read: one for each reader at work, a few kept for the next."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from eventkit.sqlite.connections import Connections


class Opened:
    """Opens connections and remembers them."""

    def __init__(self) -> None:
        self.all: list[sqlite3.Connection] = []

    def __call__(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.all.append(connection)
        return connection

    def open_now(self) -> int:
        """Return how many of them are open."""
        return sum(map(is_open, self.all))


def is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


@pytest.fixture
def opened() -> Opened:
    return Opened()


def test_a_connection_is_used_again_by_the_next_reader(opened: Opened) -> None:
    pool = Connections(opened)
    for _ in range(5):
        with pool.borrow() as connection:
            assert is_open(connection)
    assert len(opened.all) == 1
    pool.close()


def test_readers_at_work_each_have_a_connection_of_their_own(opened: Opened) -> None:
    pool = Connections(opened)
    with ExitStack() as stack:
        borrowed = [stack.enter_context(pool.borrow()) for _ in range(4)]
        assert len({id(connection) for connection in borrowed}) == 4
    pool.close()


def test_only_some_idle_connections_are_kept(opened: Opened) -> None:
    pool = Connections(opened, keep=2)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(pool.borrow())
    assert (len(opened.all), opened.open_now()) == (5, 2)
    pool.close()


def test_a_connection_comes_back_after_an_error(opened: Opened) -> None:
    pool = Connections(opened)
    with pytest.raises(ZeroDivisionError), pool.borrow():
        raise ZeroDivisionError
    with pool.borrow():
        pass
    assert len(opened.all) == 1
    pool.close()


def test_closing_closes_what_is_idle_at_once_and_the_rest_when_it_comes_back(
    opened: Opened,
) -> None:
    pool = Connections(opened)
    with pool.borrow() as used, pool.borrow():
        pass
    with pool.borrow() as used:
        pool.close()
        assert (is_open(used), opened.open_now()) == (True, 1)
    assert opened.open_now() == 0


def test_nothing_stays_open_however_readers_and_the_close_meet(opened: Opened) -> None:
    for _ in range(30):
        pool = Connections(opened, keep=3)
        barrier = threading.Barrier(7)

        with ThreadPoolExecutor(7) as threads:
            work = [threads.submit(read, pool, barrier) for _ in range(6)]
            barrier.wait()
            pool.close()
            for future in work:
                future.result()
    assert opened.open_now() == 0


def read(pool: Connections, barrier: threading.Barrier) -> None:
    """Read with one connection after the other."""
    barrier.wait()
    for _ in range(20):
        with pool.borrow() as connection:
            connection.execute("SELECT 1")
