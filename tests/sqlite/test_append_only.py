"""No SQL statement on the file changes an event, not even one of another program."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventkit.sqlite import SqliteStore
from tests.contract.domain import moves

COLUMNS = "position, event_id, aggregate_id, version, event_type, timestamp, metadata, data"

INSERT = f"INSERT INTO events ({COLUMNS}) VALUES"
FIRST_ID = "SELECT event_id FROM events WHERE position = 1"
REPLACE = INSERT.replace("INSERT", "INSERT OR REPLACE")

ON_EVENTS = {
    "update all": "UPDATE events SET data = x''",
    "update one": "UPDATE events SET version = 9 WHERE position = 1",
    "update to the same": "UPDATE events SET data = data",
    "update or replace": "UPDATE OR REPLACE events SET position = 1 WHERE position = 2",
    "update from": "UPDATE events SET data = s.other FROM (SELECT x'00' AS other) AS s",
    "delete all": "DELETE FROM events",
    "delete one": "DELETE FROM events WHERE position = 3",
    "replace by position": f"{REPLACE} (2, x'ff', 'parcel-9', 1, 't', 0, '', x'')",
    "replace by event id": f"{REPLACE} (9, ({FIRST_ID}), 'parcel-9', 1, 't', 0, '', x'')",
    "replace by version": f"{REPLACE} (9, x'ff', 'parcel-1', 2, 't', 0, '', x'')",
    "update on conflict": f"""{INSERT} (1, x'ff', 'parcel-1', 1, 't', 0, '', x'')
        ON CONFLICT DO UPDATE SET data = x'00'""",
    "add behind a gap": f"{INSERT} (9, x'ff', 'parcel-1', 5, 't', 0, '', x'')",
    "add before the end": f"{INSERT} (0, x'ff', 'parcel-9', 1, 't', 0, '', x'')",
    "add at any position": """
        INSERT INTO events (event_id, aggregate_id, version, event_type, timestamp, metadata, data)
        VALUES (x'ff', 'parcel-9', 1, 't', 0, '{}', x'')
    """,
}

ON_SCHEMAS = {
    "update": "UPDATE schemas SET schema = '{}'",
    "delete": "DELETE FROM schemas",
    "replace": """
        INSERT OR REPLACE INTO schemas (fingerprint, schema)
        SELECT fingerprint, '{}' FROM schemas
    """,
}


@pytest.fixture
def written(file: Path, store: SqliteStore) -> Path:
    """Return the file of a store with three events."""
    store.append("parcel-1", moves("a", "b"))
    store.append("parcel-2", moves("c"))
    return file


@pytest.fixture
def plain(written: Path) -> Iterator[sqlite3.Connection]:
    """Open the file as any other program would."""
    with closing(sqlite3.connect(written)) as connection:
        yield connection


def rows(connection: sqlite3.Connection, table: str) -> list[object]:
    return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - two constants


@pytest.mark.parametrize("statement", ON_EVENTS.values(), ids=ON_EVENTS.keys())
def test_events_are_only_ever_added(plain: sqlite3.Connection, statement: str) -> None:
    before = rows(plain, "events")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        plain.execute(statement)
    assert rows(plain, "events") == before


@pytest.mark.parametrize("statement", ON_EVENTS.values(), ids=ON_EVENTS.keys())
def test_the_connection_of_the_store_itself_may_not_more(
    written: Path, store: SqliteStore, statement: str
) -> None:
    del written
    before = rows(store._connection, "events")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store._connection.execute(statement)
    assert rows(store._connection, "events") == before


@pytest.mark.parametrize("statement", ON_SCHEMAS.values(), ids=ON_SCHEMAS.keys())
def test_schemas_are_only_ever_added(plain: sqlite3.Connection, statement: str) -> None:
    before = rows(plain, "schemas")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        plain.execute(statement)
    assert rows(plain, "schemas") == before


def test_connections_that_read_cannot_write(written: Path, store: SqliteStore) -> None:
    del written
    with (
        store._log.reading() as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DROP TRIGGER events_are_never_deleted")


def test_the_next_version_can_be_added_by_another_program(
    plain: sqlite3.Connection, store: SqliteStore
) -> None:
    plain.execute(
        f"INSERT INTO events ({COLUMNS}) "  # noqa: S608 - a constant
        "SELECT 4, randomblob(16), aggregate_id, 2, event_type, timestamp, metadata, data "
        "FROM events WHERE position = 3"
    )
    plain.commit()
    assert [item.version for item in store.get_events("parcel-2")] == [1, 2]
