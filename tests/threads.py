"""Threads that cannot be started, as in a container at its limit."""

import threading

import pytest


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have the next threads refused whose names begin so, one for each time that it is given."""
    left = [*names]
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        found = next((it for it in left if thread.name.startswith(it)), None)
        if found is not None:
            left.remove(found)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
