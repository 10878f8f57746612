"""Read connections: as many as read at once, kept for the next reader."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Connections:
    """A pool of connections that only read; each is used by one thread at a time.

    Parameters:
        connect: opens one more.
        keep: how many idle ones to keep open.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], *, keep: int = 16) -> None:
        self._connect = connect
        self._keep = keep
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """A connection for the length of one query."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            if len(self._idle) >= self._keep:
                connection.close()
            else:
                self._idle.append(connection)
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close those that are idle now, and the others when they come back."""
        self._closed = True
        with suppress(IndexError):  # another thread may do the same
            while True:
                self._idle.pop().close()
