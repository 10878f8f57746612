"""Whose tables they are, and whether they are those of today's code."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    inspect,
)

from eventkit import RecordedEvent
from eventkit.errors import RebuildNeeded, TableTaken
from eventkit.projection import Projection, ReadModels, Runner, Transaction, on
from eventkit.projection.projection import RESERVED
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Opened, rows


def owners(*items: Any, **attributes: Any) -> Projection:
    """A projection whose table has these columns beside its key."""

    class Owners(Projection):
        name = "owners"
        owners = Table("owners", MetaData(), Column("id", String, primary_key=True), *items)

        @on(Opened)
        def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
            tx.insert(self.owners, {"id": recorded.aggregate_id})

    projection: Projection = type("Owners", (Owners,), attributes)()
    return projection


@pytest.fixture(autouse=True)
def _opened(store: SqliteStore) -> None:
    store.append("account-1", [Opened(owner="ann")])


def names(models: ReadModels) -> set[str]:
    with models.writing() as connection:
        return set(inspect(connection).get_table_names())


CHANGES: dict[str, Callable[[], list[Column[Any]]]] = {
    "its table 'owners' has a new column 'city'": lambda: [
        Column("name", String),
        Column("city", String),
    ],
    "its table 'owners' has no column 'name' any more": list,
    "column 'name' of its table 'owners' was VARCHAR and is INTEGER now": lambda: [
        Column("name", Integer)
    ],
    "column 'name' of its table 'owners' was VARCHAR and is VARCHAR NOT NULL now": lambda: [
        Column("name", String, nullable=False)
    ],
    "column 'name' of its table 'owners' was VARCHAR and is VARCHAR NOT NULL PRIMARY KEY now": (
        lambda: [Column("name", String, primary_key=True)]
    ),
}
KEYS: dict[str, Callable[[], Any]] = {
    "unique": lambda: UniqueConstraint("name"),
    "index": lambda: Index("by_name", "name"),
    "unique index": lambda: Index("by_name", "name", unique=True),
}


@pytest.mark.parametrize("reason", CHANGES)
def test_changed_columns_need_a_rebuild(
    reason: str, store: SqliteStore, models: ReadModels
) -> None:
    Runner(owners(Column("name", String)), store, models).run()
    changed = Runner(owners(*CHANGES[reason]()), store, models)
    with pytest.raises(RebuildNeeded) as caught:
        changed.run()
    assert (caught.value.projection, caught.value.reason) == ("owners", reason)
    assert "eventkit projection rebuild owners" in str(caught.value)
    assert changed.status().state == "outdated"


@pytest.mark.parametrize("key", KEYS)
def test_changed_keys_or_indexes_need_a_rebuild(
    key: str, store: SqliteStore, models: ReadModels
) -> None:
    Runner(owners(Column("name", String)), store, models).run()
    with pytest.raises(RebuildNeeded, match="keys or indexes of its table 'owners' changed"):
        Runner(owners(Column("name", String), KEYS[key]()), store, models).run()


def test_a_changed_version_needs_a_rebuild(store: SqliteStore, models: ReadModels) -> None:
    Runner(owners(), store, models).run()
    with pytest.raises(RebuildNeeded, match="holds version 1, this code is version 2"):
        Runner(owners(version=2), store, models).run()


def test_an_added_table_needs_a_rebuild(store: SqliteStore, models: ReadModels) -> None:
    more = Table("more", MetaData(), Column("id", String, primary_key=True))
    Runner(owners(), store, models).run()
    with pytest.raises(RebuildNeeded, match="its table 'more' is new"):
        Runner(owners(more=more), store, models).run()


def test_a_removed_table_needs_a_rebuild(store: SqliteStore, models: ReadModels) -> None:
    more = Table("more", MetaData(), Column("id", String, primary_key=True))
    Runner(owners(more=more), store, models).run()
    with pytest.raises(RebuildNeeded, match="its table 'more' is not in the code any more"):
        Runner(owners(), store, models).run()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DROP TABLE owners", "its table 'owners' is missing in the database"),
        ("ALTER TABLE owners DROP COLUMN name", "no column 'name' in the database"),
    ],
)
def test_tables_that_somebody_damaged_need_a_rebuild(
    damage: str, reason: str, store: SqliteStore, models: ReadModels
) -> None:
    runner = Runner(owners(Column("name", String)), store, models)
    runner.run()
    with models.writing() as connection:
        connection.exec_driver_sql(damage)
    with pytest.raises(RebuildNeeded, match=reason):
        runner.run()
    assert runner.rebuild() == 1


def test_a_rebuild_makes_the_tables_of_todays_code_and_drops_those_of_before(
    store: SqliteStore, models: ReadModels
) -> None:
    more = Table("more", MetaData(), Column("id", String, primary_key=True))
    Runner(owners(more=more), store, models).run()
    changed = owners(Column("city", String, server_default="?"), version=2)
    runner = Runner(changed, store, models)
    assert runner.rebuild() == 1
    assert rows(models, changed.__dict__["owners"]) == [("account-1", "?")]
    assert {name for name in names(models) if not name.startswith(RESERVED)} == {"owners"}
    assert (runner.status().version, runner.status().state) == (2, "ready")


def test_an_unchanged_definition_needs_no_rebuild(store: SqliteStore, models: ReadModels) -> None:
    for handled in (1, 0):
        name, age = Column("name", String(20), index=True), Column("age", Integer, default=0)
        assert Runner(owners(name, age), store, models).run() == handled


def test_a_table_that_was_there_before_is_taken(store: SqliteStore, models: ReadModels) -> None:
    with models.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE owners (mine TEXT)")
    with pytest.raises(TableTaken, match="belongs to something else, which made it before"):
        Runner(owners(), store, models).run()
    assert names(models) == {"owners"}


def test_a_table_of_another_projection_is_taken(store: SqliteStore, models: ReadModels) -> None:
    Runner(owners(), store, models).run()
    for start in (Runner.run, Runner.rebuild):
        with pytest.raises(TableTaken) as caught:
            start(Runner(owners(name="others"), store, models))
        assert caught.value.owner == "projection owners"
    assert Runner(owners(), store, models).status().state == "ready"


def test_a_rebuild_that_meets_a_taken_table_changes_nothing(
    store: SqliteStore, models: ReadModels
) -> None:
    more = Table("more", MetaData(), Column("id", String, primary_key=True))
    runner = Runner(owners(), store, models)
    runner.run()
    with models.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE more (mine TEXT)")
    before = runner.status()
    with pytest.raises(TableTaken):
        Runner(owners(more=more), store, models).rebuild()
    assert runner.status() == before


def test_tables_that_refer_to_each_other_are_made_and_dropped_in_order(
    store: SqliteStore, models: ReadModels
) -> None:
    class Families(Projection):
        name = "families"
        metadata = MetaData()
        children = Table(
            "children",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("parent_id", ForeignKey("parents.id"), nullable=False),
        )
        parents = Table("parents", metadata, Column("id", String, primary_key=True))

        @on(Opened)
        def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
            tx.insert(self.parents, {"id": recorded.aggregate_id})
            tx.insert(self.children, {"id": 1, "parent_id": recorded.aggregate_id})

    runner = Runner(Families(), store, models)
    for _ in range(3):
        assert runner.rebuild() == 1
    assert rows(models, Families.children) == [(1, "account-1")]
