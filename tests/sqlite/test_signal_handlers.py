"""A signal handler that calls the store in the middle of an append: nothing waits for itself."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import sleep

import pytest

from eventkit import Append, EventStore
from eventkit.errors import ReentrantCall, StoreClosed
from eventkit.sqlite import SqliteStore
from tests.contract.domain import moves, places
from tests.sqlite.faults import Faults
from tests.unit.source import ROOT

SECONDS = 30
KILLS = 4
STATEMENTS = ["BEGIN", "SELECT", "INSERT INTO events", "COMMIT"]

# Prints the version of each append that returned.
APPENDING = """
import signal, sys, threading
from eventkit.sqlite import SqliteStore
from tests.contract.domain import moves

def stop(*_):
    store.close()
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
store = SqliteStore(sys.argv[1])
others = [threading.Thread(target=lambda n=n: others_append(n), daemon=True) for n in range(2)]

def others_append(number):
    while True:
        store.append(f"parcel-other{number}", moves("x"))

if sys.argv[2] == "threads":
    for other in others:
        other.start()
events = moves(*["x"] * 50)
while True:
    if sys.argv[2] == "with":
        with SqliteStore(sys.argv[1]) as store:
            done = store.append("parcel-1", events)
    else:
        done = store.append("parcel-1", events)
    sys.stdout.write(f"{done.version}\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize("manner", ["alone", "with", "threads"])
def test_a_handler_that_closes_the_store_ends_the_process(file: Path, manner: str) -> None:
    """Killed at many moments: it ends, what it acknowledged is there, and the file is free."""
    for number in range(KILLS):
        command = [sys.executable, "-c", APPENDING, str(file), manner]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline())]
            sleep(0.011 * number)
            process.send_signal(signal.SIGTERM)
            try:
                said, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0
        acknowledged += [int(line) for line in said.split()]
        with SqliteStore(file, timeout=1) as store:
            version = len(store.get_events("parcel-1"))
            assert version - acknowledged[-1] in (0, 50)
            store.append("parcel-2", moves("free"))


