"""Ctrl-C in the middle of an append: this caller stops, the others and the store go on."""

import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from eventkit.sqlite import SqliteStore
from eventkit.sqlite.writelock import begin
from eventkit.store import Snapshot
from tests.contract.domain import by_aggregate, moves, places, versions
from tests.sqlite.faults import Faults

SECONDS = 30
STATEMENTS = ["BEGIN", "SELECT", "INSERT INTO events", "COMMIT"]


@pytest.fixture
def faults(store: SqliteStore) -> Faults:
    return Faults(store)


@pytest.fixture(autouse=True)
def _ctrl_c() -> Iterator[None]:
    """See that an interrupt raises KeyboardInterrupt, as it does in a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_at(faults: Faults, begin: str, *, late: bool) -> None:
    """Press Ctrl-C once, at a statement of the main thread."""

    def press(sql: str) -> None:
        if sql.lstrip().startswith(begin) and threading.current_thread() is threading.main_thread():
            setattr(faults, when, lambda _sql: None)
            signal.raise_signal(signal.SIGINT)

    when = "after" if late else "before"
    setattr(faults, when, press)


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_an_interrupted_append_is_written_wholly_or_not(
    store: SqliteStore, faults: Faults, statement: str, *, late: bool
) -> None:
    store.append("parcel-1", moves("a"))
    interrupt_at(faults, statement, late=late)
    with pytest.raises(KeyboardInterrupt):
        store.append("parcel-1", moves("b", "c"), expected_version=1)
    written = late and statement == "COMMIT"
    assert places(store.get_events("parcel-1")) == (["a", "b", "c"] if written else ["a"])
    assert store.append("parcel-1", moves("d")).version == (4 if written else 2)


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_an_interrupted_thread_does_not_disturb_those_it_commits_for(
    store: SqliteStore, faults: Faults, statement: str, *, late: bool
) -> None:
    interrupt_among_others(store, faults, lambda: interrupt_at(faults, statement, late=late))


@pytest.mark.parametrize("step", ["keep", "is_lost"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_an_interrupt_between_the_commit_and_its_outcomes_doubles_nothing(
    store: SqliteStore,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    *,
    late: bool,
) -> None:
    """COMMIT has returned, and nobody was told yet: `step` is what the writer does in between."""
    writer = store._group._commit.__self__  # type: ignore[attr-defined]
    owner = writer._schemas if step == "keep" else writer._file
    real = getattr(owner, step)

    def press() -> None:
        monkeypatch.setattr(owner, step, real)
        signal.raise_signal(signal.SIGINT)

    def interrupted(*args: object) -> object:
        if threading.current_thread() is not threading.main_thread():
            return real(*args)
        if not late:
            press()
        result = real(*args)
        press()
        return result

    interrupt_among_others(store, faults, lambda: monkeypatch.setattr(owner, step, interrupted))
    assert places(store.get_events("parcel-main")) == ["b"]


def interrupt_among_others(
    store: SqliteStore, faults: Faults, interrupt: Callable[[], None]
) -> None:
    """Interrupt the main thread while it commits for ten others, which get what they asked for.

    They give no ids, so that a second try could double their events.
    """
    others = 10
    hold, held = threading.Event(), threading.Event()

    def first(sql: str) -> None:
        if sql.startswith("BEGIN"):
            faults.before = lambda _sql: None
            held.set()
            assert hold.wait(SECONDS)
            interrupt()

    faults.before = first
    queued = watch_queue(store)
    with ThreadPoolExecutor(others + 1) as pool:
        leader = pool.submit(store.append, "parcel-0", moves("first"))
        assert held.wait(SECONDS)
        assert queued.acquire(timeout=SECONDS)

        def release() -> list[int]:
            assert queued.acquire(timeout=SECONDS)  # the main thread is the next to lead
            results = []
            for number in range(1, others + 1):
                results.append(pool.submit(store.append, f"parcel-{number}", moves("a"), None))
                assert queued.acquire(timeout=SECONDS)
            hold.set()
            return [result.result(SECONDS).version for result in results]

        with ThreadPoolExecutor(1) as helper:
            done = helper.submit(release)
            with pytest.raises(KeyboardInterrupt):
                store.append("parcel-main", moves("b"))
            assert done.result(SECONDS) == [1] * others
        assert leader.result(SECONDS).version == 1
    found = by_aggregate(store.replay())
    found.pop("parcel-main", None)
    assert {key: versions(items) for key, items in found.items()} == {
        f"parcel-{number}": [1] for number in range(others + 1)
    }


def test_an_interrupt_while_waiting_takes_the_append_back(
    store: SqliteStore, faults: Faults
) -> None:
    hold, held = threading.Event(), threading.Event()
    main = threading.get_ident()

    def stop(sql: str) -> None:
        if sql.startswith("BEGIN"):
            faults.before = lambda _sql: None
            held.set()
            assert hold.wait(SECONDS)

    faults.before = stop
    queued = watch_queue(store)
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(store.append, "parcel-1", moves("a"))
        assert held.wait(SECONDS)
        assert queued.acquire(timeout=SECONDS)

        def press() -> int:
            assert queued.acquire(timeout=SECONDS)
            behind = pool.submit(store.append, "parcel-2", moves("b"))
            assert queued.acquire(timeout=SECONDS)
            signal.pthread_kill(main, signal.SIGINT)
            return behind.result(SECONDS).version

        pressed = pool.submit(press)
        with pytest.raises(KeyboardInterrupt):
            store.append("parcel-main", moves("c"))
        hold.set()
        assert (leader.result(SECONDS).version, pressed.result(SECONDS)) == (1, 1)
    assert sorted(places(store.replay())) == ["a", "b"]
    assert store.append("parcel-main", moves("d"), expected_version=0).version == 1


def test_an_interrupt_while_a_snapshot_is_saved_leaves_the_file_free(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin_and_press(connection: sqlite3.Connection, *, timeout: float) -> None:
        begin(connection, timeout=timeout)
        signal.raise_signal(signal.SIGINT)

    snapshot = Snapshot("parcel-1", 1, b"", datetime.now(UTC), "fold")
    with monkeypatch.context() as patched:
        patched.setattr("eventkit.sqlite.snapshots.begin", begin_and_press)
        with pytest.raises(KeyboardInterrupt):
            store.snapshots.save_snapshot(snapshot)
    assert store.append("parcel-1", moves("a")).version == 1
    store.snapshots.save_snapshot(snapshot)
    assert store.snapshots.load_snapshot("parcel-1") is not None


def watch_queue(store: SqliteStore) -> threading.Semaphore:
    """Return what is released each time a caller is in the queue."""
    queued = threading.Semaphore(0)
    queue = store._group._queue

    def watched(ticket: object) -> None:
        queue(ticket)  # type: ignore[arg-type]
        queued.release()

    store._group._queue = watched  # type: ignore[method-assign]
    return queued
