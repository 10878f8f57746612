"""The pool goes on with the threads that it has, where no more can be started."""

import asyncio
import threading
from collections.abc import Callable, Coroutine

import pytest

from eventkit.aio.mailbox import Mailbox
from eventkit.aio.pool import Pool
from tests.threads import refuse

SECONDS = 10.0
NAME = "eventkit test"


def names() -> list[str]:
    return [it.name for it in threading.enumerate() if it.name == NAME]


def run(work: Callable[[Pool, Mailbox], Coroutine[None, None, None]]) -> None:
    """Give the work a pool of two threads, which ends with its threads."""

    async def with_pool() -> None:
        pool = Pool("test", 2)
        async with asyncio.timeout(SECONDS):
            await work(pool, Mailbox(asyncio.get_running_loop()))
        closing = threading.Thread(target=pool.close, daemon=True)
        closing.start()
        closing.join(SECONDS)
        assert not closing.is_alive()
        assert names() == []

    asyncio.run(with_pool())


def test_a_call_for_which_there_is_no_thread_is_refused_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []

    async def work(pool: Pool, mailbox: Mailbox) -> None:
        refuse(monkeypatch, NAME, NAME)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await pool.run(lambda: ran.append("refused"), mailbox)
        await pool.run(lambda: ran.append("next"), mailbox)

    run(work)
    assert ran == ["next"]


def test_without_a_second_thread_the_first_one_does_it_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work(pool: Pool, mailbox: Mailbox) -> None:
        go_on = threading.Event()
        first = asyncio.create_task(pool.run(lambda: go_on.wait(SECONDS), mailbox))
        await asyncio.sleep(0)
        refuse(monkeypatch, NAME)
        second = asyncio.create_task(pool.run(lambda: "second", mailbox))
        await asyncio.sleep(0)
        assert names() == [NAME]
        go_on.set()
        assert await first
        assert await second == "second"

    run(work)


def test_a_thread_more_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(pool: Pool, mailbox: Mailbox) -> None:
        together = threading.Barrier(2)
        first = asyncio.create_task(pool.run(lambda: together.wait(SECONDS), mailbox))
        await asyncio.sleep(0)
        refuse(monkeypatch, NAME)
        second = asyncio.create_task(pool.run(lambda: together.wait(SECONDS), mailbox))
        third = asyncio.create_task(pool.run(lambda: "third", mailbox))
        assert sorted(await asyncio.gather(first, second)) == [0, 1]
        assert await third == "third"

    run(work)
