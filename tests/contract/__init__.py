"""What every event store does, as one suite.

A new store's test file is a few lines: a fixture `open_store` that gives a function which opens one
fresh, empty store again and again, and a class::

    @pytest.fixture
    def open_store(tmp_path: Path) -> OpenStore:
        return lambda: SqliteStore(tmp_path / "events.db")

    class TestSqliteStore(StoreContract): ...

What the suite takes for granted of a store: the order of events within an aggregate. What it never
looks at: the order between aggregates, and what the parts of a position are.
"""

import pkgutil

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{it.name}" for it in pkgutil.iter_modules(__path__)))
