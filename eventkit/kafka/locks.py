"""The lock beside an index that says which store of this host follows the log into it."""

from __future__ import annotations

import fcntl
import os
import stat
import weakref
from contextlib import suppress
from pathlib import Path
from time import monotonic, time

from eventkit.errors import StoreUnavailable

_BEAT = 0.25  # seconds

_held: weakref.WeakSet[FollowerLock] = weakref.WeakSet()


class FollowerLock:
    """Held by at most one store; the death of its process releases it at once.

    A lock of the open file (`flock`), so that two stores of one process exclude each other as well.
    A process made by `fork()` shares the open file, which would keep the lock of a dead parent: the
    child closes its copy.

    Parameters:
        path: of the index.

    Raises:
        StoreUnavailable: the lock file cannot be made, or somebody else may have laid out the
            files that are there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute().with_name(path.name + ".lock")
        try:
            _check_place(path, self.path)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreUnavailable(
                f"{self.path} cannot be made: {error.strerror}. Does its folder exist, and may "
                "this user write there?"
            ) from error
        self._next_beat = 0.0
        _held.add(self)

    def take(self) -> bool:
        """Take the lock if it is free."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def beat(self) -> None:
        """Say that this store follows, is alive, and is not frozen."""
        now = monotonic()
        if now >= self._next_beat:
            self._next_beat = now + _BEAT
            os.utime(self._file)

    def silence(self) -> float:
        """Seconds since the last beat of whoever follows."""
        return time() - os.fstat(self._file).st_mtime

    def is_in_place(self) -> bool:
        """Whether the lock file is still there: who finds none makes another, and takes that."""
        try:
            found = self.path.stat()
        except OSError as error:
            return not isinstance(error, (FileNotFoundError, NotADirectoryError))
        return os.path.samestat(os.fstat(self._file), found)

    def release(self) -> None:
        """Let others have it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let others have it, for good."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _check_place(*files: Path) -> None:
    """Refuse links and files of others in a folder where everybody may write, such as /tmp.

    A link would have us write elsewhere; an index that another user made says what he likes.
    """
    if not files[0].parent.stat().st_mode & stat.S_IWOTH:
        return
    for file in files:
        with suppress(FileNotFoundError):
            found = file.lstat()
            if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
                raise StoreUnavailable(
                    f"{file} is a link, or belongs to another user, in a folder where everybody "
                    "may write. Choose a folder for the index where only you may."
                )


def _close_all() -> None:
    for lock in list(_held):
        lock.close()


os.register_at_fork(after_in_child=_close_all)