@pytest.fixture
def faults(store: SqliteStore) -> Faults:
    return Faults(store)


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Have a call made when the main thread gets SIGUSR1."""
    before = signal.getsignal(signal.SIGUSR1)

    def set_handler(handler: Callable[[], object]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: handler())

    yield set_handler
    signal.signal(signal.SIGUSR1, before)


OnSignal = Callable[[Callable[[], object]], None]


def signal_at(faults: Faults, begin: str, *, late: bool) -> None:
    """Send the signal once, before or after a statement of the main thread."""

    def send(sql: str) -> None:
        if sql.lstrip().startswith(begin) and threading.current_thread() is threading.main_thread():
            setattr(faults, when, lambda _sql: None)
            signal.raise_signal(signal.SIGUSR1)

    when = "after" if late else "before"
    setattr(faults, when, send)


def is_open(store: SqliteStore) -> bool:
    try:
        store._connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_close_in_a_handler_lets_the_interrupted_append_finish(
    file: Path,
    store: SqliteStore,
    faults: Faults,
    on_signal: OnSignal,
    statement: str,
    *,
    late: bool,
) -> None:
    on_signal(store.close)
    signal_at(faults, statement, late=late)
    assert store.append("parcel-1", moves("a")).version == 1
    assert not is_open(store)
    with pytest.raises(StoreClosed):
        store.append("parcel-1", moves("b"))
    with SqliteStore(file) as again:
        assert places(again.get_events("parcel-1")) == ["a"]


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_handler_that_closes_and_exits_leaves_a_closed_store(
    file: Path,
    store: SqliteStore,
    faults: Faults,
    on_signal: OnSignal,
    statement: str,
    *,
    late: bool,
) -> None:
    def stop() -> None:
        store.close()
        raise SystemExit

    on_signal(stop)
    signal_at(faults, statement, late=late)
    with pytest.raises(SystemExit):
        store.append("parcel-1", moves("a"))
    assert not is_open(store)
    with SqliteStore(file, timeout=1) as again:
        written = late and statement == "COMMIT"
        assert places(again.get_events("parcel-1")) == (["a"] if written else [])


CALLS: dict[str, Callable[[EventStore], object]] = {
    "append": lambda store: store.append("parcel-2", moves("b")),
    "append_each": lambda store: store.append_each([Append("parcel-2", moves("b"))]),
    "append_all": lambda store: store.append_all([Append("parcel-2", moves("b"))]),
}


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("call", CALLS)
def test_an_append_in_a_handler_is_refused_at_once(
    store: SqliteStore, faults: Faults, on_signal: OnSignal, call: str
) -> None:
    def append() -> None:
        with pytest.raises(ReentrantCall, match="Set a flag in the handler"):
            CALLS[call](store)
        told.append(places(store.get_events("parcel-1")))  # reading waits for nobody

    told: list[list[str]] = []
    on_signal(append)
    signal_at(faults, "COMMIT", late=True)
    assert store.append("parcel-1", moves("a")).version == 1
    assert told == [["a"]]
    CALLS[call](store)
    assert places(store.replay()) == ["a", "b"]


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("raised", [None, TimeoutError("alarm")], ids=["refused", "alarm"])
def test_what_a_handler_raises_does_not_reach_the_callers_it_commits_for(
    store: SqliteStore, faults: Faults, on_signal: OnSignal, raised: Exception | None
) -> None:
    """The others' appends are written at that moment: they must not be told of a failure."""

    def handler() -> None:
        if raised is not None:
            raise raised
        store.append("parcel-2", moves("b"))

    hold, held = threading.Event(), threading.Event()

    def wait(sql: str) -> None:
        if sql.startswith("BEGIN"):
            faults.before = lambda _sql: None
            held.set()
            assert hold.wait(SECONDS)
            signal_at(faults, "COMMIT", late=True)

    faults.before = wait
    on_signal(handler)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(store.append, "parcel-first", moves("a"))
        assert held.wait(SECONDS)

        def follow() -> list[int]:
            for number in (1, 2):
                while len(store._group._waiting) < number:
                    sleep(0.001)
                if number == 1:
                    other = pool.submit(store.append, "parcel-other", moves("a"))
            hold.set()
            return [first.result(SECONDS).version, other.result(SECONDS).version]

        followed = pool.submit(follow)
        with pytest.raises(ReentrantCall if raised is None else TimeoutError):
            store.append("parcel-main", moves("a"))
        assert followed.result(SECONDS) == [1, 1]
    assert not store._group._waiting
    assert len(store.get_events("parcel-other")) == 1


@pytest.mark.timeout(SECONDS)
def test_a_close_in_a_handler_while_an_append_waits_for_another_thread(
    store: SqliteStore, faults: Faults, on_signal: OnSignal
) -> None:
    hold, held = threading.Event(), threading.Event()

    def wait(sql: str) -> None:
        if sql.startswith("BEGIN"):
            faults.before = lambda _sql: None
            held.set()
            assert hold.wait(SECONDS)

    def stop() -> None:
        store.close()
        hold.set()

    faults.before = wait
    on_signal(stop)
    main = threading.get_ident()
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(store.append, "parcel-1", moves("a"))
        assert held.wait(SECONDS)

        def send() -> None:
            while not store._group._waiting:
                sleep(0.001)
            signal.pthread_kill(main, signal.SIGUSR1)

        pool.submit(send)
        assert store.append("parcel-main", moves("b")).version == 1
        assert leader.result(SECONDS).version == 1
    assert not is_open(store)


@pytest.mark.timeout(SECONDS)
def test_a_close_that_an_interrupt_ended_is_finished_by_the_next(
    file: Path, store: SqliteStore, on_signal: OnSignal
) -> None:
    def stop() -> None:
        raise SystemExit

    on_signal(stop)
    main = threading.get_ident()
    with (
        closing(sqlite3.connect(file, isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        waits = pool.submit(store.append, "parcel-1", moves("a"))
        while not store._group._committing:
            sleep(0.001)
        timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGUSR1))
        timer.start()
        with pytest.raises(SystemExit):
            store.close()
        other.execute("ROLLBACK")
        assert waits.result(SECONDS).version == 1
        timer.join()
    store.close()
    assert not is_open(store)
