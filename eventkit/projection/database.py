"""What a kind of database must offer to hold read models."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, Engine

from eventkit.errors import ReadModelError


class Database(Protocol):
    """A database of read models, of one kind.

    Attributes:
        writer: its connections write; each transaction sees what others committed before it.
        reader: its connections cannot write, and see one state for as long as they read.
        patience: seconds for which a batch is tried again after a failure that may pass.
    """

    writer: Engine
    reader: Engine
    patience: float

    @property
    def where(self) -> str:
        """What messages call it."""
        ...

    @property
    def url(self) -> str:
        """Its URL, without a password."""
        ...

    def exists(self) -> bool:
        """Whether any projection has run into it."""
        ...

    def translate(self, error: BaseException) -> ReadModelError | None:
        """Our error where the database is the cause, None where the statement is.

        Where `retryable`, nothing was written, or the answer to a commit was lost.
        """
        ...

    def lock_builds(self, connection: Connection) -> None:
        """Let no other transaction that asks for this go on before this one has ended."""
        ...
