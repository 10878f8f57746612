"""The store on Kafka, awaited by many tasks."""

import asyncio

import pytest

from eventkit import Position, aio
from eventkit.errors import InvalidInput, StoreUnavailable
from tests.aio_contract import AioContract, AioRepositoryContract
from tests.contract.domain import OpenStore, moves


@pytest.fixture
def open_store(open_kafka: OpenStore) -> OpenStore:
    return open_kafka


class TestAwaitedKafkaStore(AioContract, AioRepositoryContract):
    pass


def test_a_position_that_does_not_come_is_told_in_time(open_kafka: OpenStore) -> None:
    async def work() -> None:
        async with aio.EventStore(open_kafka()) as store:
            topic, partition, offset = (await store.append("parcel-1", moves("a"))).position
            with pytest.raises(StoreUnavailable, match=r"within 0\.1 s"):
                await store.wait(Position(topic, partition, offset + 1_000), timeout=0.1)
            with pytest.raises(InvalidInput):
                await store.wait(Position("none.events", 0, 0))

    asyncio.run(work())
