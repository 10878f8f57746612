"""Failpoints: named steps of the library at which a process of the rig dies, freezes or fails.

The library knows nothing of them: its methods are wrapped inside the process. STEPS is the table;
`test_failpoints.py` shows that each is still reached, so that no renamed method disarms one.

A process strikes itself about every `EVERY` seconds: it draws a step, and the next time it passes
there it is struck; if it does not pass there soon, it draws another one. So a step that is passed a
thousand times a second is struck as often as one that is passed once. Steps that are passed only
when something else went wrong are struck each time by chance. The folder's file `calm` ends it:
then all is to become well again.
"""

import logging
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from time import monotonic, sleep
from types import ModuleType
from typing import Any, NamedTuple

from eventkit.kafka.following import Following
from eventkit.kafka.group import Group
from eventkit.kafka.indexfile import IndexWriter
from eventkit.kafka.inflight import InFlight
from eventkit.kafka.writing.doubt import Doubt
from eventkit.kafka.writing.helping import Helper
from eventkit.kafka.writing.numbering import Numbering
from eventkit.kafka.writing.together import Together
from eventkit.kafka.writing.transactions import Transactions
from eventkit.kafka.writing.writer import Writer
from eventkit.projection import versions_switch
from eventkit.projection.batch import Batches
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.handling import Handling

log = logging.getLogger("failpoints")

SEED = "EVENTKIT_TORTURE_FAILPOINTS"
ONLY = "EVENTKIT_TORTURE_STEPS"
"""How the names of the steps begin that are meant; they are struck more often, and deadlier."""
CALM = "EVENTKIT_TORTURE_CALM"
"""A file: when it is there, nothing is struck any more."""
STRAYS = "EVENTKIT_TORTURE_STRAYS"
"""Whether a transaction may be committed that its writer aborts."""

EVERY, EVERY_ONLY = 6.0, 1.0
"""Seconds between two strikes of one process, on average; and where `ONLY` says which steps."""
_SOON = 2.0
_RARELY = 0.2
_FREEZES, _SLEEPS = (1.0, 2.5, 5.0), (0.01, 0.2, 2.5)


Passes = Callable[[str, Any], None]
"""Told the name of a step, and the object whose step it is."""


class Step(NamedTuple):
    """Where a step is.

    Attributes:
        owner: a class or module of the library.
        method: of it.
        after: whether the step is passed when the method has returned, and not before.
        rare: whether it is passed only after faults.
        fails: whether it may also fail.
    """

    owner: type | ModuleType
    method: str
    after: bool = False
    rare: bool = False
    fails: bool = False


class Failed(Exception):
    """What a step raises that fails."""


STEPS: dict[str, Step] = {
    # The write protocol, in the thread of the writer.
    "heads: read, versions given": Step(Numbering, "number", after=True),
    "propose: records produced, not all taken": Step(Transactions, "_flush", fails=True),
    "propose: after": Step(Transactions, "propose", after=True, fails=True),
    "read back: after": Step(Writer, "_read_back", after=True, fails=True),
    "commit: before": Step(Transactions, "commit", fails=True),
    "commit: after": Step(Transactions, "commit", after=True, fails=True),
    "abort: before": Step(Transactions, "abort", fails=True),
    "abort: after": Step(Transactions, "abort", after=True, fails=True),
    "doubt: before a new producer": Step(Doubt, "resolve", rare=True),
    "doubt: old transaction ended, log not asked": Step(Doubt, "_reached", rare=True),
    "doubt: answered": Step(Doubt, "resolve", after=True, rare=True),
    "sweep: before": Step(Transactions, "sweep", rare=True),
    "all: in a new epoch, before the proposal": Step(Together, "_propose"),
    "all: committed, no verdict": Step(Together, "_await_verdict"),
    # Others.
    "help: before": Step(Helper, "_help", rare=True),
    "help: transaction ended, not looked": Step(Helper, "_still_undecided", rare=True),
    "follower: takes over": Step(Following, "_follow"),
    "follower: before the index transaction": Step(IndexWriter, "apply"),
    "follower: in the index transaction": Step(IndexWriter, "_insert"),
    "follower: after the index transaction": Step(IndexWriter, "apply", after=True),
    "acknowledge: in the index, nobody told": Step(InFlight, "settle"),
    "acknowledge: callers told": Step(InFlight, "settle", after=True),
    "acknowledge: found in a shared index": Step(InFlight, "settle_found"),
    # The projection's commit, in the thread of the worker.
    "projection: before the checkpoint": Step(Checkpoints, "advance"),
    "projection: checkpoint moved, no rows": Step(Handling, "all"),
    "projection: rows written, before commit": Step(Handling, "all", after=True),
    "projection: after commit": Step(Batches, "apply", after=True),
    "projection: before group offsets": Step(Group, "_commit"),
    "switch: checkpoints renumbered": Step(versions_switch, "_rename"),
    "switch: between renames": Step(versions_switch, "_rename_tables", after=True),
    "switch: before commit": Step(versions_switch, "_rename", after=True),
}


