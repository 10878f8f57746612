"""A temporary folder, which goes with the process that made it."""

from __future__ import annotations

import os
import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp


class TemporaryFolder:
    """A folder for as long as somebody has this, until `remove`, or until the process ends.

    A process made by `fork()` has it too, and may end first: it leaves the folder to its parent.
    That is why it is no `tempfile.TemporaryDirectory`, which is removed by whoever ends.
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="eventkit-"))
        self._remove = weakref.finalize(self, _remove, self.path, os.getpid())

    def remove(self) -> None:
        """Delete it with all that is in it, as far as that can be; again does nothing."""
        self._remove()


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
