"""What the tests let other processes do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from random import Random
from typing import Any

from eventkit import ConcurrencyError
from eventkit.sqlite import SqliteStore
from tests.contract.concurrency import won_by
from tests.contract.domain import moves

# A server that has all modules loaded forks the workers: each starts within milliseconds, and none
# of them inherits the threads or connections of the tests.
_processes = get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@contextmanager
def worker(work: Callable[..., None], *arguments: Any) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run a function in another process; yield the process and what it sends through."""
    receive, send = _processes.Pipe(duplex=False)
    process = _processes.Process(target=work, args=(send, *arguments))
    process.start()
    send.close()
    try:
        yield process, receive
    finally:
        process.kill()
        process.join()
        receive.close()


def remaining(receive: Connection) -> Iterator[Any]:
    """Yield what a process sent until it ended or was killed."""
    while True:
        try:
            yield receive.recv()
        except (EOFError, ConnectionResetError):
            return


def append_until_killed(send: Connection, file: Path, seed: int) -> None:
    """Append from several threads, to few aggregates; send each append when it is acknowledged."""
    store = SqliteStore(file)
    sending = threading.Lock()

    def work(number: int) -> None:
        random = Random(f"{seed}.{number}")  # noqa: S311 - a repeatable choice
        for turn in range(1_000_000):
            aggregate_id = f"parcel-{random.randrange(6)}"
            count = random.choice((1, 1, 2, 5))
            mark = f"{seed}.{number}.{turn}/{count}"
            expected = len(store.get_events(aggregate_id)) if random.random() < 0.3 else None
            try:
                done = store.append(aggregate_id, moves(*[mark] * count), expected)
            except ConcurrencyError:
                continue
            with sending:
                send.send((aggregate_id, done.version, [it.hex for it in done.event_ids]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def race(send: Connection, file: Path, racer: int, rounds: int) -> None:
    """Race for the versions of few aggregates; send what was won."""
    with SqliteStore(file, timeout=60) as store:
        won: list[tuple[str, int, str]] = []
        threads = [
            threading.Thread(target=lambda n=n: won.extend(won_by(n, store, rounds)))
            for n in range(racer * 10, racer * 10 + 4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        send.send(won)


def meeting(count: int) -> Barrier:
    """Where some processes wait for each other."""
    return _processes.Barrier(count)


def open_and_append(
    send: Connection, all_here: Barrier, file: Path, number: int, count: int
) -> None:
    """Open a store that others open at the same moment, append and close it; send a version."""
    all_here.wait()
    with SqliteStore(file) as store:
        for turn in range(count):
            done = store.append(f"parcel-{number}", moves(str(turn)), expected_version=turn)
    send.send(done.version)
