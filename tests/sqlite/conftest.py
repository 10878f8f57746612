"""What the tests of the embedded store share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit.sqlite import SqliteStore


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a store may be made."""
    return tmp_path / "events.db"


@pytest.fixture
def store(file: Path) -> Iterator[SqliteStore]:
    with SqliteStore(file) as store:
        yield store
