"""Tasks that wait while the store is held up: what they may do, and what becomes of them."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from eventkit import Append, RecordedEvent, aio
from eventkit.aio.appending import Appender
from eventkit.aio.connection import Connecting
from eventkit.aio.mailbox import Mailbox
from eventkit.aio.pool import Pool
from eventkit.errors import InvalidUrl, StoreBusy, StoreClosed, StoreUnavailable
from eventkit.sqlite import SqliteStore
from eventkit.sqlite.reader import Row, Scan
from tests.aio_kit import SECONDS, first
from tests.contract.domain import Parcel, ParcelSent, by_aggregate, moves, places, versions
from tests.sqlite.faults import Faults, failure


class Held:
    """Holds the store up before it begins to write, until it is let go."""

    def __init__(self, store: SqliteStore) -> None:
        self._reached = threading.Event()
        self._go_on = threading.Event()
        self.failure: Exception | None = None
        Faults(store).before = self._before

    def _before(self, sql: str) -> None:
        if sql.lstrip().startswith("BEGIN"):
            self._reached.set()
            assert self._go_on.wait(SECONDS)
            if self.failure is not None:
                raise self.failure

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, SECONDS)

    def let_go(self) -> None:
        self._go_on.set()


@pytest.fixture
def held(store: SqliteStore) -> Iterator[Held]:
    held = Held(store)
    yield held
    held.let_go()


def asked(place: str) -> Append:
    return Append("parcel-1", moves(place))


def test_a_cancelled_append_that_has_not_begun_is_never_written(
    store: SqliteStore, held: Held
) -> None:
    async def work() -> None:
        awaited = aio.EventStore(store)
        begun = asyncio.create_task(awaited.append("parcel-1", moves("a")))
        await held.reached()
        taken_back = asyncio.create_task(awaited.append("parcel-1", moves("b")))
        later = asyncio.create_task(awaited.append("parcel-1", moves("c")))
        await asyncio.sleep(0)
        taken_back.cancel()  # its task does not run before the store takes what waits
        held.let_go()
        while len(store.get_events("parcel-1")) < 2:
            pass
        assert [(await begun).version, (await later).version] == [1, 2]
        assert places(await awaited.get_events("parcel-1")) == ["a", "c"]
        await awaited.close()

    asyncio.run(work())


def test_a_cancelled_append_that_has_begun_leaves_the_store_sound(
    store: SqliteStore, held: Held
) -> None:
    async def work() -> None:
        async with aio.EventStore(store) as awaited:
            begun = asyncio.create_task(awaited.append("parcel-1", moves("a")))
            await held.reached()
            begun.cancel()
            with pytest.raises(asyncio.CancelledError):
                await begun
            held.let_go()
            assert (await awaited.append("parcel-1", moves("b"))).version == 2

    asyncio.run(work())


def test_after_a_time_out_a_retry_with_the_same_ids_writes_once(
    store: SqliteStore, held: Held
) -> None:
    async def work() -> None:
        async with aio.EventStore(store) as awaited:
            ids = [uuid4()]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await awaited.append("parcel-1", moves("a"), 0, event_ids=ids)
            held.let_go()
            done = await awaited.append("parcel-1", moves("a"), 0, event_ids=ids)
            assert done.version == 1
            assert places(await awaited.get_events("parcel-1")) == ["a"]

    asyncio.run(work())


def test_what_was_accepted_before_a_close_is_written(store: SqliteStore, held: Held) -> None:
    async def work() -> None:
        awaited = aio.EventStore(store)
        begun = asyncio.create_task(awaited.append("parcel-1", moves("begun")))
        await held.reached()
        waiting = [asyncio.create_task(awaited.append("parcel-1", moves("a"))) for _ in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(awaited.close())
        await asyncio.sleep(0)
        for refused in (awaited.get_events("parcel-1"), awaited.append("parcel-1", moves("x"))):
            with pytest.raises(StoreClosed):
                await refused
        assert not closing.done()
        held.let_go()
        await closing
        assert [done.version for done in await asyncio.gather(begun, *waiting)] == [1, 2, 3, 4]

    asyncio.run(work())


def test_while_the_store_is_held_up_tasks_run_and_read(store: SqliteStore, held: Held) -> None:
    async def work() -> None:
        async with aio.EventStore(store) as awaited:
            begun = asyncio.create_task(awaited.append("parcel-1", moves("a")))
            await held.reached()
            assert await awaited.get_events("parcel-1") == []
            assert [it async for it in awaited.replay()] == []
            assert not begun.done()
            held.let_go()
            await begun

    asyncio.run(work())


def test_tasks_that_fail_together_have_errors_of_their_own(store: SqliteStore, held: Held) -> None:
    async def work() -> None:
        awaited = aio.EventStore(store)
        begun = asyncio.create_task(awaited.append("parcel-1", moves("begun")))
        await held.reached()
        asked = [asyncio.create_task(awaited.append("parcel-1", moves("a"))) for _ in range(3)]
        await asyncio.sleep(0)
        held.failure = failure(sqlite3.SQLITE_FULL)
        held.let_go()
        errors = await asyncio.gather(begun, *asked, return_exceptions=True)
        held.failure = None
        assert {type(error) for error in errors} == {StoreUnavailable}
        assert len({id(error) for error in errors}) == 4
        assert all(isinstance(error.__cause__, sqlite3.Error) for error in errors)  # type: ignore[union-attr]
        assert (await awaited.append("parcel-1", moves("b"))).version == 1
        await awaited.close()

    asyncio.run(work())


def test_more_appends_than_may_wait_are_refused_at_once(store: SqliteStore, held: Held) -> None:
    async def work() -> None:
        appender = Appender(store, max_waiting=3)
        mailbox = Mailbox(asyncio.get_running_loop())
        begun = asyncio.create_task(appender.append(asked("begun"), mailbox))
        await held.reached()
        waiting = [asyncio.create_task(appender.append(asked(str(n)), mailbox)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(StoreBusy, match="3 appends wait already"):
            await appender.append(asked("x"), mailbox)
        waiting.pop().cancel()
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(appender.append(asked("instead"), mailbox)))
        await asyncio.sleep(0)
        held.let_go()
        await asyncio.gather(begun, *waiting)
        assert places(store.get_events("parcel-1")) == ["begun", "0", "1", "instead"]
        await asyncio.to_thread(appender.close)

    asyncio.run(work())


def test_an_append_whose_turn_does_not_come_is_given_up(store: SqliteStore, held: Held) -> None:
    async def work() -> None:
        appender = Appender(store, patience=0.05)
        mailbox = Mailbox(asyncio.get_running_loop())
        begun = asyncio.create_task(appender.append(asked("a"), mailbox))
        await held.reached()
        late = asyncio.create_task(appender.append(asked("b"), mailbox))
        await asyncio.sleep(0.06)
        held.let_go()
        await begun
        with pytest.raises(StoreBusy, match=r"waited 0.05 s for its turn"):
            await late
        assert places(store.get_events("parcel-1")) == ["a"]
        await asyncio.to_thread(appender.close)

    asyncio.run(work())


def test_a_call_whose_task_was_cancelled_before_its_turn_is_left_out() -> None:
    async def work() -> None:
        pool, mailbox = Pool("test", 1), Mailbox(asyncio.get_running_loop())
        go_on, ran = threading.Event(), []
        first = asyncio.create_task(pool.run(lambda: go_on.wait(SECONDS), mailbox))
        second = asyncio.create_task(pool.run(lambda: ran.append("second"), mailbox))
        third = asyncio.create_task(pool.run(lambda: ran.append("third"), mailbox))
        await asyncio.sleep(0)
        second.cancel()
        go_on.set()
        await asyncio.gather(first, third)
        assert ran == ["third"]
        await asyncio.to_thread(pool.close)
        with pytest.raises(StoreClosed):
            await pool.run(lambda: None, mailbox)

    asyncio.run(work())


def test_many_results_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        mailbox, futures = Mailbox(loop), [loop.create_future() for _ in range(1_000)]
        calls: list[Callable[..., object]] = []
        call_soon_threadsafe = loop.call_soon_threadsafe

        def counted(callback: Callable[..., object], *arguments: Any) -> Any:
            calls.append(callback)
            return call_soon_threadsafe(callback, *arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)

        def post_all() -> None:
            for number, future in enumerate(futures):
                mailbox.post(future, number)

        thread = threading.Thread(target=post_all)
        thread.start()
        thread.join()  # the loop does not run meanwhile
        assert await asyncio.gather(*futures) == [*range(1_000)]
        assert len(calls) == 1
        thread = threading.Thread(target=mailbox.post, args=(again := loop.create_future(), "x"))
        thread.start()
        assert await asyncio.wait_for(again, SECONDS) == "x"

    asyncio.run(work())


def test_whatever_a_call_raises_comes_back() -> None:
    def stops() -> None:
        raise StopIteration

    async def work() -> None:
        pool, mailbox = Pool("test", 1), Mailbox(asyncio.get_running_loop())
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 // 0, mailbox)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await pool.run(stops, mailbox)
        assert await pool.run(lambda: "goes on", mailbox) == "goes on"
        await asyncio.to_thread(pool.close)

    asyncio.run(work())


class NotesItsReplays(SqliteStore):
    """Knows how many replays hold something."""

    open_replays = 0
    hold = threading.Event()
    hold.set()

    def replay(self, *arguments: Any, **filters: Any) -> Iterator[RecordedEvent]:
        self.open_replays += 1
        try:
            for recorded in super().replay(*arguments, **filters):
                assert self.hold.wait(SECONDS)
                yield recorded
        finally:
            self.open_replays -= 1


def test_a_replay_that_is_left_lets_go_of_what_it_holds(file: Path) -> None:
    async def work() -> None:
        store = NotesItsReplays(file)
        async with aio.EventStore(store) as awaited:
            await awaited.append("parcel-1", moves(*map(str, range(2_000))))
            async for _ in awaited.replay():
                assert store.open_replays == 1
                break
            replay = awaited.replay()
            assert len(await first(replay, 3)) == 3
            await replay.aclose()
            await asyncio.wait_for(_until(lambda: store.open_replays == 0), SECONDS)

    asyncio.run(work())


def test_a_replay_that_is_cancelled_while_it_reads_lets_go_when_it_has_read(file: Path) -> None:
    async def work() -> None:
        store = NotesItsReplays(file)
        async with aio.EventStore(store) as awaited:
            await awaited.append("parcel-1", moves("a", "b"))
            store.hold = threading.Event()
            reading = asyncio.create_task(first(awaited.replay(), 1))
            await asyncio.wait_for(_until(lambda: store.open_replays == 1), SECONDS)
            reading.cancel()
            await asyncio.sleep(0)
            store.hold.set()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert store.open_replays == 0

    asyncio.run(work())


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the pages that are looked through, each of one position, in a millisecond."""
    positions: list[int] = []
    page = Scan.page

    def slow_page(
        scan: Scan, connection: sqlite3.Connection, after: int, end: int, _limit: int
    ) -> tuple[list[Row], int]:
        positions.append(after)
        time.sleep(0.001)
        return page(scan, connection, after, min(end, after + 1), 1)

    monkeypatch.setattr(Scan, "page", slow_page)
    return positions


