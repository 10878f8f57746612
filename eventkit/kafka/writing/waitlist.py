"""Appends that wait for their transaction: a bounded queue that keeps rivals apart.

Most appends meet nobody. Those whose aggregate another process writes to at the same time are
**hot** for a while: they go into transactions of their own, so that one that loses a race does not
take hundreds of neighbours back with it, and they wait for the turn of their process (turns.py).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from copy import copy
from time import monotonic

from eventkit.errors import EventkitError, OutcomeUnknown, StoreBusy, StoreClosed
from eventkit.kafka.inflight import Call, InFlight, Waiting, finish
from eventkit.kafka.writing.earlier import Earlier, of_an_earlier
from eventkit.kafka.writing.turns import Turns

MOST_APPENDS = 2_000
"""Appends in one transaction; more do not make it cheaper."""
MOST_RECORDS = 20_000
"""Records in one transaction, unless a single append has more."""

_HOT_FOR = 1.0  # seconds after a race
_LOOK_AGAIN = 0.001  # seconds until what a rival proposed is looked at again
_GATHER = 0.001  # seconds in which nobody comes: it is not worth waiting any longer
_WORTH_WAITING = 16  # appends


class WaitList:
    """From callers to the writer.

    Parameters:
        in_flight: what the writer has to see through before it may end.
        turns: when appends to hot aggregates may go.
        earlier: earlier attempts at what is given up.
        max_waiting: appends that may wait; more are refused.
    """

    def __init__(
        self, in_flight: InFlight, turns: Turns, earlier: Earlier, max_waiting: int
    ) -> None:
        self._in_flight = in_flight
        self._turns = turns
        self._earlier = earlier
        self._max_waiting = max_waiting
        self._ready = threading.Condition()
        self._queue: deque[Waiting] = deque()
        self._parked: list[Waiting] = []
        self._lane: list[Waiting] = []
        self._hot: dict[str, float] = {}
        self._turn_of_hot = False
        self._since = 0.0  # when the lane was seen empty last
        self._closing = False
        self._wanted = 1

    @property
    def is_done(self) -> bool:
        """Whether it was closed and nothing waits."""
        return self._closing and not (self._queue or self._parked or self._lane)

    def in_turn(self, group: Sequence[Waiting]) -> bool:
        """Whether what was taken had waited for our turn; the others meet no rival, they hope."""
        return group[0].aggregate_id in self._hot

    def put(self, call: Call) -> None:
        """Queue the appends of a caller, all or none.

        Raises:
            StoreBusy: too many wait.
            StoreClosed: it was closed.
        """
        with self._ready:
            if self._closing:
                raise StoreClosed("the event store")
            waiting = len(self._queue) + len(self._parked) + len(self._lane)
            if waiting and waiting + len(call.waitings) > self._max_waiting:
                raise StoreBusy(f"{waiting:,} appends wait already; try again later.")
            self._queue.extend(call.waitings)
            if len(self._queue) >= self._wanted:
                self._ready.notify()

    def give_back(self, some: Sequence[Waiting]) -> None:
        """Queue appends again, in front of those that came later."""
        with self._ready:
            self._return(some)
            self._ready.notify()

    def lost(self, proposals: Sequence[Waiting], losers: Iterable[Waiting]) -> None:
        """Take back a transaction in which some lost a race; their aggregates are hot now.

        An append that stood before the rival did not lose, and still goes with those of its
        aggregate that did: behind them it would come to stand after what was asked for later.
        """
        with self._ready:
            until = monotonic() + _HOT_FOR
            self._hot.update((it.aggregate_id, until) for it in losers)
            self._return(proposals)

    def park(self, some: Iterable[Waiting], pause: float = _LOOK_AGAIN) -> None:
        """Keep appends back for a moment (seconds)."""
        not_before = monotonic() + pause
        with self._ready:
            for waiting in some:
                waiting.not_before = not_before
                self._parked.append(waiting)

    def keep_hot(self, some: Iterable[Waiting]) -> None:
        """Keep appends for our turn: their aggregates are hot."""
        with self._ready:
            until = monotonic() + _HOT_FOR
            kept = list(some)
            self._hot.update((it.aggregate_id, until) for it in kept)
            self._lane[:0] = kept

    def take(self, returning: int = 0) -> list[Waiting] | None:
        """The appends of the next transaction; None when it is closed and all is done.

        An empty list: nothing is due for a while.

        Parameters:
            returning: how many callers were just told their outcome. Those who append again at once
                are waited for, a moment: else two halves of the callers would take turns, each
                with a transaction of its own.
        """
        with self._ready:
            if returning >= _WORTH_WAITING:
                self._gather(returning)
            group = self._pick(monotonic())
            if group:
                return group
            if self.is_done and not self._in_flight:
                return None
            self._ready.wait(self._pause())
            return self._pick(monotonic())

    def _gather(self, returning: int) -> None:
        """Wait as long as callers keep coming, but for all who may."""
        self._wanted = min(len(self._queue) + returning, MOST_APPENDS)
        before = -1
        while before < len(self._queue) < self._wanted and not self._closing:
            before = len(self._queue)
            self._ready.wait(_GATHER)
        self._wanted = 1

    def expire(self, error: EventkitError) -> None:
        """Give up what waits for longer than its deadline."""
        now = monotonic()
        self.give_up([it for it in self._all() if it.deadline <= now], error)

    def refuse(self, error: EventkitError) -> None:
        """Give up all that waits."""
        self.give_up(self._all(), error)

    def close(self) -> None:
        """Refuse new appends."""
        with self._ready:
            self._closing = True
            self._ready.notify()

    def _all(self) -> list[Waiting]:
        with self._ready:
            return [*self._queue, *self._parked, *self._lane]

    def give_up(self, some: Sequence[Waiting], error: EventkitError) -> None:
        """Tell appends this error, unless an attempt at them may take effect yet, or has."""
        gone = set(some)
        if not gone:
            return
        late = [it for it in some if it.outcome is None]
        again = self._earlier.of(late)
        with self._ready:
            self._queue = deque(it for it in self._queue if it not in gone)
            self._parked = [it for it in self._parked if it not in gone]
            self._lane = [it for it in self._lane if it not in gone]
        self._in_flight.keep_in_mind(it for it in late if it.last_offset >= 0)
        finish((it, of_an_earlier(it) if it in again else _given_up(it, error)) for it in late)

    def _pause(self) -> float:
        now = monotonic()
        pauses = [max(0.0, it.not_before - now) for it in self._parked]
        if self._lane:
            pauses.append(max(_LOOK_AGAIN, self._turns.begins(self._since) - now))
        return min(pauses, default=0.01 if self._closing else 1.0)

    def _pick(self, now: float) -> list[Waiting]:
        self._cool(now)
        if self._parked:
            due = [it for it in self._parked if it.not_before <= now]
            self._parked = [it for it in self._parked if it.not_before > now]
            self._return(due)
        if not self._lane:
            self._since = now
        elif self._turn_of_hot and self._turns.begins(self._since) <= now:
            self._turn_of_hot = False
            return self._pick_lane()
        self._turn_of_hot = True
        group = self._pick_fresh()
        if not group and self._lane and self._turns.begins(self._since) <= now:
            return self._pick_lane()
        return group

    def _pick_lane(self) -> list[Waiting]:
        held = self._held()
        group = [it for it in self._lane if it.aggregate_id not in held][:MOST_APPENDS]
        taken = set(group)
        self._lane = [it for it in self._lane if it not in taken]
        return group

    def _pick_fresh(self) -> list[Waiting]:
        group: list[Waiting] = []
        held = self._held()
        records = 0
        while self._queue and len(group) < MOST_APPENDS:
            it = self._queue[0]
            if it.aggregate_id in self._hot:
                self._lane.append(self._queue.popleft())
                continue
            if it.aggregate_id in held:
                it.not_before = held[it.aggregate_id]
                self._parked.append(self._queue.popleft())
                continue
            records += len(it.records)
            if records > MOST_RECORDS and group:
                break
            group.append(self._queue.popleft())
        return group

    def _held(self) -> dict[str, float]:
        """The aggregates of what is parked, and until when: later appends to them may not pass."""
        return {it.aggregate_id: it.not_before for it in self._parked} if self._parked else {}

    def _return(self, some: Sequence[Waiting]) -> None:
        """Put back what was taken, in front of all that waits."""
        self._lane[:0] = [it for it in some if it.aggregate_id in self._hot]
        self._queue.extendleft(it for it in reversed(some) if it.aggregate_id not in self._hot)

    def _cool(self, now: float) -> None:
        """Forget races of long ago; not while appends wait for a turn: others would pass them."""
        if self._hot:
            waiting = {it.aggregate_id for it in self._lane}
            self._hot = {
                key: until for key, until in self._hot.items() if until > now or key in waiting
            }


def _given_up(waiting: Waiting, error: EventkitError) -> EventkitError:
    """The outcome of an append that is given up: the error, unless it was proposed before."""
    return copy(error) if waiting.last_offset < 0 else withdrawn(waiting)


def withdrawn(waiting: Waiting) -> OutcomeUnknown:
    """The outcome of an append that was withdrawn: a broker may commit it all the same.

    Where the index is past its record, it can be looked up instead.
    """
    return OutcomeUnknown(
        waiting.event_ids, "it was withdrawn before its deadline, and may be committed all the same"
    )


def too_late(reason: str = "others kept the store busy") -> StoreBusy:
    """The outcome of an append that was not begun in time."""
    return StoreBusy(f"the append was given up at its deadline: {reason}; this call wrote nothing.")
