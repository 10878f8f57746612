"""Whether a command that is done parked events: scripts are to learn of it by the exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import typer

from eventkit.cli.failures import Exit
from eventkit.cli.output import complain
from eventkit.projection import Projection, ReadModels
from eventkit.projection.dead_letters_table import count_parked_since


@contextmanager
def parking_told(url: str, projections: Sequence[Projection]) -> Iterator[None]:
    """Have a block that parked events end the command, once it is done, with the code of bad data.

    Parameters:
        url: of the read models.
        projections: that the block runs.
    """
    began = datetime.now(UTC)
    yield
    names = [projection.name for projection in projections]
    with ReadModels(url) as models:
        if not models.exists():
            return
        with models.connect() as connection:
            parked = count_parked_since(connection, names, began)
    if parked:
        complain(
            f"{parked:,} event(s) were parked; the read models lack them. See: eventkit "
            "dead-letters list",
            label="",
        )
        raise typer.Exit(Exit.DATA)
