"""Group commit: who waits is served once, in order, whatever happens to the others."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from random import Random
from typing import Any

import pytest

from eventkit.errors import StoreBusy, StoreClosed, StoreUnavailable
from eventkit.sqlite import groupcommit
from eventkit.sqlite.groupcommit import GroupCommit, _Group

SECONDS = 30


class Job:
    def __init__(self, name: str, weight: int = 1) -> None:
        self.name = name
        self.weight = weight
        self.settled = False

    def __repr__(self) -> str:
        return self.name


class Rig:
    """A group commit whose commits wait until the test lets them go on."""

    def __init__(self, **options: Any) -> None:
        self.begun: SimpleQueue[str] = SimpleQueue()
        self.groups: list[str] = []
        self.threads: list[int] = []
        self.queued = threading.Semaphore(0)
        self.group = Watched(self, self.commit, **options)
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(64)

    def commit(self, jobs: Sequence[Job]) -> None:
        names = " ".join(job.name for job in jobs)
        self.groups.append(names)
        self.threads.append(threading.get_ident())
        self.begun.put(names)
        outcome = self._outcomes.get(timeout=SECONDS)
        if outcome is not None:
            raise outcome
        for job in jobs:
            job.settled = True

    def let(self, expected: str, outcome: BaseException | None = None) -> None:
        """Let the commit of some jobs end, with an error or without."""
        assert self.begun.get(timeout=SECONDS) == expected
        self._outcomes.put(outcome)

    def run(self, job: Job | str) -> Future[int]:
        """Hand in a job in a thread of its own; return when it is in the queue."""
        job = Job(job) if isinstance(job, str) else job
        future = self._pool.submit(self._run, job)
        self.settle()
        return future

    def _run(self, job: Job) -> int:
        self.group.run(job)
        return threading.get_ident()

    def close(self) -> Future[None]:
        future = self._pool.submit(self.group.close, Job("last"))
        self.settle()
        return future

    def settle(self) -> None:
        """Wait until one more job is in the queue."""
        assert self.queued.acquire(timeout=SECONDS)

    def end(self) -> None:
        self._pool.shutdown()


class Watched(GroupCommit[Job]):
    """Tells the rig who is in the queue, and can tear threads out of their wait."""

    def __init__(self, rig: Rig, commit: Callable[[Sequence[Job]], None], **options: Any) -> None:
        super().__init__(commit, **options)
        self._rig = rig
        self.torn_before: set[str] = set()
        self.torn_after: set[str] = set()
        self.forgetful: set[str] = set()

    def _queue(self, ticket: Any) -> None:
        super()._queue(ticket)
        self._rig.queued.release()

    def _wait(self, ticket: Any, deadline: float) -> None:
        if ticket.job.name in self.torn_before:
            raise KeyboardInterrupt
        super()._wait(ticket, deadline)
        if ticket.job.name in self.torn_after:
            raise KeyboardInterrupt

    def _pass_on(self, group: Any) -> None:
        if group.tickets[0].job.name not in self.forgetful:
            super()._pass_on(group)


@contextmanager
def rig(**options: Any) -> Iterator[Rig]:
    made = Rig(**options)
    try:
        yield made
    finally:
        made.end()


def result(future: Future[Any]) -> Any:
    """Return what came of a job: 'done', or the error."""
    error = future.exception(timeout=SECONDS)
    return "done" if error is None else error


def test_a_lone_caller_commits_in_its_own_thread() -> None:
    with rig() as it:
        one = it.run("a")
        it.let("a")
        assert [one.result(SECONDS)] == it.threads


def test_who_comes_during_a_commit_is_committed_together_and_in_order() -> None:
    with rig() as it:
        jobs = [it.run(name) for name in "abcd"]
        it.let("a")
        it.let("b c d")
        assert [result(job) for job in jobs] == ["done"] * 4


def test_the_oldest_who_waits_leads_next() -> None:
    with rig() as it:
        jobs = [it.run(name) for name in "abc"]
        it.let("a")
        it.let("b c")
        assert it.threads == [jobs[0].result(SECONDS), jobs[1].result(SECONDS)]


def test_nobody_returns_before_the_commit_is_over() -> None:
    with rig() as it:
        jobs = [it.run(name) for name in "abc"]
        it.let("a")
        assert it.begun.get(timeout=SECONDS) == "b c"
        assert [job.done() for job in jobs[1:]] == [False, False]
        it._outcomes.put(None)
        assert [result(job) for job in jobs] == ["done"] * 3


def test_a_commit_takes_no_more_rows_than_it_may() -> None:
    with rig(max_rows=5) as it:
        jobs = [it.run("a")] + [it.run(Job(name, 2)) for name in "bcdef"]
        for group in ("a", "b c", "d e", "f"):
            it.let(group)
        assert [result(job) for job in jobs] == ["done"] * 6


def test_a_job_of_more_rows_than_a_commit_takes_is_committed_alone() -> None:
    with rig(max_rows=5) as it:
        jobs = [it.run("a"), it.run("b"), it.run(Job("big", 100)), it.run("c")]
        for group in ("a", "b", "big", "c"):
            it.let(group)
        assert [result(job) for job in jobs] == ["done"] * 4


def test_an_error_reaches_all_callers_of_its_group_and_nobody_else() -> None:
    with rig() as it:
        jobs = [it.run(name) for name in "abc"]
        it.let("a")
        it.begun.get(timeout=SECONDS)
        jobs.append(it.run("d"))
        cause = OSError("disk")
        error = StoreUnavailable("no room")
        error.__cause__ = cause
        it._outcomes.put(error)
        it.let("d")
        outcomes = [result(job) for job in jobs]
        assert (outcomes[0], outcomes[3]) == ("done", "done")
        assert [(type(it), str(it), it.__cause__) for it in outcomes[1:3]] == [
            (StoreUnavailable, "no room", cause)
        ] * 2


def test_each_caller_gets_an_error_of_its_own() -> None:
    """Threads that raise the same one would write into its traceback at the same time."""
    with rig() as it:
        jobs = [it.run(name) for name in "abc"]
        it.let("a")
        it.let("b c", StoreUnavailable("no room"))
        assert result(jobs[1]) is not result(jobs[2])


def test_an_error_that_nobody_foresaw_is_raised_as_it_is() -> None:
    with rig() as it:
        job = it.run("a")
        error = ZeroDivisionError()
        it.let("a", error)
        assert result(job) is error
        again = it.run("b")
        it.let("b")
        assert result(again) == "done"


def test_a_full_queue_refuses_the_next() -> None:
    with rig(max_waiting=2) as it:
        jobs = [it.run(name) for name in "abc"]
        with pytest.raises(StoreBusy, match="2 appends wait already"):
            it.group.run(Job("d"))
        it.let("a")
        it.let("b c")
        jobs.append(it.run("e"))
        it.let("e")
        assert [result(job) for job in jobs] == ["done"] * 4


def test_who_waited_too_long_gives_up_and_is_not_committed() -> None:
    with rig(timeout=0) as it:
        job = it.run("a")
        with pytest.raises(StoreBusy, match="nothing was written"):
            it.group.run(Job("b"))
        it.settle()
        it.let("a")
        job.result(SECONDS)
        assert it.groups == ["a"]


def test_a_leader_does_not_give_up() -> None:
    with rig(timeout=-1) as it:
        job = it.run("a")
        it.let("a")
        assert result(job) == "done"


def test_a_job_whose_commit_has_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    asked = threading.Semaphore(0)

    def clock() -> float:
        asked.release()
        return now[0]

    monkeypatch.setattr(groupcommit, "monotonic", clock)
    monkeypatch.setattr(groupcommit, "_LOOK_AROUND", 0.001)
    with rig(timeout=30) as it:
        jobs = [it.run(name) for name in "abc"]
        it.let("a")
        assert it.begun.get(timeout=SECONDS) == "b c"
        now[0] = 1_000.0
        while asked.acquire(blocking=False):
            pass
        assert asked.acquire(timeout=SECONDS)  # c has looked at the clock since
        it._outcomes.put(None)
        assert [result(job) for job in jobs] == ["done"] * 3


def test_closing_waits_for_what_was_accepted_and_refuses_the_rest() -> None:
    with rig() as it:
        jobs = [it.run(name) for name in "abc"]
        closing = it.close()
        with pytest.raises(StoreClosed):
            it.group.run(Job("late"))
        it.let("a")
        assert not closing.done()
        it.let("b c last")
        assert [*map(result, jobs), result(closing)] == ["done"] * 4


def test_closing_has_no_time_limit() -> None:
    with rig(timeout=0) as it:
        job = it.run("a")
        closing = it.close()
        it.let("a")
        it.let("last")
        assert (result(job), result(closing)) == ("done", "done")


def test_who_is_torn_out_of_the_queue_is_not_committed() -> None:
    with rig() as it:
        it.group.torn_before.add("b")
        jobs = [it.run(name) for name in "abc"]
        assert isinstance(result(jobs[1]), KeyboardInterrupt)
        it.let("a")
        it.let("c")
        assert (result(jobs[0]), result(jobs[2])) == ("done", "done")


def test_who_is_torn_out_when_it_is_to_lead_leaves_the_lead_to_the_next() -> None:
    with rig() as it:
        it.group.torn_after.add("b")
        jobs = [it.run(name) for name in "abcd"]
        it.let("a")
        it.let("c d")
        assert isinstance(result(jobs[1]), KeyboardInterrupt)
        assert [result(jobs[n]) for n in (0, 2, 3)] == ["done"] * 3


def test_who_is_torn_out_when_it_is_to_wake_others_wakes_them() -> None:
    with rig() as it:
        it.group.torn_after.add("c")
        jobs = [it.run(name) for name in "abcd"]
        it.let("a")
        it.let("b c d")
        assert isinstance(result(jobs[2]), KeyboardInterrupt)
        assert [result(jobs[n]) for n in (0, 1, 3)] == ["done"] * 3
        last = it.run("e")
        it.let("e")
        assert result(last) == "done"


def test_who_is_torn_out_during_the_commit_owes_nobody_anything() -> None:
    with rig() as it:
        torn = threading.Event()

        def wait(ticket: Any, deadline: float) -> None:
            if ticket.job.name == "c":
                assert it.begun.get(timeout=SECONDS) == "b c d"
                torn.set()
                raise KeyboardInterrupt
            GroupCommit._wait(it.group, ticket, deadline)

        it.group._wait = wait  # type: ignore[method-assign]
        jobs = [it.run("a")]
        assert it.begun.get(timeout=SECONDS) == "a"
        jobs += [it.run(name) for name in "bcd"]
        it._outcomes.put(None)
        assert torn.wait(SECONDS)
        it._outcomes.put(None)
        assert isinstance(result(jobs[2]), KeyboardInterrupt)
        assert [result(jobs[n]) for n in (0, 1, 3)] == ["done"] * 3


def test_an_interrupted_leader_leaves_its_group_to_the_others() -> None:
    with rig() as it:
        jobs = [it.run(name) for name in "abcd"]
        it.let("a")
        it.let("b c d", KeyboardInterrupt())
        it.let("c d")
        assert isinstance(result(jobs[1]), KeyboardInterrupt)
        assert [result(jobs[n]) for n in (0, 2, 3)] == ["done"] * 3


def test_what_an_interrupted_leader_had_committed_is_not_committed_again() -> None:
    with rig() as it:
        jobs = {name: Job(name) for name in "abcd"}
        futures = [it.run(job) for job in jobs.values()]
        it.let("a")
        assert it.begun.get(timeout=SECONDS) == "b c d"
        jobs["c"].settled = True
        it._outcomes.put(KeyboardInterrupt())
        it.let("d")
        assert isinstance(result(futures[1]), KeyboardInterrupt)
        assert [result(futures[n]) for n in (0, 2, 3)] == ["done"] * 3


def test_what_is_put_back_stands_before_what_came_later() -> None:
    with rig() as it:
        jobs = [it.run(name) for name in "abc"]
        it.let("a")
        assert it.begun.get(timeout=SECONDS) == "b c"
        jobs += [it.run(name) for name in "de"]
        it._outcomes.put(KeyboardInterrupt())
        it.let("c d e")
        assert [result(jobs[n]) for n in (0, 2, 3, 4)] == ["done"] * 4


def test_a_lone_leader_that_is_interrupted_leaves_the_lead_free() -> None:
    with rig() as it:
        job = it.run("a")
        it.let("a", KeyboardInterrupt())
        assert isinstance(result(job), KeyboardInterrupt)
        again = it.run("b")
        it.let("b")
        assert result(again) == "done"


def test_a_chain_that_broke_is_healed_by_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groupcommit, "_LOOK_AROUND", 0.001)
    with rig() as it:
        it.group.forgetful = {"a", "b"}
        jobs = [it.run(name) for name in "abcd"]
        it.let("a")
        it.let("b c d")
        jobs.append(it.run("e"))
        it.let("e")
        assert [result(job) for job in jobs] == ["done"] * 5


@pytest.mark.parametrize("seed", range(4))
def test_each_of_many_jobs_is_committed_once_or_not_at_all(seed: int) -> None:
    """Commits fail and are interrupted at random, before and after they took effect."""
    random = Random(seed)  # noqa: S311 - a repeatable choice
    busy = threading.Lock()
    committed: list[str] = []

    def commit(jobs: Sequence[Job]) -> None:
        assert busy.acquire(blocking=False), "one commit at a time"
        try:
            choice = random.random()
            if choice < 0.1:
                raise StoreUnavailable("no room")
            if choice < 0.2:
                raise KeyboardInterrupt
            for job in jobs:
                committed.append(job.name)
                job.settled = True
            if choice < 0.3:
                raise KeyboardInterrupt
        finally:
            busy.release()

    group: GroupCommit[Job] = GroupCommit(commit, max_rows=7)
    told: list[str] = []
    refused: list[str] = []

    def work(number: int) -> None:
        for turn in range(60):
            name = f"{number}.{turn}"
            with suppress(KeyboardInterrupt):
                try:
                    group.run(Job(name))
                    told.append(name)
                except StoreUnavailable:
                    refused.append(name)

    with ThreadPoolExecutor(20) as pool:
        for future in [pool.submit(work, number) for number in range(20)]:
            future.result(SECONDS)
    assert len(committed) == len(set(committed))
    assert set(told) <= set(committed)
    assert set(refused).isdisjoint(committed)
    assert len(told) > 600


def test_a_lead_that_is_taken_is_not_handed_on_again() -> None:
    """Where a chain broke, two threads may think that it is theirs to do so."""
    with rig() as it:
        jobs = [it.run("a")]
        assert it.begun.get(timeout=SECONDS) == "a"
        jobs.append(it.run("b"))
        it.group._hand_over()
        assert it.begun.empty()
        it._outcomes.put(None)
        it.let("b")
        assert [result(job) for job in jobs] == ["done"] * 2


def test_a_sleeper_that_another_thread_wakes_is_left_to_it() -> None:
    class Taken(deque[Any]):
        def popleft(self) -> Any:
            raise IndexError

    with rig() as it:
        job = it.run("a")
        it.let("a")
        assert result(job) == "done"
        group: _Group[Job] = _Group()
        group.asleep = Taken([None])
        GroupCommit._pass_on(it.group, group)
        job = it.run("b")
        it.let("b")
        assert result(job) == "done"
