"""What a run has found, as far as it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from tests.benchmarks.kit import Sizes
from tests.benchmarks.machine import Load
from tests.benchmarks.results import Figure, Latency, Point, Result
from tests.benchmarks.spending import OTHERS, Spent
from tests.benchmarks.steps import Section

_QUIET = 0.1
"""The part of all cores that others may take of a run that is called quiet."""
_R = TypeVar("_R", Figure, Latency, Point, Spent)


@dataclass
class Record:
    """A run.

    Parameters:
        began: when, in UTC.
        command: how to repeat it.
        quick: whether it was a quick one.
        sizes: how much was measured.
        machine: what it ran on.
        versions: of what it used.
        before: how busy the machine was.
        after: the same at the end, when all servers were gone.
        found: by section.
        problems: what could not be measured, and why.
        interrupted: whether it was ended early.
        seconds: that it took.
    """

    began: datetime
    command: str
    quick: bool
    sizes: Sizes
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    before: Load
    after: Load | None = None
    found: dict[Section, list[Result]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    def add(self, section: Section, results: list[Result]) -> None:
        """Keep what a step found."""
        self.found.setdefault(section, []).extend(results)

    def all(self, kind: type[_R]) -> Iterator[_R]:
        """All results of a kind."""
        for section in self.found:
            yield from self.of(section, kind)

    def of(self, section: Section, kind: type[_R]) -> Iterator[_R]:
        """Those of a section."""
        return (it for it in self.found[section] if isinstance(it, kind))

    @property
    def others(self) -> float:
        """The part of all cores that other programs took while something was measured."""
        spent = list(self.all(Spent))
        cores = sum(it.seconds * it.cores for it in spent)
        return sum(it.outside.get(OTHERS, 0.0) for it in spent) / cores if cores else 0.0

    @property
    def noise(self) -> list[str]:
        """Why the figures may mean little; nothing on a quiet machine."""
        shares = {
            "before it": self.before.busy,
            "while it measured": self.others,
            "after it": self.after.busy if self.after else 0.0,
        }
        return [
            f"{when} other programs took {share:.0%} of the cores"
            for when, share in shares.items()
            if share > _QUIET
        ]

    def raw(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "began": self.began.isoformat(timespec="seconds"),
            "command": self.command,
            "quick": self.quick,
            "sizes": asdict(self.sizes),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "load": {"before": _load(self.before), "after": _load(self.after)},
            "others": self.others,
            "noise": self.noise,
            "problems": self.problems,
            "interrupted": self.interrupted,
            "seconds": self.seconds,
            "sections": {section.name: self._section(section) for section in self.found},
        }

    def _section(self, section: Section) -> dict[str, Any]:
        return {
            "title": section.title,
            "figures": [
                it._asdict()
                | {"aims": [asdict(aim) for aim in it.aims]}
                | {"verdicts": [verdict._asdict() for verdict in it.verdicts]}
                for it in self.of(section, Figure)
            ],
            "latencies": [it._asdict() for it in self.of(section, Latency)],
            "points": [it._asdict() for it in self.of(section, Point)],
            "spent": [it._asdict() for it in self.of(section, Spent)],
        }


def _load(load: Load | None) -> dict[str, Any] | None:
    return load and load._asdict()
