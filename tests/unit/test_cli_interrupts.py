"""Signals end work between two steps."""

import signal

import pytest

from eventkit.cli.interrupts import Interrupts


def test_a_signal_waits_for_the_next_place_where_it_is_allowed() -> None:
    interrupts = Interrupts()
    with interrupts.noted():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


def test_a_signal_ends_a_wait_at_once() -> None:
    interrupts = Interrupts()
    with interrupts.noted(), pytest.raises(KeyboardInterrupt), interrupts.allowed():
        signal.raise_signal(signal.SIGINT)


def test_a_wait_is_not_begun_after_a_signal() -> None:
    interrupts = Interrupts()
    with interrupts.noted():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            pytest.fail("it was begun")


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
