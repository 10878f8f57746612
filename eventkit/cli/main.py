"""All commands, and the options that stand before them."""

from __future__ import annotations

import sys
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from eventkit.cli import (
    dead_letters,
    doctor,
    events,
    importing,
    projections,
    replay,
    schemas,
    state,
    topics,
    verify,
)
from eventkit.cli.demo import demo
from eventkit.cli.failures import EXIT_CODES, Commands
from eventkit.cli.options import READ_MODELS_VARIABLE, parse_file
from eventkit.cli.output import OUT, say
from eventkit.cli.session import Session, session_of
from eventkit.cli.urls import parse_read_models_url, parse_store_url

DEFAULT_STORE = "sqlite:///events.db"

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it
    if asked:
        say(f"eventkit {version('eventkit-kafka')}")
        raise typer.Exit


@app.callback()
def begin(
    context: typer.Context,
    app_name: Annotated[
        str | None,
        typer.Option(
            "--app",
            metavar="MODULE",
            envvar="EVENTKIT_APP",
            help="Python module with your event, aggregate and projection classes.",
        ),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            parser=parse_store_url,
            metavar="URL",
            envvar="EVENTKIT_STORE",
            show_envvar=True,
            help="Where the events are.",
        ),
    ] = DEFAULT_STORE,
    read_models: Annotated[
        str | None,
        typer.Option(
            parser=parse_read_models_url,
            metavar="URL",
            envvar=READ_MODELS_VARIABLE,
            help="Where the read models are; STORE-read-models.db beside the store unless given, "
            "HOST-PORT-read-models.db here for a store on Kafka.",
        ),
    ] = None,
    _version: Annotated[
        bool | None,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = None,
) -> None:
    """Event sourcing: an append-only event store, aggregates, read models.

    The options of this level stand before the command:

    eventkit --app projections.permits --store sqlite:///permits.db import permits.jsonl
    """
    context.obj = Session(app_name or None, store, read_models or None)


app.command("import")(importing.import_file)
app.command("events")(events.show_events)
app.command("state")(state.show_state)
app.command("replay")(replay.replay_events)
app.command("verify")(verify.verify)
app.command("doctor")(doctor.doctor)
app.add_typer(projections.commands, name="projection")
app.add_typer(dead_letters.commands, name="dead-letters")
app.add_typer(schemas.commands, name="schemas")
app.add_typer(topics.commands, name="topics")


DEMO_STORE = "sqlite:///eventkit-demo.db"
"""Where the example goes: a made-up log must not get into a store that is in use."""


@app.command("demo")
def show_demo(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(parser=parse_file, metavar="FILE", help="A log, as for import."),
    ] = None,
) -> None:
    """Show on one screen what event sourcing is, with your own log and classes or an example.

    It imports the log, computes the state of an aggregate from its events, goes back in time, and
    builds the read models twice. With an --app and no FILE it shows what is in the store.

    Example: eventkit --app projections.permits demo permits.jsonl
    """
    session = session_of(context)
    known = None if session.app_name is None else session.app
    if known is None and session.store_url == DEFAULT_STORE:
        session.store_url = DEMO_STORE
    demo(known, session.store_url, session.read_models_url, file, OUT)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that cannot show all characters
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="eventkit")
