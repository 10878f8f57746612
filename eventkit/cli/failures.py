"""Failures at the command line: one red line, and an exit code that tells the kind."""

from __future__ import annotations

import os
import sys
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from eventkit.cli.output import complain
from eventkit.cli.user_code import told_by_user_code, user_frames
from eventkit.errors import EventkitError, InvalidInput, ReadModelError, StoreError


class Exit(IntEnum):
    """Exit codes."""

    DATA = 1
    USAGE = 2
    STORE = 3
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 all went well; 1 something is wrong with the data (a rejected line, an unknown "
    "aggregate, a class that cannot read an event, contracts that differ); 2 wrong usage; 3 the "
    "event store, the read models or a file cannot be used; 130 interrupted."
)


class Commands(TyperGroup):
    """The commands; a user's mistake ends them with a message, never with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EventkitError as error:
            complain("\n".join([str(error), *_told_by_cause(error)]))
            raise typer.Exit(_exit_code(error)) from error
        except KeyboardInterrupt as error:
            complain("interrupted", label="")
            raise typer.Exit(Exit.INTERRUPTED) from error
        except BrokenPipeError as error:  # the reader of our output, such as `head`, has enough
            _discard_output()
            raise typer.Exit from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            complain(f"{where}{error.strerror or error}")
            raise typer.Exit(Exit.STORE) from error
        except Exception as error:
            if not user_frames(error):
                raise  # a fault of ours: the traceback is what helps
            complain("\n".join(["your code failed:", *told_by_user_code(error)]))
            raise typer.Exit(Exit.DATA) from error


def _exit_code(error: EventkitError) -> Exit:
    if isinstance(error, InvalidInput):
        return Exit.USAGE
    if isinstance(error, StoreError | ReadModelError):
        return Exit.STORE
    return Exit.DATA


def _told_by_cause(error: EventkitError) -> list[str]:
    """Where in the user's code the cause is, unless the message says it."""
    cause = error.__cause__
    if cause is None or isinstance(error, InvalidInput) or not user_frames(cause):
        return []
    return told_by_user_code(cause)


def _discard_output() -> None:
    """Let what is still to be flushed go nowhere, so that the interpreter does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
