"""Ctrl-C and SIGTERM, so that they end work between two steps and not inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

_T = TypeVar("_T")
_INTERRUPTED = 130
"""What shells make of Ctrl-C, as exit code."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes the signals, and raises KeyboardInterrupt where the work allows it.

    A second signal raises it anywhere: who asks twice does not want to wait.
    """

    def __init__(self) -> None:
        self._asked = False
        self._waiting = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Handle the signals here for the length of a block."""
        with handling(self._note):
            yield

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came; call it where nothing is half done."""
        if self._asked:
            raise KeyboardInterrupt

    def each(self, items: Iterator[_T]) -> Iterator[_T]:
        """The items; a signal ends the wait for the next one at once, as nothing is half done."""
        while True:
            self._waiting = True
            self.check()
            item = next(items, None)
            self._waiting = False
            if item is None:
                return
            yield item

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._waiting or self._asked:
            raise KeyboardInterrupt
        self._asked = True


@contextmanager
def ending_silently() -> Iterator[None]:
    """End the process after a block in which Ctrl-C came, without a word.

    It is for imports: nothing is begun that could be told, and the modules of others, among them
    some in Rust, do not stand an exception at any place. Where Ctrl-C is ignored, or handled by
    somebody else, it stays so.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise SystemExit(_INTERRUPTED)


@contextmanager
def handling(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have a function of ours called on the signals, and the former handlers afterwards."""
    former = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handled in former.items():
            signal.signal(number, handled)