def arm(who: str = "") -> None:
    """Let this process strike itself, if the rig wants it to; after `bugs.plant`.

    Args:
        who: which process, in which incarnation: the same draws the same.
    """
    seed = os.environ.get(SEED)
    if seed:
        wrap(_Striker(f"{seed} {who or os.getpid()}").passes)


@contextmanager
def wrapped(passes: Passes) -> Iterator[None]:
    """While in the block, tell of each step that is passed, by name."""
    before = {(it.owner, it.method): getattr(it.owner, it.method) for it in STEPS.values()}
    try:
        wrap(passes)
        yield
    finally:
        for (owner, method), original in before.items():
            setattr(owner, method, original)


def wrap(passes: Passes) -> None:
    """Tell of each step that is passed, by name, from now on."""
    for name, step in STEPS.items():
        original = getattr(step.owner, step.method)
        setattr(step.owner, step.method, _around(original, name, step, passes))


def _around(
    original: Callable[..., Any], name: str, step: Step, passes: Passes
) -> Callable[..., Any]:
    @wraps(original)
    def before(*arguments: Any, **named: Any) -> Any:
        passes(name, arguments[0])
        return original(*arguments, **named)

    @wraps(original)
    def after(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        passes(name, arguments[0])
        return result

    return after if step.after else before


class _Striker:
    """Draws steps, and strikes this process when it passes them."""

    def __init__(self, seed: str) -> None:
        self._choose = random.Random(seed)  # noqa: S311
        only = os.environ.get(ONLY, "")
        self._names = [it for it in STEPS if it.startswith(only)]
        self._often = [it for it in self._names if only or not STEPS[it].rare]
        self._every = EVERY_ONLY if only else EVERY
        calm = os.environ.get(CALM)
        self._calm = Path(calm) if calm else None
        self._lock = threading.Lock()
        self._helpers: list[subprocess.Popen[bytes]] = []
        self._name = ""
        self._at = 0.0
        self._draw()

    def _draw(self) -> None:
        self._name = self._choose.choice(self._often)
        self._at = monotonic() + self._choose.expovariate(1 / self._every)

    def passes(self, name: str, owner: Any) -> None:
        """A thread of this process passes a step."""
        with self._lock:
            if not self._is_struck(name):
                return
            strike = self._choose.choice(self._strikes(name))
            how_long = self._choose.choice(range(3))
        if self._calm is not None and self._calm.exists():
            return
        strike(name, how_long, owner)

    def _strikes(self, name: str) -> list[Callable[[str, int, Any], None]]:
        strikes: list[Callable[[str, int, Any], None]]
        strikes = [self._kill, self._kill, self._freeze, self._sleep]
        strikes += [self._kill] * 2 if os.environ.get(ONLY) else []
        if STEPS[name].fails:
            strikes += [self._fail, self._fail]
        if name == "abort: before" and os.environ.get(STRAYS):
            strikes += [self._stray] * 4
        return strikes

    def _kill(self, name: str, _: int, __: Any) -> None:
        log.warning("killed at: %s", name)
        os.kill(os.getpid(), signal.SIGKILL)

    def _freeze(self, name: str, how_long: int, _: Any) -> None:
        """Stop at once; a process of its own lets this one go on."""
        seconds, me = _FREEZES[how_long], os.getpid()
        log.warning("frozen for %g s at: %s", seconds, name)
        command = f"sleep {seconds:g}; kill -CONT {me}"
        self._helpers.append(subprocess.Popen(["/bin/sh", "-c", command], start_new_session=True))
        os.kill(me, signal.SIGSTOP)

    def _sleep(self, name: str, how_long: int, _: Any) -> None:
        log.warning("one thread sleeps for %g s at: %s", _SLEEPS[how_long], name)
        sleep(_SLEEPS[how_long])

    def _fail(self, name: str, _: int, __: Any) -> None:
        log.warning("fails: %s", name)
        raise Failed(name)

    def _stray(self, name: str, _: int, owner: Transactions) -> None:
        """A commit of before comes late: the broker commits what is about to be aborted."""
        log.warning("is committed instead: %s", name)
        owner._open_producer().commit_transaction(owner.step)

    def _is_struck(self, name: str) -> bool:
        if name not in self._names:
            return False
        now = monotonic()
        if STEPS[name].rare and self._choose.random() < _RARELY:
            return True
        struck = name == self._name and now >= self._at
        if struck:
            self._draw()
        elif now > self._at + _SOON:
            self._name, self._at = self._choose.choice(self._often), now
        return struck
