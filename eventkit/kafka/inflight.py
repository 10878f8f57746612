"""Appends on their way: who waits for them, and which are committed but not decided yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from time import monotonic
from uuid import UUID

from eventkit.errors import EventkitError
from eventkit.events import Position
from eventkit.kafka.index import Partition
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.records import NewRecord
from eventkit.kafka.rule import Rejection
from eventkit.store import Appended

_LOOK_AROUND = 1.0  # seconds
_waking = threading.Lock()


class Waiting:
    """One append, from the queue to its outcome.

    Parameters:
        aggregate_id: `category-id`.
        partition: where its records go.
        records: all its events.
        event_ids: the id of each.
        expected: the version the aggregate must be at; None takes whatever is current.
        deadline: when the caller gives up (`time.monotonic`).
        given: whether the caller chose the event ids, so that this may be a retry.
    """

    __slots__ = (
        "aggregate_id", "append_id", "call", "deadline", "event_ids", "expected", "first_version",
        "fresh_at", "given", "last_offset", "not_before", "outcome", "partition", "records",
        "sent_at",
    )  # fmt: skip

    def __init__(
        self,
        aggregate_id: str,
        partition: Partition,
        records: Sequence[NewRecord],
        event_ids: tuple[UUID, ...],
        expected: int | None,
        deadline: float,
        *,
        given: bool,
    ) -> None:
        self.aggregate_id = aggregate_id
        self.partition = partition
        self.records = records
        self.event_ids = event_ids
        self.expected = expected
        self.deadline = deadline
        self.given = given
        self.call: Call | None = None
        self.append_id = ""
        self.first_version = 0
        self.last_offset = -1
        self.fresh_at = -1
        self.not_before = self.sent_at = 0.0
        self.outcome: Appended | EventkitError | None = None

    @property
    def last_version(self) -> int:
        """The version of its last event, once it is proposed."""
        return self.first_version + len(self.records) - 1

    @property
    def each(self) -> Sequence[Waiting]:
        """Itself; of an `append_all` the append to each aggregate."""
        return (self,)


class Call:
    """What one caller waits for: some appends, until each has its outcome.

    Parameters:
        waitings: at least one.
        done: called once, from a thread of the store, when all have their outcome; without it the
            caller is in `wait`.
    """

    __slots__ = ("_gone", "_lock", "_woken", "done", "left", "next", "waitings")

    def __init__(
        self, waitings: Sequence[Waiting], done: Callable[[Call], None] | None = None
    ) -> None:
        self.waitings = waitings
        self.done = done
        self.left = len(waitings)
        self.next: Call | None = None
        self._gone = self._woken = False
        self._lock = threading.Lock()
        self._lock.acquire()
        for waiting in waitings:
            waiting.call = self

    def wait(self) -> None:
        """Return when all appends have their outcome; wakes the next caller of its chain.

        Whoever waits looks around once a second, in case an interrupt (Ctrl-C) hit a caller
        between its own waking and that of the next.
        """
        try:
            while not self._lock.acquire(timeout=_LOOK_AROUND):
                if not self.left:
                    break
        except BaseException:
            with _waking:
                self._gone = True
                woken = self._woken
            if woken:
                self.wake_next()
            raise
        self.wake_next()

    def wake(self) -> None:
        """Wake the caller, or where it has gone away the next one."""
        call: Call | None = self
        while call is not None:
            with _waking:
                if call._woken:  # noqa: SLF001 - of its own class
                    return
                call._woken = True  # noqa: SLF001
                if not call._gone:  # noqa: SLF001
                    call._lock.release()  # noqa: SLF001
                    return
            call = call.next

    def wake_next(self) -> None:
        """Wake the caller who is next in the chain."""
        if self.next is not None:
            self.next.wake()


_finishing = threading.Lock()


def finish(outcomes: Iterable[tuple[Waiting, Appended | EventkitError]]) -> None:
    """Give appends their outcomes and tell their callers.

    Callers wake each other in a chain: waking two hundred threads at once makes two hundred threads
    fight for the interpreter lock.
    """
    done: list[Call] = []
    first = last = None
    with _finishing:
        for waiting, outcome in outcomes:
            if waiting.outcome is not None:
                continue
            waiting.outcome = outcome
            # Together they were a cycle, and work for the garbage collector.
            call, waiting.call = waiting.call, None
            if call is None:
                continue
            call.left -= 1
            if call.left:
                continue
            if call.done is not None:
                done.append(call)
            elif last is None:
                first = last = call
            else:
                last.next = last = call
    if first is not None:
        first.wake()
    for call in done:
        assert call.done is not None  # noqa: S101 - that is why it is here
        call.done(call)


def tell(done: Callable[[Appended | EventkitError], None], call: Call) -> None:
    """Tell the outcomes of a call's appends."""
    for waiting in call.waitings:
        if waiting.outcome is not None:
            done(waiting.outcome)


