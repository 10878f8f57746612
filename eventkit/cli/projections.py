"""`eventkit projection`: run, watch and rebuild the read models."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Annotated

import typer

from eventkit.cli import standing, versions
from eventkit.cli.following import Stopping, follow
from eventkit.cli.interrupts import Interrupts
from eventkit.cli.options import Json
from eventkit.cli.output import complain, instant, say, say_json, show_table
from eventkit.cli.parking import parking_told
from eventkit.cli.progress import events_progress, reporting
from eventkit.cli.session import Session, session_of
from eventkit.cli.workers import Place, check_shared, run_workers
from eventkit.errors import CategoryAdded
from eventkit.masking import masked_url
from eventkit.projection import Progress, Projection, ReadModels, Runner
from eventkit.projection.progress import Report
from eventkit.projection.projection import (
    effected_events,
    handled_events,
    has_effects_alone,
    tables_of,
)
from eventkit.projection.runner import Share
from eventkit.projection.versions import begin_rebuild

commands = typer.Typer(
    no_args_is_help=True,
    help="Keep the read models of the app's projections in step with the store.",
)
commands.add_typer(versions.commands)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Of projections; all of the app unless given."),
]
Workers = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Processes that share the partitions of a log on Kafka."),
]


@commands.command("list")
def list_projections(context: typer.Context, *, as_json: Json = False) -> None:
    """Show the projections of the app.

    Example: eventkit --app projections.permits projection list
    """
    everything = None if as_json else "all"
    rows = [
        {
            "name": projection.name,
            "version": projection.version,
            "categories": list(projection.categories or ()) or everything,
            "tables": [table.fullname for table in tables_of(projection).values()],
        }
        for projection in session_of(context).app.projections
    ]
    _show(rows, as_json=as_json)


@commands.command("run")
def run(
    context: typer.Context,
    names: Names = None,
    *,
    follow_log: Annotated[
        bool,
        typer.Option("--follow", help="Go on with new events until Ctrl-C or SIGTERM."),
    ] = False,
    workers: Workers = 1,
    place: Annotated[
        Place | None, typer.Option("--worker", parser=Place.parse, hidden=True)
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring read models up to the end of the log, from where they were.

    Each batch of events and the place where it ends are committed together: whatever happens, each
    event counts once, and a run that was interrupted goes on when it is run again.

    With --follow, workers of all hosts that write into the same database share the partitions
    through the consumer group NAME.vVERSION: start as many as you like, anywhere. SIGTERM ends one
    after the batch at work. When one of the processes of --workers fails, all end with its code.

    Without --follow the exit code is 1 if events were parked, and all others are in the read model.
    With it, parked events end nothing: watch the command status.

    Example: eventkit --app projections.permits projection run open_permits
    """
    session = session_of(context)
    chosen = _chosen(session, names)
    alone = not follow_log and place is None
    with parking_told(session.read_models_url, chosen) if alone else nullcontext():
        if workers > 1:
            arguments = [*(names or []), *["--follow"] * follow_log, *["--json"] * as_json]
            run_workers(session, ["projection", "run", *arguments], workers, finish=not follow_log)
        else:
            run_alone = _follow_all if follow_log else _run_all
            run_alone(session, chosen, place, as_json=as_json)


def _run_all(
    session: Session,
    projections: Sequence[Projection],
    place: Place | None,
    *,
    as_json: bool,
) -> None:
    share = None if place is None else Share(place.number, place.of)
    with _runners(session, projections) as runners:
        handled = _one_by_one(runners, lambda it, report: it.run(report, share))
        _show_handled(runners, handled, as_json=as_json, who=_who(place))


def _follow_all(
    session: Session,
    projections: Sequence[Projection],
    place: Place | None,
    *,
    as_json: bool,
) -> None:
    stopping = Stopping()
    with stopping.noted():
        while True:
            with _runners(session, projections) as runners:
                stop = stopping.next_round()
                for runner in runners.values():
                    complain(_introduction(session, runner, place), label="")
                try:
                    with _frozen():
                        handled = follow(
                            runners, stop, lambda: place is not None and place.is_orphan
                        )
                except CategoryAdded as added:
                    complain(f"{_who(place)}{added} This is done now.", label="")
                else:
                    _show_handled(runners, handled, as_json=as_json, who=_who(place))
                    return


def _who(place: Place | None) -> str:
    return "" if place is None or place.of == 1 else f"worker {place.number}: "


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep the collector of garbage away from all that was imported.

    Reading events makes many objects, so it runs often; a fifth of the processor time of a rebuild
    went into looking at some 60,000 objects that stay for as long as the process does.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _introduction(session: Session, runner: Runner, place: Place | None) -> str:
    """What follows the log, which events it handles, where it stands."""
    status, projection = runner.status(), runner.projection
    alone = has_effects_alone(projection)
    classes = effected_events(projection) if alone else handled_events(projection)
    events = dict.fromkeys(it.__name__ for it in classes)
    worker = "" if place is None else f", worker {place.number} of {place.of}"
    return (
        f"following {masked_url(session.store_url)} into {masked_url(session.read_models_url)}: "
        f"{status.name} v{status.version}{worker}, process {os.getpid()}; "
        f"{'has effects of' if alone else 'handles'} {', '.join(events)}; "
        f"{status.state}, at position {status.position:,} of {status.end:,}"
    )


