"""Exchanging the live version of a read model, so that no reader sees anything in between.

One transaction renames the tables: the live ones get `__v<version>` behind their names, the others
the names that readers use. Both builds get new numbers in it, so that a worker which still knows
the names of before commits nothing any more. An order of events, on PostgreSQL:

1. A worker of version 1 begins a batch: it moves its checkpoint, and by that locks it.
2. The switch wants to renumber this checkpoint, and waits until the batch is committed.
3. It renames the tables and commits.
4. The worker begins its next batch. Its checkpoint has another number, so the batch is undone
   before a row is written into `accounts`, which is version 2 by now; the worker finds its build
   again, as `accounts__v1`, and goes on.

Had the batch come between 2 and 3, it would have waited for the checkpoint, and then found it
renumbered. In SQLite one transaction writes at a time, and readers stay on what they began with.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from eventkit.errors import ProjectionError, ReadModelBusy
from eventkit.projection import versions_postgres as postgres
from eventkit.projection.builds import (
    Build,
    Role,
    builds_of,
    change_build,
    check_free,
    live_build,
    next_number,
    note_newest,
    prepare,
    with_role,
)
from eventkit.projection.checkpoints import Checkpoints, renumber_checkpoints
from eventkit.projection.read_models import ReadModels
from eventkit.projection.reports import renumber_reports
from eventkit.projection.tables import names_with
from eventkit.projection.versions import known_builds, remove_version

_T = TypeVar("_T")

_CLOSE = 1_000
"""Events by which a version may be behind the live one: its worker needs a moment for them."""
_SHORTEST, _LONGEST = 0.05, 0.3
"""Seconds between two attempts to get the locks."""


class Switched(NamedTuple):
    """What a switch or a rollback did.

    `live` and `previous` are versions; `dropped` is the one that was kept until now, if there was
    one; `behind` tells how many events of the log the live one has still to read to be where the
    other one was.
    """

    name: str
    live: int
    previous: int
    dropped: int | None
    behind: int


class _Exchange(NamedTuple):
    """What is to happen: `live` goes aside, `other` comes in, `dropped` goes away."""

    name: str
    live: Build
    other: Build
    dropped: Build | None

    @property
    def tables(self) -> list[str]:
        """All that change their names, as they are called now."""
        builds = [self.live, self.other, *([self.dropped] if self.dropped else [])]
        return [table for build in builds for table in build.physical.values()]


def switch(
    models: ReadModels, name: str, *, force: bool = False, timeout: float = 60.0
) -> Switched:
    """Let readers have the version beside; the live one is kept as the previous one.

    The version that was kept until now is dropped.

    Parameters:
        models: the database.
        name: of the projection.
        force: also where the version has not caught up.
        timeout: seconds to wait for those who hold the tables.

    Raises:
        ProjectionError: there is none beside, or it is not ready; nothing was changed.
        ReadModelBusy: others held the tables for too long; nothing was changed.
    """
    return _exchange(models, name, "beside", force=force, timeout=timeout)


def rollback(
    models: ReadModels, name: str, *, force: bool = False, timeout: float = 60.0
) -> Switched:
    """Let readers have the previous version again; the live one becomes the previous one.

    Parameters and errors: as `switch`. How far the previous version is behind does not matter.
    """
    return _exchange(models, name, "previous", force=force, timeout=timeout)


def drop(
    models: ReadModels, name: str, version: int | None = None, *, timeout: float = 60.0
) -> int:
    """Remove a version that is not live, with all that is known of it; returns which.

    Parameters:
        models: the database.
        name: of the projection.
        version: which; None where there is but one.
        timeout: seconds to wait for those who hold its tables.

    Raises:
        ProjectionError: there is no such version, or it is live; nothing was changed.
        ReadModelBusy: others held the tables for too long; nothing was changed.
    """

    def attempt(connection: Connection) -> int:
        prepare(connection)
        build = _to_drop(name, known_builds(connection, name, models.where), version)
        remove_version(connection, name, build)
        return build.version

    return _patiently(models, attempt, timeout, lambda: _tables_aside(models, name))


def _to_drop(name: str, builds: dict[int, Build], version: int | None) -> Build:
    aside = {number: build for number, build in builds.items() if build.role != "live"}
    there = ", ".join(f"{build.version} ({build.role})" for build in builds.values())
    if version is None:
        if len(aside) == 1:
            return next(iter(aside.values()))
        what = "which version is meant: say --version" if aside else "no version to drop"
        raise ProjectionError(f"projection {name}: {what}; it has {there}. Nothing was changed.")
    if version not in builds:
        raise ProjectionError(
            f"projection {name} has no version {version}; it has {there}. Nothing was changed."
        )
    if version not in aside:
        raise ProjectionError(
            f"projection {name}: version {version} is live, readers read it; nothing was changed. "
            "Switch to another version first."
        )
    return aside[version]


def _tables_aside(models: ReadModels, name: str) -> list[str]:
    with models.connect() as connection:
        builds = builds_of(connection, name).values()
    return [it for build in builds if build.role != "live" for it in build.physical.values()]


def _exchange(
    models: ReadModels, name: str, role: Role, *, force: bool, timeout: float
) -> Switched:
    tables: list[str] = []

    def attempt(connection: Connection) -> Switched:
        prepare(connection)
        exchange = _planned(name, known_builds(connection, name, models.where), role)
        tables[:] = exchange.tables
        behind = _behind(connection, exchange)
        if not force:
            _check_ready(exchange, role, behind)
        if models.dialect == "postgresql":
            _in_postgres(connection, exchange, force=force)
        else:
            _in_sqlite(connection, exchange)
        dropped = exchange.dropped and exchange.dropped.version
        return Switched(name, exchange.other.version, exchange.live.version, dropped, behind)

    return _patiently(models, attempt, timeout, lambda: tables)


def _planned(name: str, builds: dict[int, Build], role: Role) -> _Exchange:
    live, other = live_build(builds), with_role(builds, role)
    if live is None or other is None:
        versions = ", ".join(f"{build.version} ({build.role})" for build in builds.values())
        if role == "previous":
            how = "There is one after a switch"
        elif with_role(builds, "previous"):
            how = (
                f"To go to the previous one: eventkit projection rollback {name}. For a new one: "
                f"eventkit projection rebuild {name} --beside"
            )
        else:
            how = f"Build one: eventkit projection rebuild {name} --beside"
        raise ProjectionError(
            f"projection {name} has no {role} version; it has {versions}. Nothing was changed. "
            f"{how}."
        )
    dropped = with_role(builds, "previous") if role == "beside" else None
    return _Exchange(name, live, other, dropped)


def _behind(connection: Connection, exchange: _Exchange) -> int:
    if not exchange.other.tables:  # its effects go on where those of the live one are
        return 0
    live, other = (
        Checkpoints(exchange.name, build.version, build.number).read(connection)
        for build in (exchange.live, exchange.other)
    )
    return sum(
        max(0, there.offset - (other[partition].offset if partition in other else 0))
        for partition, there in live.items()
    )


def _check_ready(exchange: _Exchange, role: Role, behind: int) -> None:
    name, version = exchange.name, exchange.other.version
    if exchange.other.state != "ready":
        reason = f"version {version} has not caught up with the log yet"
    elif role == "beside" and behind > _CLOSE:
        reason = f"version {version} is {behind:,} events behind the live one"
    else:
        return
    raise ProjectionError(
        f"projection {name}: {reason}; nothing was changed. Run it with the code of that version "
        f"(eventkit projection run {name}), or say --force: readers then get it as it is."
    )


def _in_postgres(connection: Connection, exchange: _Exchange, *, force: bool) -> None:
    if not force and exchange.other.tables:
        postgres.check_snapshots(connection, exchange.name, exchange.other.version)
    numbers = _renumbered(connection, exchange)
    postgres.lock_tables(connection, exchange.tables)
    readers = list(exchange.live.physical.values())
    views = postgres.views_of(connection, readers)
    grants = {table: postgres.grants_of(connection, table) for table in readers}
    _rename(connection, exchange, numbers)
    postgres.point_views(connection, views)
    for table in exchange.other.tables:
        postgres.grant(connection, table, grants.get(table, ()))


def _in_sqlite(connection: Connection, exchange: _Exchange) -> None:
    numbers = _renumbered(connection, exchange)
    # Views name the tables that they read; otherwise SQLite would let them follow the old ones.
    connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
    try:
        _rename(connection, exchange, numbers)
    finally:
        connection.exec_driver_sql("PRAGMA legacy_alter_table = OFF")


def _renumbered(connection: Connection, exchange: _Exchange) -> tuple[int, int]:
    """New numbers for both, first of all: workers too lock their checkpoints first."""
    number = next_number(builds_of(connection, exchange.name))
    for build, new in ((exchange.live, number), (exchange.other, number + 1)):
        renumber_checkpoints(connection, exchange.name, build.version, new)
        renumber_reports(connection, exchange.name, build.version, new)
    return number, number + 1


def _rename(connection: Connection, exchange: _Exchange, numbers: tuple[int, int]) -> None:
    name, live, other, dropped = exchange
    if dropped is not None:
        remove_version(connection, name, dropped)
    aside = names_with(live.tables, f"__v{live.version}")
    own = {table: table for table in other.tables}
    check_free(connection, name, aside.values())
    check_free(connection, name, own.keys() - set(live.physical.values()))
    _rename_tables(connection, live, aside)
    _rename_tables(connection, other, own)
    change_build(connection, name, live.version, role="previous", names=aside, build=numbers[0])
    change_build(connection, name, other.version, role="live", names=own, build=numbers[1])
    note_newest(connection, name, numbers[1])


def _rename_tables(connection: Connection, build: Build, names: dict[str, str]) -> None:
    for table, before in build.physical.items():
        was, now = postgres.quoted([before, names[table].rpartition(".")[2]])
        postgres.run(connection, f"ALTER TABLE {was} RENAME TO {now}")


def _patiently(
    models: ReadModels,
    attempt: Callable[[Connection], _T],
    timeout: float,
    tables: Callable[[], Sequence[str]],
) -> _T:
    """Do it in one transaction, again and again while others hold what it needs."""
    deadline = time.monotonic() + timeout
    with models.connect():  # which makes no database
        pass
    while True:
        try:
            with models.building() as connection:
                return attempt(connection)
        except ReadModelBusy as error:
            if time.monotonic() >= deadline:
                raise _busy(models, error, timeout, tables()) from error
        time.sleep(random.uniform(_SHORTEST, _LONGEST))  # noqa: S311 - no secret


def _busy(
    models: ReadModels, error: ReadModelBusy, timeout: float, tables: Sequence[str]
) -> ReadModelBusy:
    held = ""
    if models.dialect == "postgresql" and tables:
        with models.connect() as connection:
            held = postgres.holders(connection, tables)
    reason = f"the tables are held by {held}" if held else str(error)
    return ReadModelBusy(
        f"{models.where}: nothing was changed, as for {timeout:g} s others were in the way: "
        f"{reason}. Let them end, and try again."
    )
