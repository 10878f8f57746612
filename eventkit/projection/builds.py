"""Which projection owns which tables of a database, and in what state they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Enum,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchTableError
from sqlalchemy.schema import DropTable

from eventkit.errors import ReadModelError, RebuildNeeded, TableTaken
from eventkit.projection.definition import Definition, definition_of, difference, missing
from eventkit.projection.metadata import METADATA
from eventkit.projection.projection import Projection
from eventkit.projection.tables import copied_tables, names_with, ordered_tables

State = Literal["building", "rebuilding", "ready"]
Role = Literal["live", "beside", "previous"]

_BUILDS = Table(
    "eventkit_projections",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("build", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("tables", JSON, nullable=False),
    Column("role", String(20), nullable=False),
    Column("names", JSON, nullable=False),
    Column("newest", Integer, nullable=False),  # the highest number any build of `name` ever had
)
_ADDED = {
    "role": "VARCHAR(20) NOT NULL DEFAULT 'live'",
    "names": "JSON NOT NULL DEFAULT '{}'",
    "newest": "INTEGER NOT NULL DEFAULT 0",
}
"""Columns that databases of eventkit 0.1 lack: there, each build is live under its own names."""
_DEPENDED_ON = "2BP01"
"""PostgreSQL's code for what cannot be dropped, as something else depends on it."""
_FORMER_INDEX = "eventkit_dead_letters_place"
"""It refused an event of another log at the place of one that is parked."""


class Build(NamedTuple):
    """The tables of one version of a projection as they were made.

    `number` changes with each rebuild and each switch, so that a worker on the tables or names of
    before is noticed; none is given twice. `tables` holds the definitions by the names that the
    code gives them, in the order in which they were made. Readers find the tables of the live
    build under these names; `names` tells what they are called in this one.
    """

    version: int
    number: int
    state: State
    tables: dict[str, Definition]
    role: Role = "live"
    names: dict[str, str] = {}  # noqa: RUF012 - never changed
    newest: int = 0

    @property
    def physical(self) -> dict[str, str]:
        """What each table is called in the database."""
        return {name: self.names.get(name, name) for name in self.tables}


def builds_of(connection: Connection, name: str) -> dict[int, Build]:
    """All builds of a projection in this database, by version."""
    return {build.version: build for owner, build in _all(connection) if owner == name}


def projections_in(connection: Connection) -> dict[str, list[Build]]:
    """All builds in this database, by projection, the newest version first."""
    found: dict[str, list[Build]] = {}
    for name, build in sorted(_all(connection), key=lambda it: (it[0], -it[1].version)):
        found.setdefault(name, []).append(build)
    return found


def _all(connection: Connection) -> list[tuple[str, Build]]:
    try:
        there = {column["name"] for column in inspect(connection).get_columns(_BUILDS.name)}
    except NoSuchTableError:
        return []
    table = _BUILDS.c
    columns = [table.name, table.version, table.build, table.state, table.tables]
    if set(_ADDED) <= there:
        columns += [table.role, table.names, table.newest]
    return [(row[0], Build(*row[1:])) for row in connection.execute(select(*columns))]


def live_build(builds: Mapping[int, Build]) -> Build | None:
    """The one that readers read."""
    return with_role(builds, "live")


def with_role(builds: Mapping[int, Build], role: Role) -> Build | None:
    """The one build in this role, if there is one."""
    return next((build for build in builds.values() if build.role == role), None)


def find_build(connection: Connection, name: str, version: int | None = None) -> Build | None:
    """The build that code of this version works on: its own, else the live one; None without any.

    Parameters:
        connection: one to the read models.
        name: of the projection.
        version: of the code; None for the live build.
    """
    builds = builds_of(connection, name)
    own = None if version is None else builds.get(version)
    return own or live_build(builds)


def prepare(connection: Connection) -> None:
    """Make eventkit's own tables, and bring those of an earlier eventkit up to date."""
    METADATA.create_all(connection)
    there = {column["name"] for column in inspect(connection).get_columns(_BUILDS.name)}
    for name, kind in _ADDED.items():
        if name not in there:
            connection.execute(text(f"ALTER TABLE {_BUILDS.name} ADD COLUMN {name} {kind}"))
    connection.execute(text(f"DROP INDEX IF EXISTS {_FORMER_INDEX}"))
    for table in METADATA.sorted_tables:
        for index in table.indexes:
            index.create(connection, checkfirst=True)


