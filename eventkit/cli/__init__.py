"""The `eventkit` command: puts the library together; nothing imports it."""

from eventkit.cli.interrupts import ending_silently

with ending_silently():  # this takes longest of what a short command does
    from eventkit.cli.main import main

__all__ = ["main"]
