"""The rule of the log: which appends took effect. Pure; the same for every reader.

Read a partition in the order of its offsets, as `read_committed` shows it. The records that share a
writer and an append id are a **frame**. An append takes effect at the last record of its frame, if

- the frame is whole: its parts come in order, the writer put nothing between them, and they are of
  one aggregate with consecutive versions, and
- the first version is the one after the aggregate's current version, and
- the aggregate belongs here: to the category of the topic, and by murmur2 to the partition.

Otherwise it never happened. A writer produces the records of an append one after the other, so it
has one open frame at most, and a record that does not continue that frame closes it. A frame is
also given up when `MAX_SPAN` offsets have passed since its first record, or when it is the oldest
of more than `MAX_OPEN`: both depend on the log alone, and keep small what a reader has to remember.

Transactions keep what breaks the rule out of sight nearly always; the rule is for what is left,
such as a commit that a broker applies to the wrong transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from eventkit.errors import InvalidAggregateId
from eventkit.ids import KNOWN_IDS, MAX_AGGREGATE_ID, category_of
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.reading import LogRecord

MAX_SPAN = 1_000_000
"""Offsets from the first to the last record of a frame; an append is produced in one go, and has
`MAX_EVENTS_PER_APPEND` records at most, between which those of other writers may stand."""
MAX_OPEN = 4_096
"""Frames that are open at once in one partition; each needs a writer of its own."""


class Home(NamedTuple):
    """The partition that a rule reads.

    Parameters:
        category: the topic is `<category>.events`.
        partition: from 0.
        partitions: how many the topic had when it was created.
    """

    category: str
    partition: int
    partitions: int


class Rejection(NamedTuple):
    """Records that belong together and never took effect, and why."""

    reason: str
    records: tuple[LogRecord, ...]


class Progress(NamedTuple):
    """How far a partition was read; kept with the heads, it lets another reader go on.

    Parameters:
        resume: the offset to read from: the first record of the oldest open frame, if one is open.
        decided: every verdict before this offset is known; records from `resume` to here are read
            again only to fill the open frames.
    """

    resume: int = 0
    decided: int = 0

    def up_to(self, end: int) -> Progress:
        """This, where nothing but markers stands between the last record and an offset."""
        resume = max(self.resume, end) if self.resume == self.decided else self.resume
        return Progress(resume, max(self.decided, end))


_START = Progress()


class PartitionRule:
    """Applies the rule to one partition.

    It remembers the open frames, and the heads that changed since `heads_stored`.

    Parameters:
        home: which partition.
        head_of: the version of an aggregate, 0 for none, as of the last call of `heads_stored`, or
            of `progress` before the first. Asked when an append might take effect.
        progress: where an earlier reader of this partition stopped, who stored those heads.
    """

    def __init__(
        self, home: Home, head_of: Callable[[str], int], progress: Progress = _START
    ) -> None:
        self._home = home
        self._head_of = head_of
        self._next, self._decided = progress
        self._heads: dict[str, int] = {}
        self._open: dict[str, list[LogRecord]] = {}
        self._rejected: list[Rejection] = []

    @property
    def progress(self) -> Progress:
        """How far the partition is read; to be stored together with what `feed` returned."""
        return Progress(self.resume_offset, max(self._next, self._decided))

    @property
    def resume_offset(self) -> int:
        """The first record of the oldest open frame, else the offset after the last record."""
        for frame in self._open.values():
            return frame[0].offset
        return self._next

    def feed(self, record: LogRecord) -> Sequence[LogRecord]:
        """Take the next record; returns the append that takes effect at it, if one does.

        A record that was fed before is passed over.
        """
        if record.offset < self._next:
            return ()
        self._next = record.offset + 1
        if self._open:
            self._give_up_before(record.offset - MAX_SPAN)
        if record.problem is not None:
            self._reject(record.problem, record)
            return ()
        if record.parts == 1 and not self._open:
            return self._decide((record,))
        return self._decide(self._whole(record))

    def take_rejected(self) -> list[Rejection]:
        """What was rejected since the last call, each once, in the order of the verdicts."""
        rejected, self._rejected = self._rejected, []
        return rejected

    def open_frames(self) -> list[tuple[LogRecord, ...]]:
        """The frames that are open, the oldest first: what was read of appends not whole yet."""
        return [tuple(frame) for frame in self._open.values()]

    def heads_stored(self) -> None:
        """Forget the heads that changed: from now on `head_of` knows them."""
        self._heads.clear()

    def _decide(self, append: tuple[LogRecord, ...]) -> tuple[LogRecord, ...]:
        """The append, if it takes effect at the record that is being fed."""
        if not append or self._next <= self._decided:
            return ()
        aggregate_id, version = append[0].aggregate_id, append[0].version
        head = self._heads.get(aggregate_id)
        if head is None:
            if not self._is_home(aggregate_id):
                self._reject(f"{aggregate_id!r:.200} does not belong to this partition", *append)
                return ()
            head = self._head_of(aggregate_id)
        if version != head + 1:
            self._reject(
                f"it begins at version {version!s:.40}, the aggregate is at {head}", *append
            )
            return ()
        self._heads[aggregate_id] = append[-1].version
        return append

    def _is_home(self, aggregate_id: str) -> bool:
        """Whether an aggregate belongs here; what is too long for one is not remembered either."""
        if len(aggregate_id) > MAX_AGGREGATE_ID:
            return False
        return _home_of(aggregate_id, self._home.partitions) == self._home

    def _whole(self, record: LogRecord) -> tuple[LogRecord, ...]:
        """The frame that is whole with this record, if one is."""
        frame = self._open.get(record.writer)
        if frame is not None:
            if _continues(frame, record):
                frame.append(record)
                return self._close(frame) if len(frame) == record.parts else ()
            self._reject("its writer went on before it was whole", *self._close(frame))
        if record.part > 0:
            self._reject(f"part {record.part} does not continue an append", record)
            return ()
        if record.parts == 1:
            return (record,)
        self._open[record.writer] = [record]
        if len(self._open) > MAX_OPEN:
            self._give_up_before(self.resume_offset + 1)
        return ()

    def _close(self, frame: list[LogRecord]) -> tuple[LogRecord, ...]:
        del self._open[frame[0].writer]
        return tuple(frame)

    def _give_up_before(self, offset: int) -> None:
        """Give up the open frames that began before an offset; the oldest come first."""
        while self._open and self.resume_offset < offset:
            oldest = next(iter(self._open.values()))
            self._reject("it stayed open for too long", *self._close(oldest))

    def _reject(self, reason: str, *records: LogRecord) -> None:
        if self._next > self._decided:
            self._rejected.append(Rejection(reason, records))


def _continues(frame: Sequence[LogRecord], record: LogRecord) -> bool:
    first, part = frame[0], len(frame)
    return (
        record.part == part
        and record.append_id == first.append_id
        and record.parts == first.parts
        and record.version == first.version + part
        and record.aggregate_id == first.aggregate_id
    )


@lru_cache(maxsize=KNOWN_IDS)
def _home_of(aggregate_id: str, partitions: int) -> Home | None:
    """Where an aggregate belongs; None for what is no aggregate id."""
    try:
        category = category_of(aggregate_id)
    except InvalidAggregateId:
        return None
    return _home(category, partition_for(aggregate_id.encode(), partitions), partitions)


# The aggregates of a partition share its Home: one object less for each of them in memory.
_home = lru_cache(maxsize=4_096)(Home)