class InFlight:
    """Appends that were sent to be committed and wait for the verdict of the log.

    Parameters:
        writer_id: the `transactional.id` of this store; records of other writers are not ours,
            whatever their append id.
    """

    def __init__(self, writer_id: str) -> None:
        self.writer_id = writer_id
        self.give_back: Callable[[Sequence[Waiting]], None] = _drop
        self._lock = threading.Lock()
        self._waiting: dict[bytes, Waiting] = {}
        self._unknown: set[Waiting] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, some: Iterable[Waiting]) -> None:
        """Expect the records of these appends."""
        now = monotonic()
        with self._lock:
            for it in some:
                it.sent_at = now
                self._waiting[it.append_id.encode()] = it

    def forget(self, some: Iterable[Waiting]) -> list[Waiting]:
        """Expect these no more; returns those that had no verdict yet."""
        with self._lock:
            return [it for it in some if self._waiting.pop(it.append_id.encode(), None)]

    def give_up(self, some: Iterable[Waiting]) -> list[Waiting]:
        """As `forget`, to tell that their outcome is not known; a retry is told no more than that.

        They are kept in mind until the log is decided past them: `decide`, `drop_decided`.
        """
        with self._lock:
            late = [it for it in some if self._waiting.pop(it.append_id.encode(), None)]
            self._unknown.update(late)
        return late

    def keep_in_mind(self, some: Iterable[Waiting]) -> None:
        """As `give_up`, of appends that were withdrawn: a broker may commit them all the same."""
        with self._lock:
            self._unknown.update(some)

    def decide(self, some: Iterable[Waiting]) -> None:
        """The log is decided past all that was written of these, and read up to there."""
        with self._lock:
            self._unknown.difference_update(some)

    def drop_decided(self, applied: Mapping[Partition, int]) -> None:
        """As `decide`, of all whose records lie before these offsets, which are in the index."""
        if self._unknown:
            with self._lock:
                self._unknown = {
                    it
                    for it in self._unknown
                    if it.last_offset < 0 or it.last_offset >= applied[it.partition]
                }

    def event_ids(self) -> set[UUID]:
        """Of all that has no verdict yet, be its caller waiting for it or not."""
        with self._lock:
            some = [*self._waiting.values(), *self._unknown]
        return {event_id for it in some for event_id in it.event_ids}

    def older_than(self, seconds: float) -> list[Waiting]:
        """Those that have waited for their verdict so long, whatever became of others meanwhile."""
        sent = monotonic() - seconds
        with self._lock:
            oldest_first = self._waiting.values()
            return list(takewhile(lambda it: it.sent_at < sent, oldest_first))

    def pending(self) -> list[Waiting]:
        """What has no verdict yet."""
        with self._lock:
            return list(self._waiting.values())

    def heads(self) -> dict[str, int]:
        """The versions that aggregates will have when all that is in flight takes effect."""
        heads: dict[str, int] = {}
        for it in self.pending() if self._waiting else ():
            heads[it.aggregate_id] = max(heads.get(it.aggregate_id, 0), it.last_version)
        return heads

    def settle(
        self,
        accepted: Iterable[tuple[Partition, LogRecord]],
        rejected: Iterable[tuple[Partition, Rejection]],
    ) -> None:
        """The verdicts of the rule: what took effect is done, what was rejected is given back."""
        if not self._waiting:
            return
        finished: list[tuple[Waiting, Appended]] = []
        back: list[Waiting] = []
        with self._lock:
            for partition, record in accepted:
                if record.part + 1 == record.parts and record.writer == self.writer_id:
                    waiting = self._waiting.pop(record.append_id, None)
                    if waiting is not None:
                        position = Position(*partition, record.offset)
                        finished.append((waiting, _appended(waiting, position, record.version)))
            for _, rejection in rejected:
                for record in rejection.records:
                    if record.writer == self.writer_id:
                        waiting = self._waiting.pop(record.append_id, None)
                        if waiting is not None:
                            back.append(waiting)
        finish(finished)
        if back:
            self.give_back(back)

    def settle_passed(self, offsets: Mapping[Partition, int]) -> None:
        """All before these offsets has its verdict: what is still awaited there was aborted.

        Call it after `settle`. It need not be an abort of ours: a sweep takes back what a broker
        forgot to decide, and nobody else would tell.
        """
        self.settle_missing(
            [it for it in self.pending() if 0 <= it.last_offset < offsets.get(it.partition, 0)]
        )

    def settle_found(self, found: Iterable[tuple[Waiting, Position, int]]) -> None:
        """These appends were found in the index, at a position and a last version."""
        some = {waiting: (position, version) for waiting, position, version in found}
        finish((waiting, _appended(waiting, *some[waiting])) for waiting in self.forget(some))

    def settle_missing(self, some: Iterable[Waiting]) -> None:
        """The log is decided past the records of these appends, and they are not in it."""
        back = self.forget(some)
        if back:
            self.give_back(back)


def _appended(waiting: Waiting, position: Position, version: int) -> Appended:
    return Appended(waiting.aggregate_id, version, position, waiting.event_ids)


def _drop(_: Sequence[Waiting]) -> None:
    """Nobody takes appends back: there is no writer."""
