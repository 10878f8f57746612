"""`eventkit events`: what happened to one aggregate."""

from __future__ import annotations

from typing import Annotated

import typer

from eventkit.cli.options import AggregateId, AsOf, Json
from eventkit.cli.output import compact, instant, show_table, write_lines
from eventkit.cli.session import session_of
from eventkit.cloudevents import write_cloudevent
from eventkit.errors import AggregateNotFound
from eventkit.store import PlainEvent


def show_events(
    context: typer.Context,
    aggregate_id: AggregateId,
    from_version: Annotated[
        int, typer.Option("--from", min=1, metavar="VERSION", help="The first version to show.")
    ] = 1,
    to_version: Annotated[
        int | None,
        typer.Option("--to", min=1, metavar="VERSION", help="The last version to show."),
    ] = None,
    as_of: AsOf = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the events of one aggregate, as they were recorded.

    With --json one CloudEvent a line. No --app is needed.

    Example: eventkit events permit-4028 --to 3
    """
    with session_of(context).open_existing_store() as store:
        if not store.plain_events_of(aggregate_id, to_version=1, as_of=as_of):
            raise AggregateNotFound(
                aggregate_id,
                "has no events" if as_of is None else f"had no events at {as_of.isoformat()}",
            )
        shown = store.plain_events_of(aggregate_id, from_version, to_version, as_of)
    if as_json:
        write_lines(map(write_cloudevent, shown))
    else:
        show_table(("version", "time", "type", "user", "data"), map(_row, shown))


def _row(event: PlainEvent) -> tuple[object, ...]:
    metadata = event.metadata
    return (
        event.version,
        None if metadata.timestamp is None else instant(metadata.timestamp),
        event.type,
        metadata.caused_by_user,
        compact(event.data),
    )
