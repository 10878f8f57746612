"""A store and a database for read models, both real files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit.projection import ReadModels
from eventkit.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "events.db") as store:
        yield store


@pytest.fixture
def models(tmp_path: Path) -> Iterator[ReadModels]:
    with ReadModels(f"sqlite:///{tmp_path}/read-models.db", timeout=0.2) as models:
        yield models
