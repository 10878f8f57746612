"""The `eventkit` command: puts the library together; nothing imports it."""

from eventkit.cli.main import main

__all__ = ["main"]
