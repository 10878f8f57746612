"""`eventkit projection`: versions of a read model beside each other, and resets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import typer

from eventkit import Position
from eventkit.cli.failures import Exit
from eventkit.cli.interrupts import Interrupts
from eventkit.cli.options import Json, parse_moment
from eventkit.cli.output import compact, complain, say, say_json, show_table
from eventkit.cli.progress import events_progress, reporting
from eventkit.cli.session import Session, session_of
from eventkit.errors import InvalidInput
from eventkit.projection import Progress, ReadModels, Runner, Versions
from eventkit.projection.diff import TableDiff, VersionDiff
from eventkit.projection.reset import To
from eventkit.projection.versions_of import versions_in
from eventkit.projection.versions_switch import Switched

commands = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the projection.")]
Force = Annotated[
    bool, typer.Option("--force", help="Also where the version has not caught up with the log.")
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0,
        help="How long to wait for sessions that hold the tables.",
    ),
]
_TIMEOUT = 60.0


@commands.command("versions")
def versions(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of a projection; all unless given.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show which versions the read models hold, and which one readers see.

    Example: eventkit --app projections.permits projection versions
    """
    with _models(session_of(context)) as models:
        found = [it for it in versions_in(models) if name in {None, it.name}]
        if name is not None and not found:
            raise InvalidInput(f"no projection {name!r} has run into {models.where}")
    if as_json:
        for version in found:
            say_json(version._asdict())
    elif found:
        columns = ("name", "version", "role", "state", "events", "positions", "tables")
        rows = [
            (*it[:4], f"{it.events:,}", _places(it.positions), ", ".join(it.tables)) for it in found
        ]
        show_table(columns, rows)
    else:
        complain("there are no read models yet", label="")


@commands.command("diff")
def diff(
    context: typer.Context,
    name: Name,
    *,
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample", metavar="ROWS", min=1, help="Compare rows by chance, this many a table."
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=0, help="Differing rows to show a table.")
    ] = 10,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            min=0,
            help="How long to wait until both versions stand at the same place.",
        ),
    ] = 5.0,
    as_json: Json = False,
) -> None:
    """Compare the live version with the one beside it, or else with the previous one.

    The exit code is 1 if rows differ. Columns and tables that only one of the versions has are
    told, and are no difference.

    Example: eventkit --app projections.permits projection diff open_permits
    """
    with _models(session_of(context)) as models:
        found = Versions(name, models).diff(sample=sample, examples=rows, wait=wait)
    if as_json:
        say_json(_plain(found))
    elif not found.tables:
        say(f"{name} has effects and no tables: there is nothing to compare")
    else:
        _show(found)
    if not found.equal:
        raise typer.Exit(Exit.DATA)


@commands.command("switch")
def switch(
    context: typer.Context,
    name: Name,
    *,
    force: Force = False,
    timeout: Timeout = _TIMEOUT,
    as_json: Json = False,
) -> None:
    """Let readers have the version beside the live one, which is kept for a rollback.

    Readers see the one or the other, whole. The version that was kept until now is dropped.

    Example: eventkit --app projections.permits projection switch open_permits
    """
    with _models(session_of(context)) as models:
        _tell(Versions(name, models).switch(force=force, timeout=timeout), as_json=as_json)


@commands.command("rollback")
def rollback(
    context: typer.Context,
    name: Name,
    *,
    force: Force = False,
    timeout: Timeout = _TIMEOUT,
    as_json: Json = False,
) -> None:
    """Let readers have the version again that was live before the last switch.

    It is as current as its own workers kept it; the live one becomes the previous one.

    Example: eventkit --app projections.permits projection rollback open_permits
    """
    with _models(session_of(context)) as models:
        _tell(Versions(name, models).rollback(force=force, timeout=timeout), as_json=as_json)


@commands.command("drop")
def drop(
    context: typer.Context,
    name: Name,
    *,
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="Which one, where two are not live."),
    ] = None,
    timeout: Timeout = _TIMEOUT,
    as_json: Json = False,
) -> None:
    """Remove a version that is not live: its tables, checkpoints and parked events.

    Example: eventkit --app projections.permits projection drop open_permits --version 1
    """
    with _models(session_of(context)) as models:
        dropped = Versions(name, models).drop(version, timeout=timeout)
    if as_json:
        say_json({"name": name, "dropped": dropped})
    else:
        say(f"{name}: version {dropped} is dropped")


