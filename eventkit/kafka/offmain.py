"""Calls of confluent_kafka that no signal handler may interrupt: made off the main thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread, current_thread, main_thread
from typing import TypeVar

_R = TypeVar("_R")


def off_main(call: Callable[[], _R]) -> _R:
    """Make a call where no signal handler runs, and return or raise what comes of it.

    Python runs signal handlers in the main thread, also where C code asks for them, and
    confluent_kafka does so at places where it cannot pass on what a handler raises: while a client
    is made or let go of, and in a callback. A SystemExit or KeyboardInterrupt that is raised there
    comes out as an error of another kind, at the next call of something else, or not at all; then
    a process that was told to end goes on.

    The main thread waits where it can be interrupted. The call goes on then, for as long as its own
    time-out says, and its outcome is nobody's.
    """
    if current_thread() is not main_thread():
        return call()
    outcome: Future[_R] = Future()
    thread = Thread(target=_settle, args=(outcome, call), name="eventkit call", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads can be had: better now and then than never
        return call()
    return outcome.result()


def _settle(outcome: Future[_R], call: Callable[[], _R]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - told to who waits
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
