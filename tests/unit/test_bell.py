"""The bell wakes who waits, tells each change once, and ends with its thread."""

import threading
from collections.abc import Callable, Iterator

import pytest

from eventkit.bell import Bell
from tests.threads import refuse

SECONDS = 10.0


class Log:
    """Something that grows."""

    def __init__(self) -> None:
        self.length = 0
        self.failure: Exception | None = None
        self.looks = threading.Semaphore(0)

    def look(self) -> object:
        self.looks.release()
        if self.failure is not None:
            raise self.failure
        return self.length


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def bell(log: Log) -> Iterator[Bell]:
    bell = Bell(log.look, pause=0.001)
    yield bell
    bell.close()


def settled(bell: Bell) -> int:
    """Return the count once the thread has looked for the first time, which rings."""
    called = threading.Event()
    bell.listen(bell.count, called.set)
    assert called.wait(SECONDS)
    return bell.count


def test_a_change_calls_those_who_listen_once(bell: Bell, log: Log) -> None:
    called = threading.Semaphore(0)
    bell.listen(settled(bell), called.release)
    assert not called.acquire(timeout=0.02)
    log.length += 1
    assert called.acquire(timeout=SECONDS)
    log.length += 1
    assert not called.acquire(timeout=0.02)


def test_who_listens_too_late_is_called_at_once(bell: Bell) -> None:
    seen = bell.count
    bell.ring()
    called: list[bool] = []
    bell.listen(seen, lambda: called.append(True))
    assert called == [True]


def test_who_takes_it_back_is_not_called(bell: Bell) -> None:
    called: list[bool] = []
    bell.listen(settled(bell), lambda: called.append(True))()
    bell.ring()
    assert called == []


def test_a_change_wakes_who_waits(bell: Bell, log: Log) -> None:
    seen = settled(bell)
    thread = threading.Thread(target=bell.wait, args=(seen,))
    thread.start()
    log.length += 1
    thread.join(SECONDS)
    assert bell.count > seen


def test_an_error_rings_too(bell: Bell, log: Log) -> None:
    called = threading.Event()
    bell.listen(settled(bell), called.set)
    log.failure = OSError("gone")
    assert called.wait(SECONDS)


def test_nobody_looks_while_nobody_waits(bell: Bell, log: Log) -> None:
    settled(bell)
    while log.looks.acquire(timeout=0.05):  # one look may be on its way
        pass
    assert not log.looks.acquire(timeout=0.05)


def test_closing_wakes_all_and_ends_the_thread(bell: Bell) -> None:
    called = threading.Event()
    seen = settled(bell)
    bell.listen(seen, called.set)
    bell.close()
    assert called.is_set()
    bell.wait(bell.count)
    assert "eventkit bell" not in {it.name for it in threading.enumerate()}


def test_a_thread_that_cannot_be_started_is_tried_again(
    bell: Bell, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    refuse(monkeypatch, "eventkit bell", "eventkit bell")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        bell.wait(bell.count)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        bell.listen(bell.count, lambda: called.append("refused"))
    settled(bell)
    bell.ring()
    assert called == []
    assert log.looks.acquire(timeout=SECONDS)


def test_a_bell_whose_thread_could_not_be_started_closes(
    bell: Bell, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "eventkit bell")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        bell.wait(bell.count)
    bell.close()


def interrupt_once(bell: Bell, handler: Callable[[], object]) -> None:
    """Make a call in the middle of the next that has the bell's lock, as a signal handler would."""
    ask = bell._ask

    def interrupted() -> None:
        ask()
        bell._ask = ask  # type: ignore[method-assign]
        handler()

    bell._ask = interrupted  # type: ignore[method-assign]


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("handler", ["ring", "close"])
def test_a_signal_handler_rings_in_the_middle_of_a_wait(bell: Bell, handler: str) -> None:
    seen = settled(bell)
    interrupt_once(bell, getattr(bell, handler))
    bell.wait(seen)
    assert bell.count > seen
    bell.close()
    assert bell._thread is not None
    bell._thread.join(SECONDS)
    assert not bell._thread.is_alive()


@pytest.mark.timeout(SECONDS)
def test_who_begins_to_listen_while_a_signal_handler_rings_is_called(bell: Bell) -> None:
    seen = settled(bell)
    called: list[str] = []
    interrupt_once(bell, bell.ring)
    bell.listen(seen, lambda: called.append("once"))
    assert called == ["once"]
    bell.ring()
    assert called == ["once"]