def test_a_replay_that_finds_nothing_notices_that_its_time_is_up(
    file: Path, scanned: list[int]
) -> None:
    async def work() -> None:
        async with aio.EventStore(SqliteStore(file)) as store:
            await store.append("parcel-1", moves(*map(str, range(5_000))))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await first(store.replay(event_types=["ParcelLost"]), 1)

    asyncio.run(work())
    assert 0 < len(scanned) < 2_500


def test_replays_that_find_nothing_do_not_keep_other_reads_waiting(
    file: Path, scanned: list[int]
) -> None:
    async def work() -> None:
        async with aio.EventStore(SqliteStore(file)) as store:
            await store.append("parcel-1", moves(*map(str, range(5_000))))
            searches = [
                asyncio.create_task(first(store.replay(event_types=["ParcelLost"]), 1))
                for _ in range(8)
            ]
            await asyncio.wait_for(_until(lambda: len(scanned) > 20), SECONDS)
            assert len(await store.get_events("parcel-1", to_version=3)) == 3
            assert len(scanned) < 5_000
            for search in searches:
                search.cancel()
            await asyncio.wait(searches)

    asyncio.run(work())


def test_a_rare_event_is_found(file: Path, scanned: list[int]) -> None:
    async def work() -> None:
        async with aio.EventStore(SqliteStore(file)) as store:
            for _ in range(3):
                await store.append("parcel-1", moves(*map(str, range(30))))
                await store.append("parcel-1", [ParcelSent(to="ann")])
            found = [it.version async for it in store.replay(event_types=[ParcelSent])]
            assert found == [31, 62, 93]

    asyncio.run(work())
    assert len(scanned) == 93


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - a thread makes it hold
        await asyncio.sleep(0.001)


