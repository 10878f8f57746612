"""Signals end work between two steps."""

import signal
from collections.abc import Iterator

import pytest

from eventkit.cli.interrupts import Interrupts


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


def test_the_former_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts().noted():
        pass
    assert signal.getsignal(signal.SIGTERM) == before
