"""Appends of many tasks, handed to the store by one thread."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from time import monotonic
from typing import Protocol, cast

from eventkit.aio.mailbox import Mailbox
from eventkit.errors import EventkitError, StoreBusy, StoreClosed
from eventkit.store import Append, Appended, EventStore

MOST_WAITING = 50_000
"""Appends that may wait for their turn; more are refused."""
_MOST_BEGUN = 10_000
"""Appends the store has at once; it refuses more than twice as many."""
_MOST_APPENDS = 2_000
_MOST_EVENTS = 5_000
"""In one go, unless a single append has more."""
_PATIENCE = 30.0
"""Seconds that an append may wait for its turn."""


class AppendsSoon(Protocol):
    """A store that takes an append and tells later what came of it."""

    def append_soon(self, asked: Append, done: Callable[[Appended | EventkitError], None]) -> None:
        """Take an append; `done` is called once, from a thread of the store.

        Raises what `append` would have raised before it waits; then `done` is not called.
        """


class _Entry:
    """One append of one task."""

    __slots__ = ("asked", "future", "mailbox", "since")

    def __init__(self, asked: Append, mailbox: Mailbox) -> None:
        self.asked = asked
        self.mailbox = mailbox
        self.future: asyncio.Future[Appended] = mailbox.loop.create_future()
        self.since = monotonic()


class Appender:
    """Takes appends from the tasks of any loop, and has them written in the order they came.

    The order of events: a task leaves its append and waits. The thread takes all that is there. A
    store that tells later (`AppendsSoon`) gets them one by one and the thread goes on; any other
    writes them in one commit (`append_each`) while new ones gather. Each outcome goes to the
    mailbox of its loop.

    A task that is cancelled takes its append back, unless the thread has it: then it may take
    effect, and nobody is told.

    Parameters:
        store: where they are written.
        max_waiting: appends that may wait; more are refused.
        patience: seconds that an append may wait for its turn.
    """

    def __init__(
        self, store: EventStore, *, max_waiting: int = MOST_WAITING, patience: float = _PATIENCE
    ) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._patience = patience
        self._mutex = threading.Lock()
        self._waiting: OrderedDict[_Entry, None] = OrderedDict()
        self._begun = 0
        self._closed = False
        self._asleep = False
        self._bell = threading.Lock()
        self._bell.acquire()
        self._write = self._begin_each if hasattr(store, "append_soon") else self._write_all
        self._thread = threading.Thread(target=self._run, name="eventkit appends", daemon=True)
        self._thread.start()

    async def append(self, asked: Append, mailbox: Mailbox) -> Appended:
        """Have an append written, and return what came of it.

        Raises:
            StoreBusy: too many wait, or its turn did not come in time; it was not begun.
            StoreClosed: it was closed before.
        """
        entry = _Entry(asked, mailbox)
        with self._mutex:
            if self._closed:
                raise StoreClosed("the event store")
            if len(self._waiting) >= self._max_waiting:
                raise StoreBusy(f"{self._max_waiting:,} appends wait already; try again later.")
            self._waiting[entry] = None
            self._wake()
        try:
            return await entry.future
        except asyncio.CancelledError:
            with self._mutex:
                self._waiting.pop(entry, None)
            raise

    def close(self) -> None:
        """Refuse new appends and return when the store has all that were accepted."""
        with self._mutex:
            self._closed = True
            self._wake()
        self._thread.join()

    def _wake(self) -> None:
        """Wake the thread; the mutex is held."""
        if self._asleep:
            self._asleep = False
            self._bell.release()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            early = monotonic() - self._patience
            late = [entry for entry in taken if entry.since < early]
            for entry in late:
                self._tell(entry, self._given_up())
            some = [entry for entry in taken if entry.since >= early] if late else taken
            if some:
                self._write(some)

    def _take(self) -> list[_Entry] | None:
        """What goes to the store next; None when it is closed and nothing waits."""
        while True:
            with self._mutex:
                if self._waiting and self._begun < _MOST_BEGUN:
                    return self._pick()
                if self._closed and not self._waiting:
                    return None
                self._asleep = True
            self._bell.acquire()

    def _pick(self) -> list[_Entry]:
        most = min(_MOST_APPENDS, _MOST_BEGUN - self._begun)
        picked: list[_Entry] = []
        events = 0
        while self._waiting and len(picked) < most:
            entry = next(iter(self._waiting))
            if entry.future.cancelled():
                del self._waiting[entry]
                continue
            events += len(entry.asked.events)
            if events > _MOST_EVENTS and picked:
                break
            del self._waiting[entry]
            picked.append(entry)
        self._begun += len(picked)
        return picked

    def _write_all(self, entries: Sequence[_Entry]) -> None:
        outcomes: Sequence[Appended | BaseException]
        try:
            outcomes = self._store.append_each([entry.asked for entry in entries])
        except BaseException as error:  # noqa: BLE001 - belongs to those who wait
            outcomes = [error] * len(entries)
        for entry, outcome in zip(entries, outcomes, strict=True):
            self._tell(entry, outcome)

    def _begin_each(self, entries: Sequence[_Entry]) -> None:
        append_soon = cast("AppendsSoon", self._store).append_soon
        for entry in entries:
            try:
                append_soon(entry.asked, partial(self._tell, entry))
            except BaseException as error:  # noqa: BLE001 - belongs to who waits
                self._tell(entry, error)

    def _tell(self, entry: _Entry, outcome: Appended | BaseException) -> None:
        if isinstance(outcome, BaseException):
            entry.mailbox.post(entry.future, None, _own(outcome))
        else:
            entry.mailbox.post(entry.future, outcome)
        with self._mutex:
            self._begun -= 1
            if self._waiting or self._closed:
                self._wake()

    def _given_up(self) -> StoreBusy:
        return StoreBusy(
            f"the append waited {self._patience:g} s for its turn and was given up; "
            "nothing was written. Try again later."
        )


def _own(error: BaseException) -> BaseException:
    """An error of one's own: tasks that raise the same one write into its traceback."""
    if not isinstance(error, EventkitError):
        return error
    own = copy(error)
    own.__cause__ = error.__cause__
    return own
