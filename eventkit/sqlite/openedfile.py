"""That the file of a store stays the one it was opened with: appends to a lost one are lost."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from time import monotonic

from eventkit.errors import StoreUnavailable
from eventkit.sqlite.failures import translated
from eventkit.sqlite.filenumber import FileNumber, connect_to_same, number_at
from eventkit.sqlite.schema import connect_file

_BETWEEN_LOOKS = 0.1
"""Seconds for which one look answers those who read, or are about to write: it costs a call."""


class OpenedFile:
    """The file that a store was opened with, by its number, for a name may come to lead elsewhere.

    A file that is moved, deleted or replaced stays open here. Without looking, the order of events
    could be: the file is moved; an append is written into what is open, and acknowledged; another
    process opens the name and makes a new file. SQLite finds the write-ahead log of the old one
    beside it, which fits nothing, and deletes it: with it, all that was not copied into the moved
    file is gone, also from before the move. So:

    1. Who writes looks after COMMIT: what was written while the name led elsewhere is in doubt. A
       look before refuses it, unless there was one just now.
    2. A connection counts only if the name led to the file before it was opened and after its first
       question, by which SQLite opens the write-ahead log, again by name. None but the first makes
       a file.
    3. No new file is made beside a write-ahead log: the file that it belongs to was moved.

    Once lost it stays lost, whatever is put back: nobody knows what happened in between.

    Used by any thread.

    Parameters:
        path: of the file, absolute.
        where: what messages call it.
        timeout: seconds to wait for locks of SQLite.
    """

    def __init__(self, path: Path, where: str, timeout: float) -> None:
        self._path = path
        self._where = where
        self._timeout = timeout
        self._number: FileNumber | None = None
        self._next_look = 0.0
        self._is_lost = False

    def create(self) -> sqlite3.Connection:
        """The first connection, which makes the file where there is none; see `settle`.

        Raises:
            StoreError: it cannot be opened.
        """
        log = Path(f"{self._path}-wal")
        # In this order: whoever makes a store makes its file before the log.
        if _is_there(log) and not _is_there(self._path):
            raise StoreUnavailable(
                f"there is no file {self._where}, but {log.name} stands beside it, which may hold "
                "the newest events of one that was moved or deleted. Put that file back, or delete "
                f"{log.name} to begin a new store without them."
            )
        self._number = self._look()
        return self._connect(create=True)

    def settle(self) -> None:
        """From now on it is the file of the first connection, which has asked its first question.

        Raises:
            StoreUnavailable: another one took its place meanwhile.
        """
        if self._number is None:
            self._number = self._look()
        self.check_now()

    def connect(self) -> sqlite3.Connection:
        """One more connection to the file.

        Raises:
            StoreUnavailable: the file is not there any more.
            StoreError: it cannot be opened.
        """
        return connect_to_same(self._connect, self.check_now, self._where)

    def check(self) -> None:
        """See that the file is in its place, as the last look told or a new one does.

        Raises:
            StoreUnavailable: it is not, or another one is.
        """
        if self._is_lost or monotonic() >= self._next_look:
            self.check_now()

    def check_now(self) -> None:
        """As `check`, by a look that is made now.

        Raises:
            StoreUnavailable: it is not, or another one is.
        """
        if self.is_lost():
            raise StoreUnavailable(
                f"{self._where} was moved, deleted or replaced while this store used it, which "
                "takes nothing more. Put the file back beside its -wal file before anything else "
                "opens it under this name, or restore it from a backup; then open the store again."
            )

    def is_lost(self) -> bool:
        """Whether the file is not in its place, by a look that is made now."""
        found = self._look()
        if found is None or found != self._number:
            self._is_lost = True
        self._next_look = monotonic() + _BETWEEN_LOOKS
        return self._is_lost

    @property
    def loss(self) -> str:
        """Why what was written into a lost file is in doubt."""
        return (
            f"{self._where} was moved, deleted or replaced meanwhile; put it back and open the "
            "store again"
        )

    def _look(self) -> FileNumber | None:
        return number_at(self._path, self._number)

    def _connect(self, *, create: bool = False) -> sqlite3.Connection:
        with translated(self._where):
            return connect_file(self._path, timeout=self._timeout, create=create)


def _is_there(path: Path) -> bool:
    with suppress(OSError):  # such as a name that is too long; opening the file tells
        return path.exists()
    return False