@commands.command("rebuild")
def rebuild(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the projection.")],
    *,
    beside: Annotated[
        bool,
        typer.Option(
            "--beside", help="In tables of its own, while readers go on with the live version."
        ),
    ] = False,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Throw a read model away and build it anew from the first event on.

    Readers see a model that is not whole until it is done. A rebuild that was interrupted is
    finished by the command run.

    With --beside nothing is thrown away: this version of the code fills tables of its own. Compare
    it with the live one (diff), let readers have it (switch), go back (rollback), or remove it
    (drop). Interrupted, it goes on when it is called again.

    With --workers, processes share the partitions. When one of them fails, all end with its code.

    A projection that has effects alone has nothing to rebuild: effects never run again for what
    was read. This version of the code then takes their place, and they go on.

    The exit code is 1 if events were parked, and all others are in the read model.

    Example: eventkit --app projections.permits projection rebuild open_permits
    """
    session = session_of(context)
    chosen = _chosen(session, [name])
    rebuilt = Runner.rebuild_beside if beside else Runner.rebuild
    if has_effects_alone(chosen[0]):
        complain(
            f"{name} has effects and no tables: there is nothing to rebuild. Effects never run "
            "again for what was read; they go on from where they are.",
            label="",
        )
    with parking_told(session.read_models_url, chosen):
        if workers > 1:
            _share_rebuild(session, chosen[0], workers, beside=beside, as_json=as_json)
            return
        with _runners(session, chosen) as runners:
            _show_handled(runners, _one_by_one(runners, rebuilt), as_json=as_json)


def _share_rebuild(
    session: Session, projection: Projection, workers: int, *, beside: bool, as_json: bool
) -> None:
    check_shared(session)
    # Before the tables are emptied, one sees that they can be filled.
    with session.open_existing_store(), ReadModels(session.read_models_url) as models:
        begin_rebuild(projection, models, beside=beside)
    arguments = ["projection", "run", projection.name, *["--json"] * as_json]
    run_workers(session, arguments, workers, finish=True)


@commands.command("status")
def status(context: typer.Context, names: Names = None, *, as_json: Json = False) -> None:
    """Show how far projections have come.

    Position and end are places in the log; lag counts the events between them, and lag_seconds is
    the age of the oldest one that is to be handled. Events are those that the projection handled
    since it was last built, parked ones wait as dead letters. Of several partitions each has its
    row, with the worker on it, and the error that ended the last one.

    Example: eventkit --app projections.permits projection status
    """
    session = session_of(context)
    with _runners(session, _chosen(session, names)) as runners:
        found = [runner.status() for runner in runners.values()]
    if as_json:
        _show([standing.as_json(it) for it in found], as_json=True)
    else:
        _show([row for it in found for row in standing.as_rows(it)], as_json=False)


def _chosen(session: Session, names: Sequence[str] | None) -> list[Projection]:
    app = session.app
    return (
        [app.projection(name) for name in dict.fromkeys(names)] if names else list(app.projections)
    )


@contextmanager
def _runners(session: Session, projections: Sequence[Projection]) -> Iterator[dict[str, Runner]]:
    with session.open_existing_store() as store, ReadModels(session.read_models_url) as models:
        yield {projection.name: Runner(projection, store, models) for projection in projections}


def _one_by_one(
    runners: Mapping[str, Runner], operation: Callable[[Runner, Report], int]
) -> dict[str, int]:
    """Do it with each; a signal ends it between two batches."""
    interrupts = Interrupts()
    with interrupts.noted(), events_progress() as progress, _frozen():
        return {
            name: operation(runner, _interruptible(reporting(progress, name), interrupts))
            for name, runner in runners.items()
        }


def _interruptible(report: Report, interrupts: Interrupts) -> Report:
    def report_and_check(now: Progress) -> None:
        report(now)
        interrupts.check()

    return report_and_check


def _show_handled(
    runners: Mapping[str, Runner], handled: Mapping[str, int], *, as_json: bool, who: str = ""
) -> None:
    for name, runner in runners.items():
        status = runner.status()
        if as_json:
            say_json({"handled": handled[name], **standing.as_json(status)})
        else:
            parked = f"; {status.parked:,} parked, see dead-letters list" if status.parked else ""
            say(
                f"{who}{name}: {handled[name]:,} events handled; {status.state}, at position "
                f"{status.position:,} of {status.end:,}{parked}"
            )


def _show(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            say_json(row)
    elif rows:
        show_table(tuple(rows[0]), [[_cell(value) for value in row.values()] for row in rows])
    else:
        complain("the app has no projections", label="")


def _cell(value: object) -> object:
    match value:
        case datetime():
            return instant(value)
        case list():
            return ", ".join(map(str, value))
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case None:
            return ""
    return value
