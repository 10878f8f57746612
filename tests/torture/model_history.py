"""What visitors saw of read models, and what operators and workers did meanwhile."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.torture.history import lines_of
from tests.torture.read_models import Sums

Checkpoint = Mapping[int, int]
"""The offset up to which each partition was read."""


class Standing(NamedTuple):
    """A build as the database had it: its version and number, its state, its checkpoints."""

    version: int
    number: int
    state: str
    at: Checkpoint


@dataclass(frozen=True)
class Seen:
    """A read model and all its builds, as one transaction saw them.

    Attributes:
        began, ended: when.
        projection: which.
        live: the build that readers read; None where there was none.
        builds: all.
        sums: of the rows.
        moved: whether the tables may be another build's than the checkpoints say.
    """

    began: float
    ended: float
    projection: str
    live: Standing | None
    builds: tuple[Standing, ...]
    sums: Sums
    moved: bool = False


@dataclass(frozen=True)
class Waited:
    """A read of one's own write, after waiting for it.

    Attributes:
        began: the wait, after the append was acknowledged.
        waited: when it was over.
        ended: the read.
        projection: which.
        aggregate: of the append.
        version: that was acknowledged.
        place: partition and offset of it.
        shown: the version in the row, 0 without one.
        live: the build that was read.
    """

    began: float
    waited: float
    ended: float
    projection: str
    aggregate: str
    version: int
    place: tuple[int, int]
    shown: int
    live: Standing | None


@dataclass(frozen=True)
class Folded:
    """An aggregate as a repository with snapshots loaded it; `asked` is a version to go back to."""

    client: str
    index: str
    began: float
    aggregate: str
    asked: int | None
    version: int
    events: int
    chain: str


@dataclass(frozen=True)
class Streamed:
    """What a subscription has shown: by partition the last offset, how many events, their chain."""

    client: str
    shown: Mapping[int, tuple[int, int, str]]


@dataclass(frozen=True)
class Operation:
    """A command of the operator."""

    what: str
    projection: str
    version: int
    began: float
    ended: float
    code: int


@dataclass
class ModelHistory:
    """All of it; `ends` are workers that gave up, with the error and its text."""

    seen: list[Seen] = field(default_factory=list)
    waited: list[Waited] = field(default_factory=list)
    folded: list[Folded] = field(default_factory=list)
    streamed: list[Streamed] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    ends: list[tuple[str, str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def take(self, line: dict[str, Any], index: str) -> None:
        """Take one line of a process that uses this index."""
        match line["kind"]:
            case "model":
                self.seen.append(_seen(line))
            case "waited":
                self.waited.append(_waited(line))
            case "folded":
                self.folded.append(
                    Folded(
                        line["client"], index, line["began"], line["aggregate"], line["asked"],
                        line["version"], line["events"], line["chain"],
                    )
                )  # fmt: skip
            case "streamed":
                shown = {it[0]: (it[1], it[2], it[3]) for it in line["shown"]}
                self.streamed.append(Streamed(line["client"], shown))
            case "operation":
                self.operations.append(
                    Operation(
                        line["what"], line["projection"], line["version"], line["began"],
                        line["at"], line["code"],
                    )
                )  # fmt: skip
            case "ended":
                self.ends.append((line["client"], line["error"], line["why"]))
            case "worker" | "drained" | "not waited" | "unreadable":
                self.others[line["kind"]] += 1
            case _:
                pass


def model_history_of(paths: Iterable[Path], indexes: Mapping[str, str]) -> ModelHistory:
    """What the processes with these logs did; `indexes` tells the index of each."""
    history = ModelHistory()
    for path in paths:
        for line in lines_of(path):
            history.take(line, indexes.get(line["client"], ""))
    return history


def standing_of(found: Mapping[str, Any]) -> tuple[Standing | None, tuple[Standing, ...]]:
    """The live build and all, out of what `read_models.standing` tells."""
    builds = tuple(
        Standing(it["version"], it["number"], it["state"], dict(map(tuple, it["at"])))
        for it in found["builds"]
    )
    return next((it for it in builds if it.version == found["live"]), None), builds


def _seen(line: dict[str, Any]) -> Seen:
    live, builds = standing_of(line)
    return Seen(
        line["began"], line["at"], line["projection"], live, builds, Sums(*line["sums"]),
        line["moved"],
    )  # fmt: skip


def _waited(line: dict[str, Any]) -> Waited:
    live, _ = standing_of(line)
    partition, offset = line["place"]
    return Waited(
        line["began"], line["waited"], line["at"], line["projection"], line["aggregate"],
        line["version"], (partition, offset), line["shown"], live,
    )  # fmt: skip
