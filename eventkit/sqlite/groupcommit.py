"""Group commit: callers who meet at the store share one commit, a lone caller pays for no hop."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Generic, Protocol, TypeVar

from eventkit.errors import StoreBusy, StoreClosed


class Job(Protocol):
    """Something to be committed: after `commit` it knows its own result or error."""

    @property
    def weight(self) -> int:
        """How many rows it writes."""


_LOOK_AROUND = 1.0  # seconds

_Job = TypeVar("_Job", bound=Job)


class _Ticket(Generic[_Job]):
    """A place in the queue; `wake` is released once: when its job is done, or it is to lead."""

    __slots__ = ("appointed", "done", "error", "follower", "job", "wake")

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.appointed = False
        self.done = False
        self.error: BaseException | None = None
        self.follower: _Ticket[_Job] | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


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

    A thread that is torn out of its wait (an interrupt in the main thread) breaks the chain: who
    waits looks for itself once a second, and the oldest takes the lead if nobody commits.

    Parameters:
        commit: writes the jobs in one transaction, in order; gives each its result. What it
            raises is raised to every caller of the group.
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
        ticket = _Ticket(job)
        with self._mutex:
            if self._closed:
                raise StoreClosed("the event store")
            if len(self._waiting) >= self._max_waiting:
                raise StoreBusy(f"{self._max_waiting:,} appends wait already; try again later.")
            self._waiting.append(ticket)
            lead, self._led = not self._led, True
        self._see_through(ticket, lead=lead)

    def close(self, last: _Job) -> None:
        """Refuse new jobs and return when all that were accepted, and a last one, are done."""
        ticket = _Ticket(last)
        with self._mutex:
            self._closed = True
            self._waiting.append(ticket)
            lead, self._led = not self._led, True
        self._see_through(ticket, lead=lead)

    def _see_through(self, ticket: _Ticket[_Job], *, lead: bool) -> None:
        if not lead:
            self._wait(ticket)
        if not ticket.done:
            self._lead()
        self._wake_next(ticket)
        if ticket.error is not None:
            raise ticket.error

    def _wait(self, ticket: _Ticket[_Job]) -> None:
        """Return when the ticket is done or is to lead."""
        deadline = monotonic() + self._timeout
        while not ticket.wake.acquire(timeout=_LOOK_AROUND):
            with self._mutex:
                if ticket.done or (not self._committing and ticket is self._waiting[0]):
                    return
                if monotonic() > deadline and ticket in self._waiting:
                    self._waiting.remove(ticket)
                    raise StoreBusy(
                        f"the append waited {self._timeout:g} s for its turn and was given up; "
                        "nothing was written. Try again later."
                    )

    def _lead(self) -> None:
        """Commit what waits; the leader's own ticket is the oldest."""
        group = self._take_group()
        error: BaseException | None = None
        try:
            self._commit([ticket.job for ticket in group])
        except BaseException as raised:  # noqa: BLE001 - handed to the callers it belongs to
            error = raised
        previous = None
        for ticket in group:
            ticket.error, ticket.done = error, True
            if previous is not None:
                previous.follower = ticket
            previous = ticket
        self._committing = False

    def _wake_next(self, ticket: _Ticket[_Job]) -> None:
        if ticket.follower is not None:
            ticket.follower.wake.release()
            return
        with self._mutex:
            if self._committing:
                return
            self._led = bool(self._waiting)
            if self._led and not self._waiting[0].appointed:
                self._waiting[0].appointed = True
                self._waiting[0].wake.release()

    def _take_group(self) -> list[_Ticket[_Job]]:
        group: list[_Ticket[_Job]] = []
        rows = 0
        with self._mutex:
            self._committing = True
            while self._waiting:
                rows += self._waiting[0].job.weight
                if group and rows > self._max_rows:
                    break
                group.append(self._waiting.popleft())
        return group
