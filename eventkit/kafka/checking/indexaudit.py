"""Whether an index file holds what the log holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eventkit.errors import StoreError
from eventkit.events import Position
from eventkit.health.findings import Finding, Kind
from eventkit.kafka.index import OFFSET_BITS, Partition
from eventkit.kafka.indexfile import LogId, is_index, progress_of
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Progress
from eventkit.kafka.scanning.log import row_of
from eventkit.sqlite.failures import translated
from eventkit.sqlite.readonly import open_readonly
from eventkit.sqlite.rows import COLUMNS

_OFFSET = (1 << OFFSET_BITS) - 1
_ROWS = (
    f"SELECT {', '.join(COLUMNS)} FROM events "  # noqa: S608 - constants
    "WHERE position >= ? AND position < ? ORDER BY position"
)
_NUMBERS = "SELECT topic, part, number FROM partitions"
_MOST_FAULTS = 100


class IndexAudit:
    """Compares the rows of an index with what the log shows, partition by partition.

    What the index has not read yet is no difference. What is wrong with the file itself is told by
    `faults`; after any, its rows are not compared.

    Parameters:
        path: the file.
        log: which log it should be of.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: Path, log: LogId) -> None:
        self._path = path
        self._fix = f"rm {path}*, while no process uses it: the index is built again from Kafka"
        self._connection = open_readonly(path)
        self._progress: dict[Partition, Progress] = {}
        self._numbers: dict[Partition, int] = {}
        self._log = log
        self._sound = False

    def faults(self) -> Iterator[Finding]:
        """What is wrong with the file; to be asked before where the log ends."""
        try:
            with translated(str(self._path)):
                if not is_index(self._connection, self._log):
                    yield self._finding("it is the index of another log, or of another eventkit")
                    return
                rows = self._connection.execute(f"PRAGMA integrity_check({_MOST_FAULTS})")
                wrong = [str(row[0]) for row in rows if row[0] != "ok"]
                self._progress = progress_of(self._connection)
                self._numbers = {
                    (topic, part): number
                    for topic, part, number in self._connection.execute(_NUMBERS)
                }
        except StoreError as error:
            yield self._finding(str(error))
            return
        for text in wrong:
            yield self._finding(f"SQLite finds it damaged: {text}")
        self._sound = not wrong

    def ahead(self, partition: Partition, end: int) -> Finding | None:
        """That the index is further than the log."""
        decided = self._progress.get(partition, Progress()).decided
        if not self._sound or decided <= end:
            return None
        return self._finding(
            f"it was read up to {decided}, and the log ends at {end}: the log was cut off",
            Position(*partition, end),
        )

    def of(self, partition: Partition) -> PartitionIndex | None:
        """What compares a partition; None if it is not to be compared."""
        if not self._sound or partition not in self._numbers:
            return None
        end = self._progress[partition].resume
        base = self._numbers[partition] << OFFSET_BITS
        return PartitionIndex(self, partition, base, end)

    def rows(self, first: int, after: int) -> list[tuple[Any, ...]]:
        """The rows of a stretch."""
        with translated(str(self._path)):
            return self._connection.execute(_ROWS, (first, after)).fetchall()

    def finding(
        self, problem: str, partition: Partition, offset: int, aggregate_id: str
    ) -> Finding:
        """That the file differs at a place."""
        return self._finding(problem, Position(*partition, offset), aggregate_id)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _finding(
        self, problem: str, position: Position | None = None, aggregate_id: str | None = None
    ) -> Finding:
        return Finding(Kind.INDEX, f"{self._path}: {problem}", self._fix, position, aggregate_id)


class PartitionIndex:
    """Compares one partition.

    Parameters:
        index: the whole.
        partition: which.
        base: the position of its first row.
        end: the index holds all that took effect before this offset.
    """

    def __init__(self, index: IndexAudit, partition: Partition, base: int, end: int) -> None:
        self._index = index
        self._partition = partition
        self._base = base
        self._done = 0
        self._end = end
        self._waiting: dict[int, LogRecord] = {}

    def compare(self, accepted: Sequence[LogRecord], resume: int) -> Iterator[Finding]:
        """Take what took effect; before `resume` nothing will any more."""
        to = min(resume, self._end)
        self._waiting.update([(it.offset, it) for it in accepted if it.offset < self._end])
        if to <= self._done:
            return
        rows = self._index.rows(self._base | self._done, self._base + to)
        self._done = to
        held = {row[0] & _OFFSET: row[1:] for row in rows}
        shown = {offset: it for offset, it in self._waiting.items() if offset < to}
        for offset in sorted(held.keys() | shown.keys()):
            record, row = self._waiting.pop(offset, None), held.get(offset)
            if record is None and row is not None:
                yield self._finding("it holds an event that never took effect", offset, row[1])
            elif record is not None and row is None:
                yield self._finding("it lacks an event", offset, record.aggregate_id)
            elif record is not None and row != row_of(record)[1:]:
                yield self._finding("it holds another event", offset, record.aggregate_id)

    def _finding(self, problem: str, offset: int, aggregate_id: str) -> Finding:
        return self._index.finding(problem, self._partition, offset, aggregate_id)
