"""The embedded store, awaited, does what every store does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit import EventStore, aio
from tests.aio_kit import StoreFace, loop_thread
from tests.contract.domain import OpenStore
from tests.contract.suite import StoreContract


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[OpenStore]:
    async def opened() -> aio.EventStore:
        return await aio.connect(f"sqlite:///{tmp_path}/events.db")

    with loop_thread() as loop:

        def open_store() -> EventStore:
            return StoreFace(loop, loop.run(opened()))

        yield open_store


class TestAwaitedSqliteStore(StoreContract):
    model_rounds = 15
