"""`eventkit schemas`: the Avro contracts of the events, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from eventkit.cli.app import App
from eventkit.cli.failures import Exit
from eventkit.cli.output import complain, say
from eventkit.cli.session import session_of
from eventkit.codec import AvroCodec, AvroSchema, check_contracts, write_contracts
from eventkit.events import EventTypes, Metadata

commands = typer.Typer(
    no_args_is_help=True,
    help="Write the Avro contracts of the app's events as .avsc files, or check that they fit.",
)

Folder = Annotated[
    Path, typer.Option(file_okay=False, metavar="FOLDER", help="Where the contracts are.")
]
_DEFAULT = Path("schemas")


@commands.command("export")
def export(context: typer.Context, folder: Folder = _DEFAULT) -> None:
    """Write one .avsc file for each event class of the app, and for eventkit's own records.

    The folder is for contracts alone: an .avsc file of anything else in it is removed.

    Example: eventkit --app projections.permits schemas export
    """
    files = write_contracts(_schemas(session_of(context).app), folder)
    say(f"{len(files):,} contracts in {folder}")


@commands.command("check")
def check(context: typer.Context, folder: Folder = _DEFAULT) -> None:
    """See that the files are what export would write; exit code 1 where they are not.

    Example: eventkit --app projections.permits schemas check
    """
    schemas = _schemas(session_of(context).app)
    complaints = check_contracts(schemas, folder)
    for complaint in complaints:
        complain(f"{folder}: {complaint}", label="")
    if complaints:
        complain("write them with: eventkit schemas export, and look at what changed", label="")
        raise typer.Exit(Exit.DATA)
    say(f"{len(schemas):,} contracts in {folder} fit their classes")


def _schemas(app: App) -> list[AvroSchema]:
    codec = AvroCodec(EventTypes(), lambda _fingerprint: None)
    classes: tuple[type[BaseModel], ...] = (*app.events, Metadata)
    return [codec.schema_of(cls) for cls in classes]
