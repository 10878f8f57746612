"""Files that a process inherited open by `fork()`: SQLite must not open them there once more."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from eventkit.errors import StoreUnavailable
from eventkit.sqlite.filenumber import FileNumber, number_at

_inherited: set[FileNumber] = set()

ADVICE = (
    "was open in the process that this one was forked from, and SQLite loses what is written to a "
    "file that is opened here again. Close it before the fork and open it in each process, or "
    "start processes by 'spawn' or 'forkserver' of multiprocessing."
)


def is_inherited(path: Path) -> bool:
    """Whether the parent of this process had the file open at the fork.

    SQLite keeps in memory which locks a process has on a file, once for all its connections, while
    the locks themselves do not pass to a child: sqlite.org/howtocorrupt.html, section 2.6. Without
    this look, also with a new connection:

    1. the child opens the file; the inherited notes say that the process has the locks of a reader,
       so none are asked for;
    2. the parent closes its last connection, and finds nobody else: it copies the write-ahead log
       into the file and deletes it;
    3. the child goes on in the deleted one. All that it is told is written is gone with it.

    It stays so for as long as the child lives: a daemon closes the descriptors that it inherited,
    and SQLite's notes, which go by the number of the file, know nothing of it.
    """
    return bool(_inherited) and number_at(path, None) in _inherited


def refuse_inherited(path: Path) -> None:
    """See that a file was not inherited.

    Raises:
        StoreUnavailable: it was, see `is_inherited`; says how to go on.
    """
    if is_inherited(path):
        raise StoreUnavailable(f"{path} {ADVICE}")


def _note_inherited() -> None:
    with suppress(OSError):
        for path in Path("/dev/fd").iterdir():
            with suppress(OSError):
                found = os.fstat(int(path.name))
                if stat.S_ISREG(found.st_mode):
                    _inherited.add((found.st_dev, found.st_ino))


os.register_at_fork(after_in_child=_note_inherited)
