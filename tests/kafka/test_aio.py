"""The store on Kafka, awaited by many tasks."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from eventkit import Append, Appended, Position, aio
from eventkit.aio import appending
from eventkit.errors import EventkitError, InvalidInput, StoreUnavailable
from eventkit.kafka.store import KafkaStore
from tests.aio_contract import AioContract, AioRepositoryContract
from tests.aio_subscribing import AioSubscribeContract
from tests.contract.domain import OpenStore, moves


@pytest.fixture
def open_store(open_kafka: OpenStore) -> OpenStore:
    return open_kafka


class TestAwaitedKafkaStore(AioContract, AioRepositoryContract, AioSubscribeContract):
    pass


def test_a_position_that_does_not_come_is_told_in_time(open_kafka: OpenStore) -> None:
    async def work() -> None:
        async with aio.EventStore(open_kafka()) as store:
            topic, partition, offset = (await store.append("parcel-1", moves("a"))).position
            with pytest.raises(StoreUnavailable, match=r"within 0\.1 s") as late:
                await store.wait(Position(topic, partition, offset + 1_000), timeout=0.1)
            assert late.value.retryable
            with pytest.raises(InvalidInput):
                await store.wait(Position("none.events", 0, 0))

    asyncio.run(work())


def test_the_store_is_given_no_more_appends_than_it_takes_also_at_a_close(
    open_kafka: Callable[[], KafkaStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "_MOST_BEGUN", 5)
    lock, begun, most = threading.Lock(), 0, 0

    async def work() -> list[Appended]:
        store = open_kafka()
        append_soon = store.append_soon

        def counted(asked: Append, done: Callable[[Appended | EventkitError], None]) -> None:
            nonlocal begun, most
            with lock:
                begun += 1
                most = max(most, begun)

            def told(outcome: Appended | EventkitError) -> None:
                nonlocal begun
                with lock:
                    begun -= 1
                done(outcome)

            append_soon(asked, told)

        monkeypatch.setattr(store, "append_soon", counted)
        awaited = aio.EventStore(store)
        early = (awaited.append(f"parcel-{n}", moves("a")) for n in range(30))
        await asyncio.wait_for(asyncio.gather(*early), 30)
        tasks = [asyncio.create_task(awaited.append(f"parcel-{n}", moves("a"))) for n in range(60)]
        await asyncio.sleep(0)
        await awaited.close()
        return await asyncio.wait_for(asyncio.gather(*tasks), 30)

    assert len(asyncio.run(work())) == 60
    assert most == 5
