"""A few threads in which the calls of tasks wait for the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from eventkit.aio.mailbox import Mailbox
from eventkit.errors import StoreBusy, StoreClosed

_T = TypeVar("_T")
_MOST_WAITING = 50_000


class _Job(NamedTuple):
    """A call, and who waits for its result."""

    call: Callable[[], Any]
    future: asyncio.Future[Any]
    mailbox: Mailbox


class Pool:
    """Runs calls off the loop, oldest first; what a cancelled task asked for is left out.

    Parameters:
        name: of its threads.
        threads: how many at most; they are started when they are needed.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name = f"eventkit {name}"
        self._most = threads
        self._mutex = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle = 0
        self._closed = False

    async def run(self, call: Callable[[], _T], mailbox: Mailbox) -> _T:
        """Return what a call returns, or raise what it raises.

        Raises:
            StoreBusy: too many wait.
            StoreClosed: it was closed before.
            RuntimeError: it has no thread, and none can be started.
        """
        future: asyncio.Future[_T] = mailbox.loop.create_future()
        with self._mutex:
            if self._closed:
                raise StoreClosed("the event store")
            waiting = self._jobs.qsize()
            if waiting >= _MOST_WAITING:
                raise StoreBusy(f"{waiting:,} calls wait already; try again later.")
            if waiting >= self._idle and len(self._threads) < self._most:
                self._start()
            self._jobs.put(_Job(call, future, mailbox))
        return await future

    def close(self) -> None:
        """Refuse new calls and return when all that were accepted are done."""
        with self._mutex:
            self._closed = True
            threads, self._threads = self._threads, []
        self._jobs.put(None)
        for thread in threads:
            thread.join()

    def _start(self) -> None:
        """Start one more thread, or leave the work to those there are; the mutex is held."""
        thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the limit of threads, of the process or of its container
            if not self._threads:
                raise
        else:
            self._threads.append(thread)

    def _work(self) -> None:
        while True:
            with self._mutex:
                self._idle += 1
            job = self._jobs.get()
            with self._mutex:
                self._idle -= 1
            if job is None:
                self._jobs.put(None)  # for the next one
                return
            if not job.future.cancelled():
                run(*job)
            del job  # or it would be kept until the next one comes


def run(call: Callable[[], Any], future: asyncio.Future[Any], mailbox: Mailbox) -> None:
    """Run a call and post its result."""
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - belongs to who waits
        mailbox.post(future, None, error)
    else:
        mailbox.post(future, result)


def in_thread(call: Callable[[], _T], name: str) -> asyncio.Future[_T]:
    """Run a call in a thread of its own, to its end, even if its result is not wanted any more."""
    mailbox = Mailbox(asyncio.get_running_loop())
    future: asyncio.Future[_T] = mailbox.loop.create_future()
    job = (call, future, mailbox)
    threading.Thread(target=run, args=job, name=f"eventkit {name}", daemon=True).start()
    return future
