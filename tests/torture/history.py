"""Histories: what clients asked, what they were told, and when; one JSON line each.

Times are those of the machine's monotonic clock, which all its processes share. A line is given to
the kernel at once, so that a client that is killed has said all that it knew.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from time import monotonic
from typing import Any


class Status(Enum):
    """What is known of an append in the end."""

    DONE = "done"  # acknowledged
    FAILED = "failed"  # certainly not written
    UNKNOWN = "unknown"  # its client was told so, and never found out
    PENDING = "pending"  # its client was killed before it knew


@dataclass
class Op:
    """An append, with all its attempts under the same event ids.

    Attributes:
        name: of the append.
        client: the process that asked.
        index: the index file of that process.
        aggregate: to which.
        expected: at which version; None for any.
        tokens: of its events.
        ids: of its events, as far as the client knows them.
        began: the first attempt.
        ended: the last answer.
        version: of its last event.
    """

    name: str
    client: str
    index: str
    aggregate: str
    expected: int | None
    tokens: tuple[str, ...]
    ids: tuple[str, ...] | None
    began: float
    ended: float = 0.0
    status: Status = Status.PENDING
    version: int = 0
    in_doubt: bool = False


@dataclass(frozen=True)
class Read:
    """What a client was shown: the events of an aggregate from a version on."""

    client: str
    index: str
    began: float
    aggregate: str
    first: int
    tokens: tuple[str, ...]
    ended: float = 0.0

    @property
    def last(self) -> int:
        """The highest version that it showed."""
        return self.first + len(self.tokens) - 1


@dataclass
class History:
    """What all clients logged.

    Attributes:
        ops: by name.
        reads: in any order.
        broken: errors that no client should ever get.
    """

    ops: dict[str, Op] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def take(self, line: dict[str, Any], index: str) -> None:
        """Take one line of a client that uses this index."""
        match line["kind"]:
            case "invoke":
                self._invoke(line, index)
            case "read":
                self.reads.append(
                    Read(
                        line["client"], index, line["began"], line["aggregate"], line["first"],
                        tuple(line["tokens"]), line["at"],
                    )
                )  # fmt: skip
            case "broken":
                self.broken.append(f"{line['client']}: {line['why']}")
            case "done" | "failed" | "refused" | "unknown":
                self._answer(self.ops[line["op"]], line)
            case _:
                pass

    def _invoke(self, line: dict[str, Any], index: str) -> None:
        ids = None if line["ids"] is None else tuple(line["ids"])
        known = self.ops.get(line["op"])
        if known is not None:  # a new attempt; of the one before its client may not know
            known.in_doubt = known.in_doubt or known.status is Status.PENDING
            known.ids = ids
            return
        self.ops[line["op"]] = Op(
            line["op"], line["client"], index, line["aggregate"], line["expected"],
            tuple(line["tokens"]), ids, line["at"],
        )  # fmt: skip

    def _answer(self, op: Op, line: dict[str, Any]) -> None:
        op.ended = line["at"]
        match line["kind"]:
            case "done":
                op.status, op.version, op.ids = Status.DONE, line["version"], tuple(line["ids"])
            case "failed":
                op.status = Status.FAILED
            case "refused":  # this attempt wrote nothing; an earlier one may have
                op.status = Status.UNKNOWN if op.in_doubt else Status.FAILED
            case _:
                op.status, op.in_doubt, op.ids = Status.UNKNOWN, True, tuple(line["ids"])


def resumed(history: History) -> list[Op]:
    """The appends to be tried again by a client that starts again: those with known ids."""
    for op in history.ops.values():
        op.in_doubt = op.in_doubt or op.status is Status.PENDING
    open_ = (Status.PENDING, Status.UNKNOWN)
    return [op for op in history.ops.values() if op.status in open_ and op.ids is not None]


class Log:
    """Where a client writes its history.

    Args:
        path: the file; its earlier incarnations wrote the same.
        client: its name.
    """

    def __init__(self, path: Path, client: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._client = client
        self._lock = threading.Lock()

    def say(self, kind: str, **data: object) -> None:
        """Log one line, with the time."""
        with self._lock:
            line = {"kind": kind, "client": self._client, "at": monotonic(), **data}
            os.write(self._file, json.dumps(line).encode() + b"\n")


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a client; the last one may be cut off."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def history_of(paths: Iterable[Path], indexes: dict[str, str]) -> History:
    """What the clients with these logs did; `indexes` tells the index of each client."""
    history = History()
    for path in paths:
        for line in lines_of(path):
            history.take(line, indexes[line["client"]])
        for op in history.ops.values():  # a client that starts again asks for what it left open
            op.in_doubt = op.in_doubt or op.status is Status.PENDING
    return history
