"""What PostgreSQL needs so that its readers do not notice when tables change their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError

from eventkit.errors import ProjectionError, ReadModelBusy
from eventkit.projection.builds import plain_table

_WAIT = "SET LOCAL lock_timeout = '3s'"
_WAIT_BEFORE_READERS = "SET LOCAL lock_timeout = '100ms'"
"""Readers that come meanwhile stand in line behind us; so short, they do not notice. It is also
less than a server waits before it looks for deadlocks and ends one of those who wait."""

_SNAPSHOTS = text("""
    SELECT pid, application_name, usename, state, xact_start FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND backend_xmin IS NOT NULL
      AND age(backend_xmin) >= (
        SELECT age(xmin) FROM eventkit_projections WHERE name = :name AND version = :version)
    ORDER BY xact_start
""")
_HOLDERS = text("""
    SELECT DISTINCT pid, application_name, usename, state, xact_start
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE relation = ANY(CAST(:tables AS regclass[])) AND granted AND pid <> pg_backend_pid()
    ORDER BY xact_start
""")
_VIEWS = text("""
    SELECT DISTINCT CAST(v.oid AS regclass)::text AS name, v.relkind = 'm' AS stored,
      array_to_string(v.reloptions, ', ') AS options, pg_get_viewdef(v.oid) AS definition
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = ANY(CAST(:tables AS regclass[])) AND v.oid <> d.refobjid
    ORDER BY name
""")
_GRANTS = text("""
    SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
      AS grantee, a.privilege_type AS privilege, a.is_grantable AS grantable
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = CAST(:one AS regclass) AND a.grantee <> c.relowner
    ORDER BY grantee, privilege
""")


class View(NamedTuple):
    """A view on a table that changes its name."""

    name: str
    stored: bool
    options: str | None
    definition: str


class Grant(NamedTuple):
    """What a role may do with a table."""

    grantee: str
    privilege: str
    grantable: bool


def quoted(tables: Iterable[str]) -> list[str]:
    """Names of tables, as SQL writes them.

    SQLAlchemy would double each `%`, as statements with parameters need it, and no value does.
    """
    found = map(plain_table, tables)
    return [".".join(_quoted(it) for it in (table.schema, table.name) if it) for table in found]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def run(connection: Connection, statement: str) -> None:
    """Run a statement in which no `:` stands for a parameter: it is part of a name."""
    connection.execute(text(statement.replace(":", "\\:")))


def check_snapshots(connection: Connection, name: str, version: int) -> None:
    """See that no transaction began to read before the build was ready.

    One that did sees rows of today's tables as they were then. It would find the tables by their
    new names, and in them a build that was not whole.

    Raises:
        ReadModelBusy: there is one.
    """
    found = connection.execute(_SNAPSHOTS, {"name": name, "version": version}).all()
    if found:
        raise ReadModelBusy(
            f"a transaction is open that began before version {version} was ready, and would see "
            f"it half-built: {_sessions(found)}"
        )


def lock_tables(connection: Connection, tables: Sequence[str]) -> None:
    """Let nobody else read or write tables until the transaction ends, waiting but for a moment.

    Two locks: the first one ends a vacuum that the server began by itself, and lets readers pass
    while it waits.

    Raises:
        DBAPIError: others hold a table.
    """
    if not tables:
        return
    names = ", ".join(quoted(tables))
    run(connection, _WAIT)
    run(connection, f"LOCK TABLE {names} IN SHARE UPDATE EXCLUSIVE MODE")
    run(connection, _WAIT_BEFORE_READERS)
    run(connection, f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")


def holders(connection: Connection, tables: Iterable[str]) -> str:
    """Which sessions hold tables, in words; empty where none does."""
    names = quoted(tables)
    return _sessions(connection.execute(_HOLDERS, {"tables": names}).all())


def views_of(connection: Connection, tables: Iterable[str]) -> list[View]:
    """The views on tables: they follow a table that is renamed.

    Raises:
        ProjectionError: a view keeps rows of its own.
    """
    names = quoted(tables)
    views = [View(*row) for row in connection.execute(_VIEWS, {"tables": names})]
    for view in views:
        if view.stored:
            raise ProjectionError(
                f"the materialized view {view.name} would go on with the tables of before; "
                "nothing was changed. Drop it, and make it again afterwards."
            )
    return views


def point_views(connection: Connection, views: Iterable[View]) -> None:
    """Let views read the tables that have the names now, by which the views were written.

    Raises:
        ProjectionError: a view cannot read the new tables.
    """
    for view in views:
        options = f" WITH ({view.options})" if view.options else ""
        statement = f"CREATE OR REPLACE VIEW {view.name}{options} AS {view.definition}"
        try:
            run(connection, statement)
        except DBAPIError as error:
            said = str(error.orig).partition("\n")[0]
            raise ProjectionError(
                f"the view {view.name} cannot read the other version's tables ({said}); nothing "
                "was changed. Drop it, and make it again afterwards."
            ) from error


def grants_of(connection: Connection, table: str) -> list[Grant]:
    """What others than its owner may do with a table."""
    (name,) = quoted([table])
    return [Grant(*row) for row in connection.execute(_GRANTS, {"one": name})]


def grant(connection: Connection, table: str, grants: Iterable[Grant]) -> None:
    """Let others do with a table what they may do with the one before."""
    (name,) = quoted([table])
    for one in grants:
        option = " WITH GRANT OPTION" if one.grantable else ""
        statement = f"GRANT {one.privilege} ON {name} TO {one.grantee}{option}"
        run(connection, statement)


@contextmanager
def keeping_grants(connection: Connection, tables: Iterable[str]) -> Iterator[None]:
    """Let others do with tables that are made anew in this block what they could do before."""
    if connection.dialect.name != "postgresql":
        yield
        return
    there = [table for table in tables if _is_there(connection, table)]
    grants = {table: grants_of(connection, table) for table in there}
    yield
    for table in there:
        if _is_there(connection, table):
            grant(connection, table, grants[table])


def _is_there(connection: Connection, table: str) -> bool:
    name = quoted([table])[0]
    return connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None


def _sessions(rows: Iterable[Row[Any]]) -> str:
    return "; ".join(
        f"session {row.pid} ({row.application_name or 'no name'}, user {row.usename}, "
        f"{row.state or 'state unknown'}"
        + (f", since {row.xact_start:%H:%M:%S} UTC)" if row.xact_start else ")")
        for row in rows
    )
