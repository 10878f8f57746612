"""Threads that cannot be started, as in a container at its limit."""

import threading

import pytest


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have the next threads of these names refused, one for each time that a name is given."""
    left = [*names]
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name in left:
            left.remove(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
