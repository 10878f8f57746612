"""The store on Kafka, awaited: where many callers meet it does what every store does."""

from collections.abc import Iterator

import pytest

from eventkit import EventStore, aio
from tests.aio_kit import StoreFace, loop_thread
from tests.contract.appending import AppendContract
from tests.contract.concurrency import ConcurrencyContract
from tests.contract.domain import OpenStore


@pytest.fixture
def open_store(open_kafka: OpenStore) -> Iterator[OpenStore]:
    with loop_thread() as loop:

        def open_store() -> EventStore:
            return StoreFace(loop, aio.EventStore(open_kafka()))

        yield open_store


class TestAwaitedKafkaStore(AppendContract, ConcurrencyContract):
    pass
