"""Where processor time goes while something is measured: threads of ours, servers, others."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

OTHERS = "other programs"
REST = "the rest of our process"
_TAIL = re.compile(r" eventkit-.*|[-_ ]*\d+$")
"""What tells threads of one role apart: the store's id, or a number."""
_TICK = 1 / os.sysconf("SC_CLK_TCK")
_IDLE = (3, 4)  # the fields of /proc/stat that are no work: idle, and waiting for a disk


class Spent(NamedTuple):
    """Processor time that was spent during a measurement.

    Parameters:
        what: was measured, in a few words.
        who: eventkit, or what it is compared with.
        calls: how many.
        seconds: from begin to end.
        ours: seconds of processor time in our process, by what spent them.
        outside: the same of servers and of other programs.
        cores: how many there are.
    """

    what: str
    who: str
    calls: int
    seconds: float
    ours: Mapping[str, float]
    outside: Mapping[str, float]
    cores: int

    @property
    def idle(self) -> float:
        """The part of all cores that did nothing."""
        busy = sum(self.ours.values()) + sum(self.outside.values())
        return max(0.0, 1 - busy / (self.cores * self.seconds))

    def micros(self, name: str | None = None) -> float:
        """Microseconds a call: of all parts of ours, of the part with a name."""
        parts = {**self.ours, **self.outside}
        seconds = sum(self.ours.values()) if name is None else parts.get(name, 0.0)
        return seconds / self.calls * 1e6

    def plus(self, other: Spent) -> Spent:
        """Both together, as of two rounds."""
        return self._replace(
            calls=self.calls + other.calls,
            seconds=self.seconds + other.seconds,
            ours=_sum(self.ours, other.ours),
            outside=_sum(self.outside, other.outside),
        )


class Watch:
    """Looks at the clocks when a block begins and when it ends.

    Parameters:
        servers: the process ids of servers by their name; those of their children count too.
    """

    def __init__(self, servers: Mapping[str, int] | None = None) -> None:
        self.calls = 0
        self._servers = servers or {}
        self._first = self._last = _Clocks({}, {}, 0.0, 0.0, 0.0)

    def __enter__(self) -> Self:
        self._first = self._last = self._look()
        return self

    def __exit__(self, *exc: object) -> None:
        self._last = self._look()

    @property
    def seconds(self) -> float:
        """How long the block took."""
        return self._last.time - self._first.time

    def spent(
        self, what: str, who: str, calls: int, callers: float = 0.0, children: float = 0.0
    ) -> Spent:
        """What was spent in the block.

        Parameters:
            what: was measured.
            who: eventkit, or what it is compared with.
            calls: how many.
            callers: seconds of processor time of threads that have ended by now.
            children: the same of processes of ours that have ended by now.
        """
        first, last = self._first, self._last
        ours = _difference(last.threads, first.threads)
        if callers:
            ours["callers"] = ours.get("callers", 0.0) + callers
        if children:
            ours["workers"] = children
        whole = last.process - first.process + children
        ours[REST] = max(0.0, whole - sum(ours.values()))
        outside = _difference(last.servers, first.servers)
        others = last.machine - first.machine - whole - sum(outside.values())
        if last.machine:
            outside[OTHERS] = max(0.0, others)
        return Spent(what, who, calls, self.seconds, ours, outside, os.cpu_count() or 1)

    def _look(self) -> _Clocks:
        servers = {name: _with_children(pid) for name, pid in self._servers.items()}
        return _Clocks(
            _threads(), servers, busy_seconds(), time.process_time(), time.perf_counter()
        )


class Spendings:
    """Adds up what is spent over the rounds, for each that is compared.

    Parameters:
        servers: as of a `Watch`.
    """

    def __init__(self, servers: Mapping[str, int]) -> None:
        self._servers = servers
        self._found: dict[str, Spent] = {}

    @contextmanager
    def of(self, what: str, who: str, calls: int = 0) -> Iterator[Watch]:
        """Watch one round, of so many calls; who knows only later sets them in the watch."""
        watch = Watch(self._servers)
        watch.calls = calls
        with watch:
            yield watch
        spent = watch.spent(what, who, watch.calls)
        self._found[who] = self._found[who].plus(spent) if who in self._found else spent

    def sums(self) -> list[Spent]:
        """One for each."""
        return list(self._found.values())


class _Clocks(NamedTuple):
    threads: dict[str, float]
    servers: dict[str, float]
    machine: float
    process: float
    time: float


def busy_seconds() -> float:
    """Processor time that all programs of this machine have taken; 0 where it does not tell."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    except OSError:
        return 0.0
    return sum(int(it) for place, it in enumerate(fields) if place not in _IDLE) * _TICK


def _threads() -> dict[str, float]:
    """Processor time of the running threads of this process, by what they do."""
    names = {it.native_id: it.name for it in threading.enumerate()}
    names[threading.main_thread().native_id] = "callers"
    found: dict[str, float] = {}
    for folder in _tasks():
        try:
            nanoseconds = int((folder / "schedstat").read_text(encoding="ascii").split()[0])
            called = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            continue  # it has ended
        name = names.get(int(folder.name))
        if name is not None and (name == "callers" or name.startswith("eventkit")):
            role = _TAIL.sub("", name.removeprefix("eventkit "))
        elif called.startswith("rdk:"):
            role = "librdkafka"
        else:
            continue
        found[role] = found.get(role, 0.0) + nanoseconds / 1e9
    return found


def _tasks() -> list[Path]:
    try:
        return list(Path("/proc/self/task").iterdir())
    except OSError:
        return []


def _with_children(pid: int) -> float:
    """Processor time of a process, its children, and those of them that have ended."""
    total = 0.0
    try:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                total += _of_family(folder, pid)
    except OSError:
        return total
    return total


def _of_family(folder: Path, pid: int) -> float:
    try:
        fields = (folder / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    # The name, which may hold anything, stands in parentheses.
    parent, own, ended = _times(fields.rpartition(")")[2].split())
    if int(folder.name) == pid:
        return own + ended
    return own if parent == pid else 0.0


def _times(fields: list[str]) -> tuple[int, float, float]:
    return (
        int(fields[1]),
        (int(fields[11]) + int(fields[12])) * _TICK,
        (int(fields[13]) + int(fields[14])) * _TICK,
    )


def _difference(last: Mapping[str, float], first: Mapping[str, float]) -> dict[str, float]:
    return {name: max(0.0, last[name] - first.get(name, 0.0)) for name in last}


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
