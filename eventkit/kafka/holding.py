"""What was judged of a partition and is not shown yet: an append before it is not whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Rejection
from eventkit.sqlite.rows import COLUMNS

_WIDTH = len(COLUMNS)
_AGGREGATE_ID, _VERSION = COLUMNS.index("aggregate_id"), COLUMNS.index("version")


class Holding:
    """Holds back what follows in the log on a record of an append that is not whole yet.

    Readers go by position and never look back, and an event stands where its record does, while its
    append takes effect at the last one. Without holding, the order of events could be:

    1. a writer's append stands at the offsets 56 and 64 of its partition, between them a record
       of another transaction, at 58, and it commits;
    2. `read_committed` shows what comes before 58, for that transaction is still open: the event
       at 57 takes effect, and a projection goes past it; the append of 56 is not whole;
    3. the other transaction ends, 64 is read, and the event at 56 appears behind the projection.

    So what is not before 56 waits for 64, as it would if the other record stood at 55. Who reads a
    record knows that its transaction was committed by then: its other records are below the end
    that the log had at that moment. Where that is passed the append stays torn, and holds nothing
    back any more; what a late record makes of it then, the rule says.

    Used by the thread that follows.

    Parameters:
        shown: the offset before which all is shown already.
        base: the position of the partition's first row.
        end: the end of the log now, as the broker told it last, whether it is decided or not.
    """

    def __init__(self, shown: int, base: int, end: Callable[[], int]) -> None:
        self._shown = shown
        self._base = base
        self._end = end
        self._ends: dict[int, int] = {}
        self._spans: list[tuple[int, int]] = []
        self._rows: list[object] = []
        self._accepted: list[LogRecord] = []
        self._rejected: list[Rejection] = []

    def note(self, append: Sequence[LogRecord]) -> None:
        """An append of several records took effect."""
        self._spans.append((append[0].offset, append[-1].offset))

    def heads(self) -> Iterable[tuple[str, int]]:
        """The aggregates of what is held back, and their versions, in order."""
        rows: list[object] = self._rows
        for start in range(0, len(rows), _WIDTH):
            yield str(rows[start + _AGGREGATE_ID]), int(str(rows[start + _VERSION]))

    def sort(
        self,
        open_frames: Iterable[int],
        read_to: int,
        rows: list[object],
        accepted: list[LogRecord],
        rejected: list[Rejection],
    ) -> int | None:
        """Leave in the lists what may be shown; returns the offset from which on the rest is held.

        Parameters:
            open_frames: the offsets at which the appends begin that are not whole.
            read_to: how far the partition was read.
            rows: new ones, as `add_row` makes them; those held before are put in front.
            accepted, rejected: likewise.
        """
        rows[:0], self._rows = self._rows, []
        accepted[:0], self._accepted = self._accepted, []
        rejected[:0], self._rejected = self._rejected, []
        # What was rejected is not torn apart either: who goes on from here tells of it as a whole.
        of_rejected = [(it.records[0].offset, it.records[-1].offset) for it in rejected]
        spans = self._spans + [it for it in of_rejected if it[0] >= self._shown]
        cut = self._cut(open_frames, read_to, spans)
        if cut is None:
            self._spans.clear()
            self._shown = max(self._shown, read_to)
            return None
        self._shown = max(self._shown, cut)
        self._spans = [it for it in self._spans if it[1] >= cut]
        places = [it - self._base for it in rows[::_WIDTH] if isinstance(it, int)]
        shown: list[object] = []
        for number, offset in enumerate(places):
            into = shown if offset < cut else self._rows
            into += rows[number * _WIDTH : (number + 1) * _WIDTH]
        self._accepted = [it for it in accepted if it.offset >= cut]
        self._rejected = [it for it in rejected if it.records[-1].offset >= cut]
        rows[:] = shown
        accepted[:] = [it for it in accepted if it.offset < cut]
        rejected[:] = [it for it in rejected if it.records[-1].offset < cut]
        return cut

    def _cut(
        self, open_frames: Iterable[int], read_to: int, spans: Sequence[tuple[int, int]]
    ) -> int | None:
        frames = list(open_frames)
        if not frames:
            self._ends.clear()
            return None
        self._ends = {it: self._ends[it] if it in self._ends else self._end() for it in frames}
        awaited = [it for it, end in self._ends.items() if it >= self._shown and read_to < end]
        if not awaited:
            return None
        cut = min(awaited)
        while across := [it for it, last in spans if it < cut <= last]:
            cut = min(across)
        # What was torn, and is whole after all, would have to be shown in part: show it, and all.
        return cut if cut >= self._shown else None
