"""Where a subscription stands for its task, while a thread is ahead of it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from eventkit import Position, RecordedEvent, aio
from eventkit.sqlite import SqliteStore
from eventkit.subscribing import LogSubscription
from tests.contract.domain import moves, places

SECONDS = 15.0
TAKEN = 100  # events that a thread takes at once


class Held:
    """Holds the thread that has just taken events, before anybody can get them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.holds = False
        self.reached = threading.Event()
        self.go_on = threading.Event()
        ready = LogSubscription.ready

        def held(subscription: LogSubscription, most: int) -> list[RecordedEvent] | None:
            found = ready(subscription, most)
            if self.holds and found:
                self.holds = False
                self.reached.set()
                assert self.go_on.wait(SECONDS)
            return found

        monkeypatch.setattr(LogSubscription, "ready", held)

    async def cancelled(self, subscription: aio.Subscription) -> None:
        """Have a task wait for the next event, and cancel it when a thread has taken some."""
        self.holds = True
        task = asyncio.create_task(anext(subscription))
        assert await asyncio.to_thread(self.reached.wait, SECONDS)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    yield held
    held.go_on.set()


@pytest.mark.parametrize("given", [0, 3 * TAKEN], ids=["nothing given", "some given"])
def test_what_a_thread_has_taken_is_not_passed_before_it_is_given(
    store: SqliteStore, held: Held, given: int
) -> None:
    async def work() -> None:
        store.append("parcel-1", moves(*map(str, range(4 * TAKEN))))
        async with aio.EventStore(store) as awaited:
            subscription = awaited.subscribe()
            found = [await anext(subscription) for _ in range(given)]
            before = [it.position for it in found[-1:]]
            await held.cancelled(subscription)
            meanwhile = subscription.positions
            held.go_on.set()
            assert meanwhile == before
            assert places([await anext(awaited.subscribe(meanwhile))]) == [str(given)]
            assert places([await anext(subscription)]) == [str(given)]
            assert subscription.positions != before

    asyncio.run(work())


def test_a_wait_stands_behind_what_is_not_wanted(store: SqliteStore) -> None:
    async def work() -> None:
        async with aio.EventStore(store) as awaited:
            subscription = awaited.subscribe(categories=["van"])
            task = asyncio.create_task(anext(subscription, None))
            for _ in range(3):
                last = await awaited.append("parcel-1", moves("a"))
                await until(subscription, [last.position])
            await subscription.aclose()
            assert await asyncio.wait_for(task, SECONDS) is None
            assert subscription.positions == [last.position]

    asyncio.run(work())


async def until(subscription: aio.Subscription, positions: list[Position]) -> None:
    async with asyncio.timeout(SECONDS):
        while subscription.positions != positions:  # noqa: ASYNC110 - it is not told
            await asyncio.sleep(0.001)
