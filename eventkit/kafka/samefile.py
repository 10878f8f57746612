"""That the file of an index stays the one that a store was opened with."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from eventkit.errors import StoreError, StoreUnavailable
from eventkit.kafka.indexfile import connect_index
from eventkit.sqlite.filenumber import FileNumber, connect_to_same, number_at


class SameFile:
    """The file of an index that a store was opened with; another one of that name is never read.

    SQLite opens files by their names. Where one is deleted, or another one takes its place, the
    connections of before read the old one and the next would read the other: two states in one
    store, and the second knows less than was told. So:

    1. The file is held by a connection until the end: no other file gets its number meanwhile.
    2. A new connection counts only if the name led to that file both before it was opened and after
       its first question. That question opens the log of SQLite (`-wal`), again by name; whoever
       deletes an index deletes the file before its `-wal`.
    3. Who follows or watches looks at the name all the time (`check`), so that all are told soon.

    Used by any thread once it is held.

    Parameters:
        path: of the index.
        timeout: seconds to wait for locks of SQLite.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._where = path
        self._path = path.absolute()  # the process may change its folder
        self._timeout = timeout
        self._held: sqlite3.Connection | None = None
        self._number: FileNumber | None = None
        self.is_lost = False

    def hold(self) -> sqlite3.Connection | None:
        """Begin with the file that is there now; None where there is none, or it is replaced.

        The connection stays open until `close`, or until `hold` is called again.

        Raises:
            StoreError: it cannot be opened.
        """
        self.close()
        self._number, self.is_lost = number_at(self._path, self._number), False
        if self._number is None:
            return None
        try:
            self._held = self.connect()
        except StoreError:
            if self.is_lost:
                return None
            raise
        return self._held

    def connect(self) -> sqlite3.Connection:
        """One more connection to the file.

        Raises:
            StoreUnavailable: the file is not there any more.
            StoreError: it cannot be opened.
        """
        return connect_to_same(
            lambda: connect_index(self._path, timeout=self._timeout), self.check, str(self._where)
        )

    def check(self) -> None:
        """Look whether the file is still there.

        Raises:
            StoreUnavailable: it is not, or another one is.
        """
        self.is_lost = self.is_lost or number_at(self._path, self._number) != self._number
        self.check_known()

    def check_known(self) -> None:
        """As `check`, by what the last look told; costs nothing.

        Raises:
            StoreUnavailable: the file was not there.
        """
        if self.is_lost:
            raise StoreUnavailable(
                f"the index {self._where}, or its lock file, was deleted or replaced while this "
                "store used it. Close the store and open it again; all that was acknowledged is in "
                "Kafka."
            )

    def close(self) -> None:
        """Let go of the file."""
        if self._held is not None:
            self._held.close()
            self._held = None
