"""Calls that interrupt another one of their thread; a plain call stands for the signal handler."""

import threading

import pytest

from eventkit.errors import ReentrantCall
from eventkit.reentry import Calls


@pytest.fixture
def calls() -> Calls:
    return Calls("the event store x")


def test_a_call_gives_its_result_or_its_error(calls: Calls) -> None:
    assert calls.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        calls.run(lambda: 1 // 0)
    assert calls.run(lambda: 8) == 8


def test_a_call_within_another_of_its_thread_is_refused(calls: Calls) -> None:
    made: list[str] = []

    def outer() -> None:
        with pytest.raises(ReentrantCall, match=r"^the event store x was called"):
            calls.run(lambda: made.append("inner"))
        made.append("outer")

    calls.run(outer)
    assert made == ["outer"]
    calls.run(lambda: made.append("later"))
    assert made == ["outer", "later"]


def test_another_thread_is_not_refused(calls: Calls) -> None:
    made: list[str] = []

    def outer() -> None:
        thread = threading.Thread(target=calls.run, args=(lambda: made.append("other"),))
        thread.start()
        thread.join()

    calls.run(outer)
    assert made == ["other"]


def test_a_call_is_left_to_the_one_that_it_interrupts(calls: Calls) -> None:
    made: list[str] = []

    def outer() -> int:
        calls.run_or_leave(lambda: made.append("close"))
        made.append("outer")
        return 7

    assert calls.run(outer) == 7
    assert made == ["outer", "close"]
    calls.run_or_leave(lambda: made.append("at once"))
    assert made == ["outer", "close", "at once"]


def test_what_was_left_is_done_also_where_the_handler_ends_the_call(calls: Calls) -> None:
    made: list[str] = []

    def outer() -> None:
        calls.run_or_leave(lambda: made.append("close"))
        raise SystemExit

    with pytest.raises(SystemExit):
        calls.run(outer)
    assert made == ["close"]
