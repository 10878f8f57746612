"""Read your write: wait until a projection has come to a position."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from eventkit.errors import ProjectionBehind
from eventkit.events import Position
from eventkit.projection.builds import find_build
from eventkit.projection.checkpoints import Checkpoints, effect_checkpoints
from eventkit.projection.partition import Partition

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.02
"""Seconds between two looks: a follower is there within milliseconds, or it is behind."""
_AGAIN = 0.25
"""Seconds after which it is asked again which build is the one to wait for."""


class Waiting:
    """Looks how far one projection is.

    Parameters:
        exists: whether there is a database.
        connect: makes a connection that reads.
        name: of the projection.
        version: of the code; None for what readers read.
    """

    def __init__(
        self,
        exists: Callable[[], bool],
        connect: Callable[[], AbstractContextManager[Connection]],
        name: str,
        version: int | None,
    ) -> None:
        self._exists = exists
        self._connect = connect
        self._name = name
        self._version = version
        self._checkpoints: Checkpoints | None = None
        self._found_at = 0.0

    def until(self, position: Position, timeout: float) -> None:
        """Return when the event at a position is handled; see `ReadModels.wait`."""
        deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
        partition = Partition(position.topic, position.partition)
        while True:
            offset = self._look(partition)
            if offset is not None and offset >= position.offset:
                # Since this build was found, a switch may have given readers another one.
                offset = self._look(partition, again=True)
                if offset is not None and offset >= position.offset:
                    return
            left = deadline - time.monotonic()
            if left <= 0:
                raise ProjectionBehind(self._name, str(position), timeout, offset)
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    def _look(self, partition: Partition, *, again: bool = False) -> int | None:
        if not self._exists():
            return None
        with self._connect() as connection:
            now = time.monotonic()
            if self._checkpoints is None or again or now - self._found_at > _AGAIN:
                build = find_build(connection, self._name, self._version)
                if build is None:
                    self._checkpoints = None
                    return None
                self._checkpoints = Checkpoints(self._name, build.version, build.number)
                if not build.tables:  # then it has effects alone
                    self._checkpoints = effect_checkpoints(self._name)
                self._found_at = now
            found = self._checkpoints.read(connection).get(partition)
        return None if found is None else found.offset
