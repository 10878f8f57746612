"""`eventkit replay`: the log as lines of JSON."""

from __future__ import annotations

import sys
from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from eventkit.cli.options import parse_moment, parse_text
from eventkit.cli.output import write_lines
from eventkit.cli.session import session_of
from eventkit.cloudevents import write_cloudevent
from eventkit.store import event_filter

_SINCE = typer.Option(
    parser=parse_moment, metavar="TIME", help="Only events at this time or later."
)
_UNTIL = typer.Option(parser=parse_moment, metavar="TIME", help="Only events before this time.")


def replay_events(
    context: typer.Context,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            parser=parse_text,
            metavar="TYPE",
            help="Only this recorded type; may be repeated.",
        ),
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(parser=parse_text, metavar="TEXT", help="Only this workspace."),
    ] = None,
    categories: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="CATEGORY", help="Only this category; may be repeated."),
    ] = None,
    since: Annotated[datetime | None, _SINCE] = None,
    until: Annotated[datetime | None, _UNTIL] = None,
    limit: Annotated[int | None, typer.Option(min=0, metavar="N", help="At most N events.")] = None,
) -> None:
    """Print the events of the store in the order of the log, one CloudEvent in JSON a line.

    What it prints can be imported into another store and is the same there. No --app is needed.

    Example: eventkit replay --type PermitReceived --since 2011-01-01T00:00:00Z | head
    """
    with session_of(context).open_existing_store() as store:
        wanted = event_filter(
            store.types, types or None, workspace, categories or None, since, until
        )
        most = None if limit is None else min(limit, sys.maxsize)  # islice takes no more
        write_lines(islice(map(write_cloudevent, store.plain_events(wanted)), most))
