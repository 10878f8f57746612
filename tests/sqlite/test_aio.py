"""The embedded store, awaited by many tasks."""

from pathlib import Path

import pytest

from eventkit.sqlite import SqliteStore
from tests.aio_contract import AioContract, AioRepositoryContract
from tests.aio_subscribing import AioSubscribeContract
from tests.contract.domain import OpenStore


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    return lambda: SqliteStore(tmp_path / "events.db")


class TestAwaitedSqliteStore(AioContract, AioRepositoryContract, AioSubscribeContract):
    pass
