"""`eventkit state`: what an aggregate is, computed from its events."""

from __future__ import annotations

from typing import Annotated

import typer

from eventkit.aggregate import Aggregate, state_of, undeclared_state
from eventkit.cli.options import AggregateId, AsOf, Json
from eventkit.cli.output import compact, complain, say, say_json, show_table
from eventkit.cli.session import session_of
from eventkit.ids import category_of
from eventkit.repository import Repository


def show_state(
    context: typer.Context,
    aggregate_id: AggregateId,
    version: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Go back to a version.")
    ] = None,
    as_of: AsOf = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the state of one aggregate, folded from its events: now, or at an earlier time.

    The app's aggregate class for the id's category does the folding.

    Example: eventkit --app projections.permits state permit-4028 --as-of 2010-11-01T12:00:00+01:00
    """
    if version is not None and as_of is not None:
        raise typer.BadParameter("--version and --as-of both say how far to go back; give one")
    session = session_of(context)
    cls = session.app.aggregate_of(category_of(aggregate_id))
    with session.open_existing_store() as store:
        aggregate = Repository(store, cls).get(aggregate_id, version=version, as_of=as_of)
    if as_json:
        say_json(
            {
                "aggregate_id": aggregate_id,
                "version": aggregate.version,
                "state": state_of(aggregate),
            }
        )
    else:
        _show(aggregate)
    hidden = undeclared_state(aggregate)
    if hidden:
        complain(
            f"not shown: {', '.join(sorted(hidden))}; state is what {cls.__name__} declares as "
            "fields with a type",
            label="",
        )


def _show(aggregate: Aggregate) -> None:
    say(f"{type(aggregate).__name__} {aggregate.aggregate_id}, version {aggregate.version}")
    rows = [(name, compact(value)) for name, value in state_of(aggregate).items()]
    show_table(("field", "value"), rows)
