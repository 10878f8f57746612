"""The embedded store does what every store does."""

from pathlib import Path

import pytest

from eventkit.sqlite import SqliteStore
from tests.contract.domain import OpenStore
from tests.contract.suite import StoreContract


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    return lambda: SqliteStore(tmp_path / "events.db")


class TestSqliteStore(StoreContract):
    pass
