"""Tasks, a clock and a scheduler: one thread, in which nothing happens but what was chosen.

The code of a store runs in greenlets. Wherever a thread would wait for another one, for the broker
or for time, the greenlet goes back to the scheduler, which chooses who is next.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet  # type: ignore[import-untyped]

_TICK = 0.0002  # seconds that a step takes, while something comes of it
_DOUBLED_EVERY = 12  # steps of which nothing came: others take their time meanwhile
_LONGEST = 0.05
_TICKS = [min(_TICK * 2**doubled, _LONGEST) for doubled in range(9)]


class Process:
    """What dies and freezes as one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = self.is_frozen = False


class Task:
    """A thread of a process."""

    __slots__ = ("greenlet", "name", "process", "ready", "until")

    def __init__(self, process: Process, name: str, run: greenlet) -> None:
        self.process = process
        self.name = name
        self.greenlet = run
        self.ready: Callable[[], bool] | None = None
        self.until = 0.0


class Choices:
    """What was chosen, step by step; when the list is over, the most ordinary is chosen."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers
        self._at = 0

    @property
    def are_over(self) -> bool:
        return self._at >= len(self._numbers)

    def next(self) -> int:
        """The next number; 0 when there is none."""
        if self.are_over:
            return 0
        self._at += 1
        return self._numbers[self._at - 1]


class Scheduler:
    """Runs tasks one at a time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.events: list[tuple[float, str]] = []
        self._hub = getcurrent()
        self._nothing_came = 0

    def monotonic(self) -> float:
        return self.now

    def note(self, text: str) -> None:
        """Something came of a step: it belongs into the order of events."""
        self._nothing_came = 0
        self.events.append((self.now, text))

    def start(self, process: Process, name: str, run: Callable[[], None]) -> None:
        self.tasks.append(Task(process, name, greenlet(run, self._hub)))

    def ready(self) -> list[Task]:
        """The tasks that can go on; asked at each step, of all of them."""
        now, found = self.now, []
        for task in self.tasks:
            if task.process.is_frozen:
                continue
            if task.until <= now or ((ready := task.ready) is not None and ready()):
                found.append(task)
        return found

    def resume(self, task: Task) -> None:
        """Let a task go on to where it waits next."""
        self.current = task
        try:
            task.greenlet.switch()
        finally:
            self.current = None
        if task.greenlet.dead:
            self.tasks.remove(task)

    def tick(self) -> None:
        self._nothing_came += 1
        doubled = self._nothing_came // _DOUBLED_EVERY
        self.now += _TICKS[doubled] if doubled < len(_TICKS) else _LONGEST

    def skip(self) -> None:
        """Nobody can do anything: the clock goes on to when somebody can."""
        until = min((it.until for it in self.tasks if not it.process.is_frozen), default=self.now)
        if until < math.inf:
            self.now = max(self.now, until)

    def end(self, process: Process) -> None:
        """The process is killed."""
        process.is_dead = True
        for task in [it for it in self.tasks if it.process is process]:
            self.tasks.remove(task)
            self.current = task
            task.greenlet.throw(GreenletExit)
            self.current = None

    def block(self, ready: Callable[[], bool] | None, seconds: float = math.inf) -> None:
        """Wait, as the current task, until something holds or time is over."""
        task = self.current
        if task is None:  # a store is being made
            return
        if task.process.is_dead:
            raise GreenletExit
        task.ready, task.until = ready, self.now + seconds
        self._hub.switch()
        self.current = task

    def pause(self) -> None:
        """Somebody else may do something here."""
        self.block(None, 0.0)

    def sleep(self, seconds: float) -> None:
        self.block(None, seconds)


class Condition:
    """`threading.Condition` for tasks: locks are not needed where nobody interrupts."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._changes = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        pass

    def wait(self, timeout: float = math.inf) -> None:
        seen = self._changes
        self._scheduler.block(lambda: self._changes != seen, timeout)

    def notify(self) -> None:
        self._changes += 1

    notify_all = notify


class Event(threading.Event):
    """`threading.Event` for tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def wait(self, timeout: float | None = None) -> bool:
        self._scheduler.block(self.is_set, math.inf if timeout is None else timeout)
        return self.is_set()


def replace(holder: Any, name: str, value: object) -> None:
    """Put something in the place of what a class made for itself."""
    setattr(holder, name, value)