@commands.command("reset")
def reset(
    context: typer.Context,
    name: Name,
    *,
    to_beginning: Annotated[bool, typer.Option("--to-beginning", help="Empty the tables.")] = False,
    to_position: Annotated[
        list[str] | None,
        typer.Option(
            "--to-position",
            metavar="TOPIC/PARTITION/OFFSET",
            help="The last event to count; may be given once a partition.",
        ),
    ] = None,
    to_time: Annotated[
        datetime | None,
        typer.Option(
            "--to-time",
            parser=parse_moment,
            metavar="TIME",
            help="Count the events up to this moment, for example 2010-12-24T18:00:00+01:00.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a read model to what it was when the log was read up to a place.

    For an earlier place the tables are emptied, and filled up to it from the first event on; for a
    later one, the events up to it are handled. The command run goes on from there: stop workers
    that follow the log first. Rows and checkpoint always fit together, so no event counts twice.

    Example: eventkit --app projections.permits projection reset open_permits --to-beginning
    """
    to = _target(to_position, to_time, to_beginning=to_beginning)
    session = session_of(context)
    interrupts = Interrupts()
    projection = session.app.projection(name)
    with session.open_existing_store() as store, _models(session) as models:
        runner = Runner(projection, store, models)
        with interrupts.noted(), events_progress() as progress:
            report = reporting(progress, name)

            def report_and_check(now: Progress) -> None:
                report(now)
                interrupts.check()

            handled = runner.reset(to, report_and_check)
        status = runner.status()
    if as_json:
        say_json({"handled": handled, **status._asdict()})
    else:
        say(
            f"{name}: {handled:,} events handled; at position {status.position:,} of "
            f"{status.end:,}; the command run goes on from there"
        )


def _target(positions: list[str] | None, moment: datetime | None, *, to_beginning: bool) -> To:
    given = [to_beginning, bool(positions), moment is not None]
    if sum(given) != 1:
        raise InvalidInput(
            "say where to, by one of --to-beginning, --to-position TOPIC/PARTITION/OFFSET and "
            "--to-time TIME"
        )
    return moment if moment is not None else [_position(it) for it in positions or ()] or None


def _position(text: str) -> Position:
    topic, _, rest = text.partition("/")
    *more, partition, offset = f"{topic}/{rest}".split("/")
    if not (partition.isdecimal() and offset.isdecimal() and more and all(more)):
        raise InvalidInput(
            f"{text!r} is no position: write TOPIC/PARTITION/OFFSET, for example events/0/1200"
        )
    return Position("/".join(more), int(partition), int(offset))


def _models(session: Session) -> ReadModels:
    return ReadModels(session.read_models_url)


def _tell(switched: Switched, *, as_json: bool) -> None:
    if as_json:
        say_json(switched._asdict())
        return
    dropped = "" if switched.dropped is None else f", and version {switched.dropped} is dropped"
    say(
        f"{switched.name}: version {switched.live} is live; version {switched.previous} is kept "
        f"for a rollback{dropped}"
    )
    if switched.behind:
        complain(
            f"{switched.name}: version {switched.live} is {switched.behind:,} events behind the "
            "other one until the command run, with its code, has handled them",
            label="",
        )


def _plain(found: VersionDiff) -> dict[str, object]:
    tables = [
        {**it._asdict(), "equal": it.equal, "examples": [row._asdict() for row in it.examples]}
        for it in found.tables
    ]
    same = {"equal": found.equal, "same_place": found.same_place}
    return {**found._asdict(), **same, "tables": tables}


def _show(found: VersionDiff) -> None:
    live, other = f"v{found.live}", f"v{found.other}"
    columns = ("table", f"rows {live}", f"rows {other}", "compared", f"only {live}",
               f"only {other}", "different")  # fmt: skip
    show_table(columns, [[it.table, *map(_number, it[1:7])] for it in found.tables])
    for table in found.tables:
        for note in table.notes:
            say(f"{table.table}: {note}")
        _show_rows(table, live, other)
    if not found.same_place:
        complain(
            f"{live} stands at {_places(found.at)} and {other} at {_places(found.other_at)}: rows "
            "may differ by the events between",
            label="",
        )
    sampled = " in the sample" if found.sampled else ""
    verdict = f"equal{sampled}" if found.equal else "different"
    say(f"{found.name}: version {found.live} and version {found.other} are {verdict}")


def _show_rows(table: TableDiff, live: str, other: str) -> None:
    for row in table.examples:
        key = ", ".join(f"{name}={compact(value)}" for name, value in row.key.items())
        if row.columns is None:
            say(f"{table.table} {key}: only in v{row.only_in}")
            continue
        values = "; ".join(
            f"{name} is {compact(one)} in {live} and {compact(two)} in {other}"
            for name, (one, two) in row.columns.items()
        )
        say(f"{table.table} {key}: {values}")


def _number(value: object) -> str:
    return "" if value is None else f"{value:,}"


def _places(positions: Mapping[str, int]) -> str:
    return ", ".join(f"{partition}/{offset}" for partition, offset in positions.items()) or "none"
