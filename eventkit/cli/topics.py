"""`eventkit topics`: the Kafka topics of a category, made and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from eventkit.cli.failures import Exit
from eventkit.cli.kafka import topics_at
from eventkit.cli.options import Json
from eventkit.cli.output import say, say_json
from eventkit.cli.session import session_of

if TYPE_CHECKING:
    from eventkit.kafka.gate import Finding

commands = typer.Typer(
    no_args_is_help=True,
    help="Make the Kafka topics of a category, and check that no history can get lost in them.",
)


@commands.command("create")
def create(
    context: typer.Context,
    category: Annotated[
        str, typer.Argument(metavar="CATEGORY", help="Of the aggregates, such as task for task-42.")
    ],
    *,
    partitions: Annotated[
        int, typer.Option(min=1, help="How many; the number can never be changed.")
    ],
    replication: Annotated[
        int, typer.Option(min=1, help="Copies of each partition, each on a broker of its own.")
    ] = 3,
) -> None:
    """Make CATEGORY.events and CATEGORY.snapshots, with the settings that keep history.

    What is there already stays as it is.

    Example: eventkit --store kafka://localhost:9092 topics create task --partitions 12
    """
    topics = topics_at(session_of(context).store_url)
    made = topics.create(category, partitions, replication)
    say(f"made {', '.join(made)}" if made else "all topics are there already")
    _show(topics.check([category]))


@commands.command("check")
def check(
    context: typer.Context,
    categories: Annotated[
        list[str] | None,
        typer.Argument(metavar="CATEGORY", help="All that have topics unless given."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """See that no topic can lose or reorder history; exit code 3 where one can.

    Each finding says what may come of it, and gives the command that mends it.

    Example: eventkit --store kafka://localhost:9092 topics check
    """
    topics = topics_at(session_of(context).store_url)
    checked = list(categories or topics.categories())
    findings = topics.check(checked)
    if as_json:
        for finding in findings:
            say_json(finding._asdict())
    elif findings:
        _show(findings)
    else:
        say(f"safe: {', '.join(checked)}" if checked else "no category has topics here")
    if any(finding.severity == "refuse" for finding in findings):
        raise typer.Exit(Exit.STORE)


def _show(findings: Sequence[Finding]) -> None:
    """Findings, the command that mends one on a line of its own, to be copied."""
    for severity, topic, problem, fix in findings:
        say(f"{severity}: {topic}: {problem}")
        say(f"    {fix}")
