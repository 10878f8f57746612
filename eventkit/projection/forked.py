"""Connections after `fork()`: a child leaves those of its parent alone and makes its own."""

from __future__ import annotations

import os
from weakref import WeakSet

from sqlalchemy import Engine, Pool

_engines: WeakSet[Engine] = WeakSet()

# Kept as they are for as long as the child lives: to close what the parent uses is no child's call.
_left: list[Pool] = []


def leave_to_parent(engine: Engine) -> None:
    """Have a process that is forked from this one use none of its connections."""
    _engines.add(engine)


def _leave() -> None:
    for engine in list(_engines):
        _left.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave)
