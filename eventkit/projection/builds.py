"""Which projection owns which tables of a database, and in what state they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import DropTable, sort_tables

from eventkit.errors import RebuildNeeded, TableTaken
from eventkit.projection.definition import Definition, definition_of, difference, missing
from eventkit.projection.projection import Projection, tables_of

METADATA = MetaData()
"""The tables that eventkit keeps beside the read models."""

State = Literal["building", "rebuilding", "ready"]

_BUILDS = Table(
    "eventkit_projections",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("build", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("tables", JSON, nullable=False),
)


class Build(NamedTuple):
    """The tables of a projection as they were made.

    `number` grows with each rebuild, so that a worker on the tables of before is noticed.
    `tables` holds their definitions by name, in the order in which they were made.
    """

    version: int
    number: int
    state: State
    tables: dict[str, Definition]


def find_build(connection: Connection, name: str) -> Build | None:
    """The build of a projection in this database, or None."""
    if not inspect(connection).has_table(_BUILDS.name):
        return None
    columns = (_BUILDS.c.version, _BUILDS.c.build, _BUILDS.c.state, _BUILDS.c.tables)
    row = connection.execute(select(*columns).where(_BUILDS.c.name == name)).one_or_none()
    return None if row is None else Build(*row)


def check_build(connection: Connection, projection: Projection, build: Build) -> None:
    """See that the tables are what the code of today fills.

    Raises:
        RebuildNeeded: they are not.
    """
    reason = _why_rebuild(connection, projection, build)
    if reason is not None:
        raise RebuildNeeded(projection.name, reason)


def _why_rebuild(connection: Connection, projection: Projection, build: Build) -> str | None:
    if build.version != projection.version:
        return (
            f"the database holds version {build.version}, this code is version {projection.version}"
        )
    today = _definitions(connection, projection)
    for name in [*today, *build.tables]:
        if name not in build.tables:
            return f"its table {name!r} is new"
        if name not in today:
            return f"its table {name!r} is not in the code any more"
        changed = difference(name, build.tables[name], today[name])
        if changed is not None:
            return changed
    return missing(connection, today)


def make_build(connection: Connection, projection: Projection) -> Build:
    """Make the tables of a projection, empty; those that it had are dropped.

    Raises:
        TableTaken: a table of that name is there and belongs to something else.
    """
    METADATA.create_all(connection)
    old = find_build(connection, projection.name)
    if old is not None:
        _drop(connection, old.tables)
        connection.execute(delete(_BUILDS).where(_BUILDS.c.name == projection.name))
    tables = sort_tables(tables_of(projection).values())
    _check_free(connection, projection.name, tables)
    for table in tables:
        table.create(connection, checkfirst=False)
    build = Build(
        version=projection.version,
        number=1 if old is None else old.number + 1,
        state="building" if old is None else "rebuilding",
        tables=_definitions(connection, projection),
    )
    connection.execute(
        insert(_BUILDS).values(
            name=projection.name,
            version=build.version,
            build=build.number,
            state=build.state,
            tables=build.tables,
        )
    )
    return build


def finish_build(connection: Connection, projection: Projection, build: Build) -> None:
    """Note that the tables have caught up with the log."""
    same = (_BUILDS.c.name == projection.name) & (_BUILDS.c.build == build.number)
    connection.execute(update(_BUILDS).where(same).values(state="ready"))


def _definitions(connection: Connection, projection: Projection) -> dict[str, Definition]:
    return {
        table.fullname: definition_of(table, connection.dialect)
        for table in sort_tables(tables_of(projection).values())
    }


def _drop(connection: Connection, tables: Iterable[str]) -> None:
    for full in reversed(list(tables)):
        schema, _, name = full.rpartition(".")
        table = Table(name, MetaData(), schema=schema or None)
        connection.execute(DropTable(table, if_exists=True))


def _check_free(connection: Connection, projection: str, tables: Iterable[Table]) -> None:
    owners = {
        table: f"projection {name}"
        for name, claimed in connection.execute(select(_BUILDS.c.name, _BUILDS.c.tables))
        for table in claimed
    }
    inspector = inspect(connection)
    for table in tables:
        if inspector.has_table(table.name, table.schema):
            owner = owners.get(table.fullname, "something else, which made it before")
            raise TableTaken(projection, table.fullname, owner)