def check_build(connection: Connection, projection: Projection, build: Build) -> None:
    """See that the tables are what the code of today fills.

    Parameters:
        connection: one to the read models.
        projection: with its tables under their own names.
        build: the one that this code works on.

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
    names = build.physical
    return missing(connection, {names[name]: today[name] for name in today})


def add_build(
    connection: Connection,
    projection: Projection,
    role: Role,
    state: State,
    replaced: Build | None = None,
) -> Build:
    """Make the tables of a projection, empty, beside those of its other builds.

    One that was removed for it in this transaction tells which numbers were given already.

    Raises:
        TableTaken: a table of that name is there and belongs to something else.
    """
    others = builds_of(connection, projection.name)
    tables = ordered_tables(projection)
    full = [table.fullname for table in tables]
    beside = role != "live"
    gone = {} if replaced is None else {replaced.version: replaced}
    number = max(next_number(others), next_number(gone))
    build = Build(
        projection.version,
        number,
        state,
        _definitions(connection, projection),
        role,
        names_with(full, f"__v{projection.version}") if beside else {name: name for name in full},
        number,
    )
    # Indexes keep their names when their tables are renamed, so with other builds each has its own.
    made = copied_tables(tables, build.names, f"__b{number}" if others else "")
    check_free(connection, projection.name, build.names.values())
    if beside:  # the names that they get by a switch
        live = live_build(others)
        own = set() if live is None else set(live.tables)
        check_free(connection, projection.name, [name for name in full if name not in own])
    for table in made.values():
        _add_values_of_types(connection, table)
        table.create(connection, checkfirst=True)  # a type may be there, and stays
    _insert(connection, projection.name, build)
    return build


def _insert(connection: Connection, name: str, build: Build) -> None:
    values = build._asdict()
    values["build"] = values.pop("number")
    connection.execute(insert(_BUILDS).values(name=name, **values))
    note_newest(connection, name, build.number)


def next_number(builds: Mapping[int, Build]) -> int:
    """A number that no build of this projection ever had."""
    return max((max(build.number, build.newest) for build in builds.values()), default=0) + 1


def note_newest(connection: Connection, name: str, number: int) -> None:
    """Keep the highest number in all rows, so that it outlives each of them."""
    connection.execute(update(_BUILDS).where(_BUILDS.c.name == name).values(newest=number))


def change_build(connection: Connection, name: str, version: int, **values: Any) -> None:
    """Set columns of a build's row."""
    row = (_BUILDS.c.name == name) & (_BUILDS.c.version == version)
    connection.execute(update(_BUILDS).where(row).values(**values))


def remove_build(connection: Connection, name: str, build: Build) -> None:
    """Drop the tables of a build, and forget it.

    Raises:
        ReadModelError: something that is no part of it depends on a table.
    """
    note_newest(connection, name, next_number(builds_of(connection, name)) - 1)
    for full in reversed(list(build.physical.values())):
        try:
            connection.execute(DropTable(plain_table(full), if_exists=True))
        except DBAPIError as error:
            dependents = _dependents(connection, full, error)
            if dependents is None:
                raise
            raise ReadModelError(
                f"projection {name}: its table {full!r} cannot be dropped, as something that is no "
                f"part of the projection depends on it: {dependents}. Nothing was changed. Read "
                "models are made anew by dropping their tables: drop what depends on this one "
                "first, and run again."
            ) from error
    row = (_BUILDS.c.name == name) & (_BUILDS.c.version == build.version)
    connection.execute(delete(_BUILDS).where(row))


def _dependents(connection: Connection, full: str, error: DBAPIError) -> str | None:
    """What kept a table from being dropped; None where that was something else."""
    if getattr(error.orig, "sqlstate", None) == _DEPENDED_ON:
        told = getattr(error.orig, "diag", None)
        return str(getattr(told, "message_detail", None) or error.orig).replace("\n", "; ")
    if connection.dialect.name != "sqlite" or not isinstance(error, IntegrityError):
        return None
    inspector = inspect(connection)
    found = [
        f"foreign key ({', '.join(key['constrained_columns'])}) of table {table}"
        for table in inspector.get_table_names()
        for key in inspector.get_foreign_keys(table)
        if table != full and key["referred_table"].lower() == full.lower()
    ]
    return ", ".join(found) or None


def plain_table(full: str) -> Table:
    """A table of which the name alone is known, with its schema if there is one."""
    schema, _, name = full.rpartition(".")
    return Table(name, MetaData(), schema=schema or None)


def finish_build(connection: Connection, projection: Projection, build: Build) -> bool:
    """Note that the tables have caught up with the log; False if they are another build by now."""
    same = (_BUILDS.c.name == projection.name) & (_BUILDS.c.build == build.number)
    return connection.execute(update(_BUILDS).where(same).values(state="ready")).rowcount == 1


def _definitions(connection: Connection, projection: Projection) -> dict[str, Definition]:
    return {
        table.fullname: definition_of(table, connection.dialect)
        for table in ordered_tables(projection)
    }


def check_free(connection: Connection, projection: str, tables: Iterable[str]) -> None:
    """See that no table has one of these names.

    Raises:
        TableTaken: one has.
    """
    owners = {
        table: f"projection {name}"
        for name, build in _all(connection)
        for table in build.physical.values()
    }
    inspector = inspect(connection)
    for full in tables:
        schema, _, name = full.rpartition(".")
        if inspector.has_table(name, schema or None):
            owner = owners.get(full, "something else, which made it before")
            raise TableTaken(projection, full, owner)


def _add_values_of_types(connection: Connection, table: Table) -> None:
    """Let the enumerated types of PostgreSQL that are there take the values of today's code too.

    Builds share a type, so values are added and none is taken away.
    """
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote
    types = [column.type for column in table.columns if isinstance(column.type, Enum)]
    for kind in (it for it in types if it.native_enum and it.name):
        schema = kind.schema or table.schema
        there = inspect(connection).get_enums(schema)  # type: ignore[attr-defined]
        if kind.name not in {found["name"] for found in there}:
            continue
        full = (f"{quote(schema)}." if schema else "") + quote(str(kind.name))
        for value in kind.enums:
            quoted = value.replace("'", "''").replace(":", "\\:")
            connection.execute(text(f"ALTER TYPE {full} ADD VALUE IF NOT EXISTS '{quoted}'"))
