"""`eventkit events`: what happened to one aggregate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer

from eventkit.cli.options import AggregateId, AsOf, Json
from eventkit.cli.output import compact, instant, show_table, write_lines
from eventkit.cli.session import BrowsableStore, Session, session_of
from eventkit.cloudevents import write_cloudevent
from eventkit.errors import AggregateNotFound, CodecError, EventTypeError
from eventkit.events import RecordedEvent
from eventkit.ids import category_of
from eventkit.store import EventFilter, PlainEvent


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
    session = session_of(context)
    with session.open_existing_store() as store:
        found = _events_of(session, store, aggregate_id, as_of)
    if not found:
        raise AggregateNotFound(
            aggregate_id,
            "has no events" if as_of is None else f"had no events at {as_of.isoformat()}",
        )
    last = found[-1].version if to_version is None else to_version
    shown = [event for event in found if from_version <= event.version <= last]
    if as_json:
        write_lines(map(write_cloudevent, shown))
    else:
        show_table(("version", "time", "type", "user", "data"), map(_row, shown))


def _events_of(
    session: Session, store: BrowsableStore, aggregate_id: str, as_of: datetime | None
) -> list[PlainEvent]:
    """Read by class where the app has them all, which is fast; else by looking through the log."""
    if session.app_name is not None:
        with suppress(EventTypeError, CodecError):
            return [_plain(recorded) for recorded in store.get_events(aggregate_id, as_of=as_of)]
    return list(_looked_up(store, aggregate_id, as_of))


def _plain(recorded: RecordedEvent) -> PlainEvent:
    return PlainEvent(
        recorded.event_id,
        recorded.aggregate_id,
        recorded.version,
        recorded.type,
        recorded.event.model_dump(),
        recorded.metadata,
        recorded.position,
    )


def _looked_up(
    store: BrowsableStore, aggregate_id: str, as_of: datetime | None
) -> Iterator[PlainEvent]:
    wanted = EventFilter(categories=(category_of(aggregate_id),))
    for event in store.plain_events(wanted):
        if event.aggregate_id == aggregate_id:
            moment = event.metadata.timestamp
            if as_of is not None and moment is not None and moment > as_of:
                return
            yield event


def _row(event: PlainEvent) -> tuple[object, ...]:
    metadata = event.metadata
    return (
        event.version,
        None if metadata.timestamp is None else instant(metadata.timestamp),
        event.type,
        metadata.caused_by_user,
        compact(event.data),
    )
