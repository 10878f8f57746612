"""Group commit: callers who meet at the store share one commit, a lone caller pays for no hop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from math import inf
from time import monotonic
from typing import Generic, Protocol, TypeVar

from eventkit.errors import EventkitError, ReentrantCall, StoreBusy, StoreClosed


class Job(Protocol):
    """Something to be committed: after `commit` it knows its own result or error."""

    @property
    def weight(self) -> int:
        """How many rows it writes."""

    @property
    def settled(self) -> bool:
        """Whether its result holds; otherwise it may be committed again."""


_LOOK_AROUND = 1.0  # seconds

_Job = TypeVar("_Job", bound=Job)


class _Ticket(Generic[_Job]):
    """A place in the queue; `wake` is released when its job is done or when it is to lead."""

    __slots__ = ("group", "job", "leads", "wake")

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.leads = False
        self.group: _Group[_Job] | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class _Group(Generic[_Job]):
    """Tickets whose jobs are committed together; `asleep` are those not woken since."""

    __slots__ = ("asleep", "done", "error", "tickets")

    def __init__(self) -> None:
        self.tickets: list[_Ticket[_Job]] = []
        self.asleep: deque[_Ticket[_Job]] = deque()
        self.error: EventkitError | None = None
        self.done = False


class GroupCommit(Generic[_Job]):
    """A queue of jobs whose callers take turns in committing everything that waits.

    The order of events: a caller queues its job. If nobody leads, it leads: it takes all that
    waits, its own job first, and commits it in one go. Whoever comes meanwhile waits. When the
    commit is done its callers wake each other in a chain, and the last of them hands the lead to
    the oldest caller that waits by then. So the thread that commits is always that of a caller,
    no caller serves others for longer than one commit, and a lone caller meets no other thread.

    Why a chain: waking fifty threads at once makes fifty threads fight for the interpreter lock,
    and the next leader with them. Why the lead goes on at the end of the chain: if it were free
    at once, the first caller to come back would commit its next job alone.

    Any thread may be torn out by an interrupt: by what a signal handler raises in the main thread
    (Ctrl-C, or any other error). If it waits, its job is taken back unless the commit has begun. If
    it leads, the jobs of the others are put back in front of the queue, but for those that were
    committed. In both cases what it owed to others (to wake the next, to hand on the lead) is done
    before it leaves. Should it be hit even there, who waits looks around once a second, and the
    oldest takes the lead if nobody commits.

    A thread must not call while it is in a call: it would wait for itself. `Calls` sees to that.

    Parameters:
        commit: writes the jobs in one transaction, in order; gives each its result. An error of
            eventkit it raises means that nothing was written, and is raised to every caller of the
            group. Any other, and `ReentrantCall`, came from outside and concerns the leader alone.
        max_rows: rows in one commit, unless a single job is larger.
        max_waiting: jobs that may wait; more are refused.
        timeout: seconds a job may wait for its commit to begin.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[_Job]], None],
        *,
        max_rows: int = 5_000,
        max_waiting: int = 10_000,
        timeout: float = 30.0,
    ) -> None:
        self._commit = commit
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._waiting: deque[_Ticket[_Job]] = deque()
        self._led = False
        self._committing = False
        self._closed = False

    def run(self, job: _Job) -> None:
        """Have a job committed; returns when it is.

        Raises:
            StoreBusy: too many wait, or the turn did not come in time; the job was not begun.
            StoreClosed: it was closed before.
        """
        self._see_through(_Ticket(job), monotonic() + self._timeout, self._accept)

    def close(self, last: _Job) -> None:
        """Refuse new jobs and return when all that were accepted, and a last one, are done."""
        self._see_through(_Ticket(last), inf, self._accept_last)

    def _accept(self, ticket: _Ticket[_Job]) -> None:
        if self._closed:
            raise StoreClosed("the event store")
        if len(self._waiting) >= self._max_waiting:
            raise StoreBusy(f"{self._max_waiting:,} appends wait already; try again later.")
        self._queue(ticket)

    def _accept_last(self, ticket: _Ticket[_Job]) -> None:
        self._closed = True
        self._queue(ticket)

    def _queue(self, ticket: _Ticket[_Job]) -> None:
        self._waiting.append(ticket)
        ticket.leads, self._led = not self._led, True

    def _see_through(
        self, ticket: _Ticket[_Job], deadline: float, accept: Callable[[_Ticket[_Job]], None]
    ) -> None:
        try:
            with self._mutex:
                accept(ticket)
            if not ticket.leads:
                self._wait(ticket, deadline)
            group = ticket.group or self._lead()
        except BaseException:
            self._leave(ticket)
            raise
        self._pass_on(group)
        ticket.group = None  # or the two would hold each other until the garbage collector comes
        if group.error is not None:
            raise self._own(group.error) from group.error.__cause__

    def _wait(self, ticket: _Ticket[_Job], deadline: float) -> None:
        """Return when the ticket is done or is to lead."""
        while not ticket.wake.acquire(timeout=max(0.0, min(_LOOK_AROUND, deadline - monotonic()))):
            with self._mutex:
                if ticket.group is not None:
                    if ticket.group.done:
                        with suppress(ValueError):
                            ticket.group.asleep.remove(ticket)
                        return
                    deadline = inf  # it has begun
                elif not self._committing and self._waiting[0] is ticket:
                    ticket.leads = True
                    return
                elif monotonic() >= deadline:
                    self._waiting.remove(ticket)
                    raise StoreBusy(
                        f"the append waited {self._timeout:g} s for its turn and was given up; "
                        "nothing was written. Try again later."
                    )

    def _lead(self) -> _Group[_Job]:
        """Commit what waits; the leader's own ticket is the oldest."""
        group: _Group[_Job] = _Group()
        try:
            self._take(group)
            self._commit([ticket.job for ticket in group.tickets])
        except BaseException as error:
            if not isinstance(error, EventkitError) or isinstance(error, ReentrantCall):
                self._put_back(group)
                raise
            group.error = error  # handed to the callers it belongs to
        finally:
            # No calls here: an interrupt can only come at a call, and this must not be missed.
            group.done = True
            self._committing = False
        return group

    def _take(self, group: _Group[_Job]) -> None:
        """Move the oldest tickets into a group, as many as one commit takes."""
        with self._mutex:
            self._committing = True
            rows = 0
            for ticket in self._waiting:
                rows += ticket.job.weight
                if rows > self._max_rows and group.tickets:
                    break
                group.tickets.append(ticket)
            group.asleep.extend(group.tickets)
            group.asleep.popleft()  # the leader
            for ticket in group.tickets:
                self._waiting.popleft()
                ticket.group = group

    def _put_back(self, group: _Group[_Job]) -> None:
        """Let others commit what an interrupted leader did not."""
        with self._mutex:
            again = [ticket for ticket in group.asleep if not ticket.job.settled]
            for ticket in again:
                ticket.group = None
                group.asleep.remove(ticket)
            self._waiting = deque(dict.fromkeys([*again, *self._waiting]))

    def _pass_on(self, group: _Group[_Job]) -> None:
        """Wake the next of the group, or after the last of them who is to lead."""
        try:
            sleeper = group.asleep.popleft() if group.asleep else None
        except IndexError:  # another thread took it: the chain had broken
            sleeper = None
        if sleeper is None:
            self._hand_over()
        else:
            sleeper.wake.release()

    def _hand_over(self) -> None:
        with self._mutex:
            if self._committing:
                return
            self._led = bool(self._waiting)
            if self._led and not self._waiting[0].leads:
                self._waiting[0].leads = True
                self._waiting[0].wake.release()

    def _leave(self, ticket: _Ticket[_Job]) -> None:
        """Take an interrupted caller's job back, and do what its thread owed to others."""
        with self._mutex:
            group = ticket.group
            if group is None:
                with suppress(ValueError):
                    self._waiting.remove(ticket)
            elif ticket in group.asleep:
                group.asleep.remove(ticket)
                return
        if group is not None:
            self._pass_on(group)
        elif ticket.leads:
            self._hand_over()

    @staticmethod
    def _own(error: EventkitError) -> EventkitError:
        """An error of one's own: threads that raise the same one write into its traceback."""
        return copy(error)
