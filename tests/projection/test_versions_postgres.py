"""A switch on PostgreSQL among sessions that hold tables, views, and roles that only read."""

import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Column, Enum, Index, MetaData, String, Table, UniqueConstraint

from eventkit import RecordedEvent
from eventkit.errors import ProjectionError, ReadModelBusy
from eventkit.projection import Projection, ReadModels, Runner, Transaction, on
from eventkit.projection.versions_switch import rollback, switch
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Opened, fill
from tests.projection.ledgers import Ledger, Ledger2, expected, glance, held


@pytest.fixture
def models(database: str) -> Iterator[ReadModels]:
    with ReadModels(database, timeout=2, patience=5) as models:
        yield models


@pytest.fixture
def other(database: str) -> Iterator[psycopg.Connection]:
    """A session of somebody else, who reads."""
    with psycopg.connect(database, application_name="report") as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield session


@pytest.fixture
def _ready(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=5)
    Runner(Ledger(), store, models).run()
    Runner(Ledger2(), store, models).rebuild_beside()


@pytest.mark.usefixtures("_ready")
def test_a_session_that_reads_the_tables_is_named_and_not_disturbed(
    store: SqliteStore, models: ReadModels, other: psycopg.Connection
) -> None:
    other.execute("SELECT * FROM accounts")
    with pytest.raises(ReadModelBusy, match=r"session \d+ \(report, user \w+, idle in trans"):
        switch(models, "ledger", timeout=0.3)
    assert other.execute("SELECT DISTINCT made_by FROM journal").fetchall() == [(1,)]
    other.commit()
    switch(models, "ledger")
    assert held(models) == expected(store, 2)


@pytest.mark.usefixtures("_ready")
def test_who_comes_while_the_switch_waits_is_served_before_it(
    models: ReadModels, other: psycopg.Connection
) -> None:
    other.execute("SELECT * FROM accounts")
    waiting = threading.Thread(target=lambda: switch(models, "ledger", timeout=60))
    waiting.start()
    for _ in range(40):
        with models.connect() as connection:
            assert glance(connection)[0] == {1}
    assert waiting.is_alive()
    other.commit()
    waiting.join(60)
    with models.connect() as connection:
        assert glance(connection)[0] == {2}


def test_a_transaction_from_before_a_version_was_ready_never_sees_it(
    store: SqliteStore, models: ReadModels, other: psycopg.Connection
) -> None:
    fill(store, accounts=5)
    Runner(Ledger(), store, models).run()
    other.execute("SELECT 1 FROM eventkit_projections")  # from now on it sees what is there now
    Runner(Ledger2(), store, models).rebuild_beside()
    with pytest.raises(ReadModelBusy, match="began before version 2 was ready"):
        switch(models, "ledger", timeout=0.2)
    assert other.execute("SELECT DISTINCT made_by FROM accounts").fetchall() == [(1,)]
    other.commit()
    assert switch(models, "ledger").live == 2


@pytest.mark.usefixtures("_ready")
def test_a_reader_with_prepared_statements_reads_on_after_a_switch(
    models: ReadModels,
) -> None:
    with models.connect() as connection:
        for _ in range(12):
            connection.exec_driver_sql("SELECT * FROM accounts").all()
    switch(models, "ledger")
    with models.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM accounts").all()
    assert {row.made_by for row in rows} == {2}


@pytest.mark.usefixtures("_ready")
def test_roles_that_could_read_the_live_tables_can_read_the_new_ones(
    store: SqliteStore, models: ReadModels, other: psycopg.Connection
) -> None:
    role = f"reader_{other.info.dbname}"
    other.execute(f'CREATE ROLE "{role}"')
    try:
        other.execute(f'GRANT SELECT ON accounts TO "{role}"')
        other.execute("GRANT SELECT ON journal TO PUBLIC")
        other.commit()
        for change in (switch, rollback):
            change(models, "ledger")
            _read_as(role, other)
        Runner(Ledger(), store, models).rebuild()
        _read_as(role, other)
    finally:
        other.rollback()
        other.execute(f'DROP OWNED BY "{role}"')
        other.execute(f'DROP ROLE "{role}"')
        other.commit()


def _read_as(role: str, session: psycopg.Connection) -> None:
    session.execute(f'SET ROLE "{role}"')
    session.execute("SELECT * FROM accounts")
    session.execute("SELECT * FROM journal")
    session.execute("RESET ROLE")
    session.commit()


@pytest.mark.usefixtures("_ready")
def test_views_read_the_new_tables(models: ReadModels, other: psycopg.Connection) -> None:
    other.execute("CREATE VIEW rich AS SELECT account, made_by FROM accounts WHERE total > 0")
    other.commit()
    for change, version in ((switch, 2), (rollback, 1)):
        change(models, "ledger")
        assert other.execute("SELECT DISTINCT made_by FROM rich").fetchall() == [(version,)]
        other.commit()


@pytest.mark.usefixtures("_ready")
@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ("MATERIALIZED VIEW old AS SELECT * FROM accounts", "the materialized view old would go"),
        ("VIEW currency AS SELECT currency FROM accounts__v2", None),
    ],
)
def test_a_view_that_cannot_follow_is_named(
    view: str, reason: str | None, models: ReadModels, other: psycopg.Connection
) -> None:
    other.execute(f"CREATE {view}")
    other.commit()
    if reason is not None:
        with pytest.raises(ProjectionError, match=reason):
            switch(models, "ledger")
        assert other.execute("SELECT DISTINCT made_by FROM accounts").fetchall() == [(1,)]
        return
    switch(models, "ledger")
    other.execute("DROP VIEW currency")
    other.execute("CREATE VIEW currency AS SELECT currency FROM accounts")
    other.commit()
    with pytest.raises(ProjectionError, match="the view currency cannot read the other version"):
        rollback(models, "ledger")
    assert other.execute("SELECT DISTINCT made_by FROM accounts").fetchall() == [(2,)]


class Kinds(Projection):
    """With all that has a name in the same room as tables."""

    name = "kinds"
    kinds = Table(
        "kinds",
        MetaData(),
        Column("id", String, primary_key=True),
        Column("kind", Enum("a", "b", name="kind"), nullable=False, index=True),
        Column("owner", String),
        UniqueConstraint("id", "kind", name="kinds_once"),
        Index("kinds_by_owner", "owner"),
    )
    kind = "b"

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.insert(self.kinds, {"id": recorded.aggregate_id, "kind": self.kind})


class Kinds2(Kinds):
    """With a value more."""

    version = 2
    kinds = Table(
        "kinds",
        MetaData(),
        Column("id", String, primary_key=True),
        Column("kind", Enum("a", "b", "it's: new", name="kind"), nullable=False, index=True),
        Column("owner", String),
        UniqueConstraint("id", "kind", name="kinds_once"),
        Index("kinds_by_owner", "owner"),
    )
    kind = "it's: new"


def test_indexes_keys_and_types_of_two_versions_do_not_meet(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=3)
    Runner(Kinds(), store, models).run()
    Runner(Kinds2(), store, models).rebuild_beside()
    switch(models, "kinds")
    Runner(Kinds2(), store, models).rebuild()
    rollback(models, "kinds")
    Runner(Kinds(), store, models).rebuild()
    with models.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT (SELECT max(kind::text) FROM kinds), (SELECT max(kind::text) FROM kinds__v2)"
        ).one()
    assert tuple(found) == ("b", "it's: new")
