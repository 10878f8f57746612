"""The write lock: asked for evenly, so that everybody gets it, and not for ever."""

import sqlite3

import pytest

from eventkit.sqlite import writelock
from tests.sqlite.faults import failure

BUSY = sqlite3.SQLITE_BUSY | 1 << 8  # SQLITE_BUSY_RECOVERY


class Locked:
    """A connection whose write lock others hold for a while."""

    def __init__(self, tries: int, code: int = BUSY) -> None:
        self.tries = tries
        self.code = code

    def execute(self, sql: str) -> None:
        assert sql == "BEGIN IMMEDIATE"
        self.tries -= 1
        if self.tries >= 0:
            raise failure(self.code)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the pauses; time passes by them alone."""
    made: list[float] = []
    monkeypatch.setattr(writelock, "sleep", made.append)
    monkeypatch.setattr(writelock, "monotonic", lambda: 1_000 + sum(made))
    return made


def begin(connection: Locked, timeout: float) -> None:
    writelock.begin(connection, timeout=timeout)  # type: ignore[arg-type]


def test_a_free_lock_is_taken_at_once(pauses: list[float]) -> None:
    begin(Locked(0), timeout=0)
    assert pauses == []


def test_who_waits_looks_as_often_as_who_just_came(pauses: list[float]) -> None:
    begin(Locked(2_000), timeout=10)
    assert set(pauses) == {0.0002}


def test_who_waits_for_long_looks_less_often(pauses: list[float]) -> None:
    begin(Locked(8_000), timeout=10)
    assert (min(pauses), max(pauses), len(pauses)) == (0.0002, 0.001, 8_000)
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("timeout", [0, 0.1, 2.5])
def test_a_lock_that_does_not_come_free_is_given_up_in_time(
    pauses: list[float], timeout: float
) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        begin(Locked(1_000_000), timeout=timeout)
    assert caught.value.sqlite_errorcode == BUSY
    assert timeout <= sum(pauses) <= timeout + 0.001


def test_another_error_is_raised_at_once(pauses: list[float]) -> None:
    with pytest.raises(sqlite3.OperationalError):
        begin(Locked(1, sqlite3.SQLITE_FULL), timeout=10)
    assert pauses == []
