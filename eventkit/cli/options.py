"""Options that several commands share."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from eventkit.cloudevents import moment_of
from eventkit.errors import InvalidInput

READ_MODELS_VARIABLE = "EVENTKIT_READ_MODELS"
"""Says in the environment what --read-models says: the place for a URL with a password."""


def parse_moment(text: str) -> datetime:
    """A time given on the command line."""
    try:
        return moment_of(text)
    except InvalidInput as error:
        raise typer.BadParameter(str(error)) from error


def parse_text(text: str) -> str:
    """Text given on the command line that is looked up or kept: it must be text."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise typer.BadParameter(f"{text!r} is no UTF-8 text") from error
    return text


def parse_file(text: str) -> Path:
    """A file to read that is given on the command line."""
    path = Path(text)
    if not path.exists():
        raise typer.BadParameter(f"{text!r} does not exist")
    if path.is_dir():
        raise typer.BadParameter(f"{text!r} is a folder")
    if not os.access(path, os.R_OK):
        raise typer.BadParameter(f"{text!r} may not be read by this user")
    return path


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
AggregateId = Annotated[
    str, typer.Argument(metavar="AGGREGATE_ID", help="category-id, for example permit-4028.")
]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        parser=parse_moment,
        metavar="TIME",
        help="Go back to a moment, for example 2010-12-24T18:00:00+01:00.",
    ),
]
