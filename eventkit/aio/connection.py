"""From a URL to an awaitable store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import partial, wraps
from typing import Any, ParamSpec

from eventkit import connection, store
from eventkit.aio.pool import in_thread
from eventkit.aio.store import EventStore

_P = ParamSpec("_P")


class _Opening:
    """A store that is being opened in a thread, by a task that may be cancelled meanwhile."""

    def __init__(self, connect: Callable[[], store.EventStore]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._opened: store.EventStore | None = None
        self._unwanted = False

    def open(self) -> store.EventStore:
        """Open it; closes it at once if nobody wants it any more."""
        opened = self._connect()
        with self._lock:
            self._opened = opened
            unwanted = self._unwanted
        if unwanted:
            opened.close()
        return opened

    def give_up(self) -> None:
        """Have it closed, now or as soon as it is open."""
        with self._lock:
            self._unwanted = True
            opened = self._opened
        if opened is not None:
            thread = threading.Thread(target=opened.close, name="eventkit close", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread can be had: better that the loop waits than a leak
                opened.close()


class Connecting:
    """A store that opens when it is awaited, or entered with `async with`."""

    def __init__(self, connect: Callable[[], store.EventStore]) -> None:
        self._connect = connect
        self._store: EventStore | None = None

    def __await__(self) -> Generator[Any, None, EventStore]:
        return self._open().__await__()

    async def __aenter__(self) -> EventStore:
        self._store = await self
        return self._store

    async def __aexit__(self, *exc: object) -> None:
        if self._store is not None:
            await self._store.close()

    async def _open(self) -> EventStore:
        opening = _Opening(self._connect)
        try:
            return EventStore(await in_thread(opening.open, "connect"))
        except BaseException:  # nobody waits any more, or no thread can be had for its appends
            opening.give_up()
            raise


def _awaitable(sync: Callable[_P, store.EventStore]) -> Callable[_P, Connecting]:
    @wraps(sync, assigned=("__name__",))  # and the signature
    def connect(*args: _P.args, **kwargs: _P.kwargs) -> Connecting:
        return Connecting(partial(sync, *args, **kwargs))

    connect.__doc__ = """Open the event store at a URL; parameters and errors of `eventkit.connect`.

    `store = await aio.connect(url)`, or `async with aio.connect(url) as store:`, which closes it.
    """
    return connect


connect = _awaitable(connection.connect)
