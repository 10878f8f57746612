"""Signals end work between two steps."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from eventkit.cli.following import Stopping
from eventkit.cli.interrupts import Interrupts, ending_silently


def test_a_signal_waits_for_the_next_place_where_it_is_allowed() -> None:
    interrupts = Interrupts()
    with interrupts.noted():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_a_signal_ends_a_wait_at_once() -> None:
    def endless() -> Iterator[str]:
        yield "first"
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on waiting")

    interrupts = Interrupts()
    with interrupts.noted():
        items = interrupts.each(endless())
        assert next(items) == "first"
        with pytest.raises(KeyboardInterrupt):
            next(items)


def test_no_item_is_taken_after_a_signal() -> None:
    interrupts = Interrupts()
    left = iter("abc")
    with interrupts.noted():
        items = interrupts.each(left)
        next(items)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            next(items)
    assert list(left) == ["b", "c"]


def test_without_a_signal_all_items_come() -> None:
    assert list(Interrupts().each(iter("abc"))) == ["a", "b", "c"]


def test_a_second_signal_does_not_wait() -> None:
    interrupts = Interrupts()
    with interrupts.noted():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """Ctrl-C as Python handles it, also where the tests run in the background, which ignores it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("as_in_a_terminal")
def test_ctrl_c_among_imports_waits_for_their_end() -> None:
    done: list[str] = []

    def imports() -> None:
        with ending_silently():
            signal.raise_signal(signal.SIGINT)
            done.append("all")

    with pytest.raises(SystemExit) as caught:
        imports()
    assert (done, caught.value.code) == (["all"], 130)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("as_in_a_terminal")
def test_an_import_that_fails_says_so_whatever_signals_came() -> None:
    def imports() -> None:
        with ending_silently():
            signal.raise_signal(signal.SIGINT)
            raise ImportError

    with pytest.raises(ImportError):
        imports()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_somebody_else_does_about_ctrl_c_stays() -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ending_silently():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)


def test_imports_in_another_thread_leave_signals_alone() -> None:
    def imports() -> object:
        with ending_silently():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(imports).result() is signal.getsignal(signal.SIGINT)


def test_the_former_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts().noted():
        pass
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_ends_those_who_follow_and_those_who_would_follow_next() -> None:
    stopping = Stopping()
    with stopping.noted():
        first = stopping.next_round()
        signal.raise_signal(signal.SIGTERM)
        assert first.is_set()
        assert stopping.next_round().is_set()


def test_a_round_that_ended_itself_says_nothing_about_the_next() -> None:
    stopping = Stopping()
    with stopping.noted():
        stopping.next_round().set()
        assert not stopping.next_round().is_set()
        signal.raise_signal(signal.SIGINT)
        assert stopping.next_round().is_set()


def test_a_signal_before_the_first_round_ends_its_preparation() -> None:
    with Stopping().noted(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
