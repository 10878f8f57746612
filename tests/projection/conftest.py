"""A store, and a database for read models of each kind: real files, a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit.projection import ReadModels, failures
from eventkit.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "events.db") as store:
        yield store


@pytest.fixture(params=["sqlite", "postgresql"])
def models_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; a test that takes it runs once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/read-models.db"
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture
def models(models_url: str) -> Iterator[ReadModels]:
    with ReadModels(models_url, timeout=0.2, patience=0) as models:
        yield models


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is tried again at once."""
    monkeypatch.setattr(failures, "_PAUSES", (0, 0))
