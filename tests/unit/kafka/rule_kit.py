"""A reader that applies the rule of the log and keeps what it needs, as an index does."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Home, PartitionRule, Progress

HOME = Home("task", 0, 1)


def record(
    offset: int,
    aggregate_id: str,
    version: int,
    append: str = "a",
    part: int = 0,
    parts: int = 1,
    writer: str = "w1",
) -> LogRecord:
    return LogRecord(
        offset, aggregate_id, version, append.encode(), part, parts, writer,
        b"\x00" * 16, "TaskCreated", 0, None, "{}", b"", None,
    )  # fmt: skip


class Verdicts(NamedTuple):
    """What became of a log: accepted appends and rejected groups, as lists of offsets."""

    accepted: list[list[int]]
    rejected: list[list[int]]


def offsets(records: Iterable[LogRecord]) -> list[int]:
    return [item.offset for item in records]


class Reader:
    """A reader that keeps heads and progress, as an index does."""

    def __init__(self) -> None:
        self.stored: dict[str, int] = {}
        self.progress = Progress()
        self.verdicts = Verdicts([], [])
        self.reasons: list[str] = []
        self.events: dict[str, list[int]] = defaultdict(list)

    def read(self, log: Sequence[LogRecord], stop: int | None = None) -> "Reader":
        """Go on where the last reading stopped, up to the record with the number `stop`."""
        judge = PartitionRule(
            HOME, lambda aggregate_id: self.stored.get(aggregate_id, 0), self.progress
        )
        for item in log[:stop]:
            self._take(judge, item)
        self.progress = judge.progress
        for aggregate_id, versions in self.events.items():
            self.stored[aggregate_id] = versions[-1]
        return self

    def _take(self, judge: PartitionRule, item: LogRecord) -> None:
        append = judge.feed(item)
        if append:
            self.verdicts.accepted.append(offsets(append))
            self.events[append[0].aggregate_id] += [event.version for event in append]
        for reason, records in judge.take_rejected():
            self.verdicts.rejected.append(offsets(records))
            self.reasons.append(reason)


def verdicts(log: Sequence[LogRecord]) -> Verdicts:
    return Reader().read(log).verdicts


def flat(groups: Iterable[Iterable[int]]) -> list[int]:
    return list(chain.from_iterable(groups))
