"""What every awaitable store does for tasks that subscribe: they wait without a thread."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from eventkit import RecordedEvent, aio
from eventkit.errors import StoreClosed
from tests.contract.domain import OpenStore, by_aggregate, moves, places

SECONDS = 30.0


async def first(subscription: AsyncIterator[RecordedEvent], count: int) -> list[RecordedEvent]:
    """Return the next events, waiting for them."""
    async with asyncio.timeout(SECONDS):
        return [await anext(subscription) for _ in range(count)]


class AioSubscribeContract:
    def test_a_subscription_gives_what_is_there_and_then_what_comes(
        self, open_store: OpenStore
    ) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                await store.append("parcel-1", moves("a", "b"))
                async with store.subscribe() as subscription:
                    assert places(await first(subscription, 2)) == ["a", "b"]
                    task = asyncio.create_task(first(subscription, 1))
                    await store.append("parcel-1", moves("c"))
                    assert places(await task) == ["c"]

        asyncio.run(work())

    def test_two_hundred_tasks_that_wait_need_no_threads(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                before = threading.active_count()
                tasks = [
                    asyncio.create_task(first(store.subscribe(categories=["parcel"]), 20))
                    for _ in range(200)
                ]
                for number in range(10):
                    await store.append(f"parcel-{number % 3}", moves("a", "b"))
                assert threading.active_count() < before + 10
                expected = by_aggregate([it async for it in store.replay()])
                for found in await asyncio.gather(*tasks):
                    assert by_aggregate(found) == expected

        asyncio.run(work())

    def test_a_wait_that_takes_too_long_loses_nothing(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                found: list[RecordedEvent] = []
                late = 0
                subscription = store.subscribe()
                writing = asyncio.create_task(_write(store, 300))
                async with asyncio.timeout(SECONDS):
                    while len(found) < 300:
                        try:
                            async with asyncio.timeout(0.001):
                                found.append(await anext(subscription))
                        except TimeoutError:
                            late += 1
                await writing
                assert late
                assert by_aggregate(found) == by_aggregate([it async for it in store.replay()])

        asyncio.run(work())

    def test_it_stands_behind_the_event_that_was_given_last(self, open_store: OpenStore) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                await store.append("parcel-1", moves(*map(str, range(300))))
                found: list[RecordedEvent] = []
                subscription = store.subscribe()
                while len(found) < 300:
                    found += await first(subscription, min(7, 300 - len(found)))
                    assert subscription.positions == [found[-1].position]
                    subscription = store.subscribe(subscription.positions)
                assert places(found) == [str(number) for number in range(300)]

        asyncio.run(work())

    def test_a_task_that_waits_is_told_when_the_subscription_is_closed(
        self, open_store: OpenStore
    ) -> None:
        async def work() -> None:
            async with aio.EventStore(open_store()) as store:
                await store.append("parcel-1", moves("a"))
                subscription = store.subscribe()
                await first(subscription, 1)
                task = asyncio.create_task(_all(subscription))
                await asyncio.sleep(0.05)
                await subscription.aclose()
                assert await asyncio.wait_for(task, SECONDS) == []

        asyncio.run(work())

    def test_tasks_that_wait_are_told_when_the_store_is_closed(self, open_store: OpenStore) -> None:
        async def work() -> None:
            store = aio.EventStore(open_store())
            await store.append("parcel-1", moves("a"))
            tasks = [asyncio.create_task(_all(store.subscribe())) for _ in range(5)]
            await asyncio.sleep(0.2)
            await store.close()
            found = await asyncio.wait_for(asyncio.gather(*tasks), SECONDS)
            assert Counter(map(len, found)) == {1: 5}
            with pytest.raises(StoreClosed):
                await anext(store.subscribe())

        asyncio.run(work())


async def _write(store: aio.EventStore, count: int) -> None:
    for number in range(count):
        await store.append(f"parcel-{number % 5}", moves(str(number)))


async def _all(subscription: aio.Subscription) -> list[RecordedEvent]:
    return [it async for it in subscription]