class TestConnecting:
    def test_a_store_can_be_awaited_or_entered(self, file: Path) -> None:
        async def work() -> None:
            store = await aio.connect(f"sqlite:///{file}")
            await store.append("parcel-1", moves("a"))
            await store.close()
            async with aio.connect(f"sqlite:///{file}?timeout=1") as store:
                assert places(await store.get_events("parcel-1")) == ["a"]
            with pytest.raises(StoreClosed):
                await store.get_events("parcel-1")

        asyncio.run(work())

    def test_errors_come_when_it_is_awaited(self, tmp_path: Path) -> None:
        async def work() -> None:
            for url in ("nothing", "sqlite:///", f"sqlite:///{tmp_path}/e.db?colour=red"):
                with pytest.raises(InvalidUrl):
                    await aio.connect(url)

        asyncio.run(work())

    @pytest.mark.parametrize("late", [False, True])
    def test_a_store_nobody_waits_for_any_more_is_closed(self, file: Path, *, late: bool) -> None:
        closed, go_on, opened = threading.Event(), threading.Event(), threading.Event()

        class Noted(SqliteStore):
            def close(self) -> None:
                super().close()
                closed.set()

        def slowly() -> SqliteStore:
            assert go_on.wait(SECONDS)
            store = Noted(file)
            opened.set()
            return store

        async def connect() -> None:
            await Connecting(slowly)

        async def work() -> None:
            connecting = asyncio.create_task(connect())
            await asyncio.sleep(0)
            if late:
                go_on.set()
                assert opened.wait(SECONDS)  # the loop does not hear of it meanwhile
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting

        asyncio.run(work())
        go_on.set()
        assert closed.wait(SECONDS)


