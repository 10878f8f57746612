"""Builds of a projection side by side: the one to work on, making, rebuilding and clearing them."""

from __future__ import annotations

from sqlalchemy import Connection

from eventkit.errors import CheckpointMoved, ProjectionError
from eventkit.projection.builds import (
    Build,
    add_build,
    builds_of,
    check_build,
    find_build,
    live_build,
    prepare,
    projections_in,
    remove_build,
    with_role,
)
from eventkit.projection.checkpoints import forget_checkpoints
from eventkit.projection.dead_letters_table import forget_parked, inherit_discarded
from eventkit.projection.projection import Projection
from eventkit.projection.read_models import ReadModels
from eventkit.projection.reports import forget_reports
from eventkit.projection.versions_postgres import keeping_grants


def open_build(projection: Projection, models: ReadModels) -> Build:
    """The build that this code works on, checked; made where the projection has none at all.

    Raises:
        RebuildNeeded: its tables are not those of today's code.
        TableTaken: one of them belongs to something else.
    """
    if models.exists():
        with models.connect() as connection:
            build = find_build(connection, projection.name, projection.version)
            if build is not None and build.newest and _fits(connection, projection, build):
                return build
    # What does not fit may be about to: a rebuild that ends between two looks leaves a row of
    # before and, in PostgreSQL, whose catalogue is not that of the snapshot, tables of after.
    with models.building() as connection:
        prepare(connection)
        build = find_build(connection, projection.name, projection.version)
        if build is None:
            return add_build(connection, projection, "live", "building")
        check_build(connection, projection, build)  # another worker was faster
        return build


def renamed(projection: Projection, models: ReadModels, was: Build) -> bool:
    """Whether the build of this code goes on under other names: a switch or a rollback came."""
    now = _build_now(projection, models, was)
    return now is not None and now.role != was.role


def is_replaced(projection: Projection, models: ReadModels, was: Build) -> bool:
    """Whether the build of this code has another number by now: a rebuild came, or a switch."""
    now = _build_now(projection, models, was)
    return now is not None and now.number != was.number


def _build_now(projection: Projection, models: ReadModels, was: Build) -> Build | None:
    with models.connect() as connection:
        return builds_of(connection, projection.name).get(was.version)


def begin_rebuild(projection: Projection, models: ReadModels, *, beside: bool = False) -> None:
    """Make the tables for a rebuild, in one transaction; who runs the projection fills them.

    Parameters:
        projection: whose.
        models: where its tables are.
        beside: leave the live ones alone, and go on with those that are beside them already.

    Raises:
        ProjectionError, TableTaken: as `rebuild_live` and `begin_beside`; nothing was changed.
    """
    with models.building() as connection:
        if beside:
            begin_beside(connection, projection)
        else:
            rebuild_live(connection, projection)


def rebuild_live(connection: Connection, projection: Projection) -> None:
    """Make the tables that readers read anew, empty, as today's code wants them.

    Raises:
        ProjectionError: this version is not the live one, and has tables of its own.
        TableTaken: a table of that name is there and belongs to something else.
    """
    prepare(connection)
    builds = builds_of(connection, projection.name)
    live, own = live_build(builds), builds.get(projection.version)
    if own is not None and own.role != "live":
        raise ProjectionError(_not_live(projection, own))
    if live is None:
        add_build(connection, projection, "live", "building")
        return
    with keeping_grants(connection, live.tables):
        remove_version(connection, projection.name, live)
        add_build(connection, projection, "live", "rebuilding", live)
    if own is None:
        inherit_discarded(connection, projection.name, projection.version)


def _not_live(projection: Projection, own: Build) -> str:
    name = projection.name
    how = (
        f"go on with it (eventkit projection rebuild {name} --beside)"
        if own.role == "beside"
        else f"go back to it (eventkit projection rollback {name})"
    )
    return (
        f"projection {name}: version {own.version} is not live, it has tables of its own "
        f"({own.role}); nothing was changed. Either {how}, or remove it first (eventkit projection "
        f"drop {name} --version {own.version})."
    )


def begin_beside(connection: Connection, projection: Projection) -> Build:
    """Make tables for this version beside the live ones; those that fit already are kept.

    Without any build the first one is made, and it is live: there is nothing to be beside of.

    Raises:
        ProjectionError: this version is live or kept, or another one is beside already.
        TableTaken: a table of that name is there and belongs to something else.
    """
    prepare(connection)
    name, builds = projection.name, builds_of(connection, projection.name)
    if not builds:
        return add_build(connection, projection, "live", "building")
    own, beside = builds.get(projection.version), with_role(builds, "beside")
    if own is not None and own.role == "live":
        raise ProjectionError(
            f"projection {name}: version {own.version} is the live one; nothing was changed. Raise "
            f"`version` in the class for a new one beside it, or rebuild it in place (eventkit "
            f"projection rebuild {name})."
        )
    if own is not None and own.role == "previous":
        raise ProjectionError(_not_live(projection, own))
    if beside is not None and beside.version != projection.version:
        raise ProjectionError(
            f"projection {name}: version {beside.version} is beside the live one already; nothing "
            f"was changed. Switch to it (eventkit projection switch {name}), or remove it "
            f"(eventkit projection drop {name} --version {beside.version})."
        )
    if own is not None:
        if _fits(connection, projection, own):
            return own
        remove_version(connection, name, own)
    else:
        inherit_discarded(connection, name, projection.version)
    return add_build(connection, projection, "beside", "building")


def _fits(connection: Connection, projection: Projection, build: Build) -> bool:
    try:
        check_build(connection, projection, build)
    except ProjectionError:
        return False
    return True


def clear_build(connection: Connection, projection: Projection) -> Build:
    """Make the tables of this version anew, empty, in the role that it has.

    Raises:
        CheckpointMoved: it is gone.
    """
    prepare(connection)
    own = builds_of(connection, projection.name).get(projection.version)
    if own is None:
        raise CheckpointMoved(projection.name, 0, None)
    with keeping_grants(connection, own.physical.values()):
        remove_version(connection, projection.name, own)
        return add_build(connection, projection, own.role, "rebuilding", own)


def known_builds(connection: Connection, name: str, where: str) -> dict[int, Build]:
    """The builds of a projection that has some.

    Raises:
        ProjectionError: it has none.
    """
    builds = builds_of(connection, name)
    if not builds:
        known = ", ".join(projections_in(connection)) or "none"
        raise ProjectionError(
            f"no projection {name!r} has run into {where}; it holds: {known}. "
            f"Run it first: eventkit projection run {name}"
        )
    return builds


def remove_version(connection: Connection, name: str, build: Build) -> None:
    """Remove the tables of a build, and all that is known of it."""
    # In the order in which a worker takes its locks, or the two wait for each other.
    forget_checkpoints(connection, name, build.version)
    forget_parked(connection, name, build.version)
    forget_reports(connection, name, build.version)
    remove_build(connection, name, build)