FORKS = """
import asyncio, os, sys
from eventkit import aio
from eventkit.errors import StoreClosed
from tests.contract.domain import moves

async def parent():
    store = await aio.connect(sys.argv[1])
    await store.append("parcel-1", moves("a"))
    return store

async def child(store):
    for call in (store.append("parcel-1", moves("b")), store.get_events("parcel-1")):
        try:
            await call
        except StoreClosed as error:
            print(error, flush=True)
    await store.close()

store = asyncio.run(parent())
if os.fork() == 0:
    asyncio.run(child(store))
    os._exit(0)
os.wait()
print(asyncio.run(store.append("parcel-1", moves("c"))).version)
"""

APPENDS = """
import asyncio, signal, sys
from eventkit import aio
from tests.contract.domain import moves

async def work(store, name):
    while True:
        done = await store.append(f"parcel-{name}", moves("a"))
        print(done.aggregate_id, done.version, flush=True)

async def main():
    async with aio.connect(sys.argv[1]) as store:
        await asyncio.gather(*(work(store, name) for name in range(20)))

signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
asyncio.run(main())
"""

LEAVES = """
import asyncio, sys
from eventkit import aio
from tests.contract.domain import moves

async def main():
    store = await aio.connect(sys.argv[1])
    await store.append("parcel-1", moves("a"))
    await store.get_events("parcel-1")
    asyncio.create_task(store.append("parcel-1", moves("b")))

asyncio.run(main())
"""


def test_after_fork_the_child_is_told_that_the_store_is_not_its_own(file: Path) -> None:
    done = run(FORKS, file)
    *refused, version = done.stdout.splitlines()
    said = "the event store was opened before fork() and belongs to the parent process. Close it"
    assert [it[: len(said)] for it in refused] == [said, said]
    assert version == "2"
    assert done.returncode == 0


def test_a_process_that_leaves_its_store_open_ends(file: Path) -> None:
    assert run(LEAVES, file).returncode == 0


def test_ctrl_c_ends_the_tasks_and_keeps_what_was_told(file: Path) -> None:
    command = [sys.executable, "-c", APPENDS, f"sqlite:///{file}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(100)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    told += [line.split() for line in rest.splitlines()]
    with SqliteStore(file) as store:
        recorded = by_aggregate(store.replay())
    for items in recorded.values():
        assert versions(items) == [*range(1, len(items) + 1)]
    assert all(int(version) <= len(recorded[aggregate_id]) for aggregate_id, version in told)


def test_an_aggregate_is_loaded_off_the_loop(store: SqliteStore) -> None:
    async def work() -> None:
        async with aio.EventStore(store) as awaited:
            await awaited.append("parcel-1", moves("a"))
            threads: list[threading.Thread] = []
            get_events = store.get_events

            def noted(*arguments: Any, **bounds: Any) -> list[RecordedEvent]:
                threads.append(threading.current_thread())
                return get_events(*arguments, **bounds)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(store, "get_events", noted)
                await aio.Repository(awaited, Parcel).get("parcel-1")
            assert threads
            assert threading.current_thread() not in threads

    asyncio.run(work())


def run(script: str, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{file}"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
