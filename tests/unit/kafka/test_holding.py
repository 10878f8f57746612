"""What a follower shows of any log, in any batches, stopped anywhere: never an event behind one."""

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from eventkit.kafka.holding import Holding
from eventkit.kafka.indexfile import add_row
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import PartitionRule, Progress, Rejection
from eventkit.sqlite.rows import COLUMNS
from tests.unit.kafka.rule_kit import HOME, Reader, record

BASE = 3 << 44


class Follower:
    """Judges batches and shows what is not held back, as `CommittedTail` does; it may be restarted.

    Parameters:
        log: all that is ever committed; its end is known from the beginning.
    """

    def __init__(self, log: Sequence[LogRecord]) -> None:
        self._log = log
        self.shown: list[list[int]] = []
        self.rejected: list[Rejection] = []
        self.stored: dict[str, int] = {}
        self.progress = Progress()
        self.restart()

    def restart(self) -> None:
        """Forget all but what is stored."""
        known = dict(self.stored)
        self._known = known
        self._rule = PartitionRule(HOME, lambda it: known.get(it, 0), self.progress)
        self._holding = Holding(self.progress.decided, BASE, lambda: len(self._log))
        self._next = self.progress.resume

    def read(self, count: int) -> None:
        """Read so many records more, and what the end of the log is, where it is reached."""
        rows: list[object] = []
        batch = self._log[self._next : self._next + count]
        self._next += len(batch)
        for item in batch:
            append = self._rule.feed(item)
            for it in append:
                add_row(rows, BASE, it)
                self._known[it.aggregate_id] = it.version
            if len(append) > 1:
                self._holding.note(append)
        self._rule.heads_stored()
        resume, decided = self._rule.progress
        begun = [frame[0].offset for frame in self._rule.open_frames()]
        rejected = self._rule.take_rejected()
        held = self._holding.sort(begun, decided, rows, [], rejected)
        self._show(rows)
        self.rejected += rejected
        self.progress = self._rule.progress
        if held is not None:
            self.progress = Progress(min(resume, held), held)

    def _show(self, rows: list[object]) -> None:
        found = []
        for start in range(0, len(rows), len(COLUMNS)):
            position, _, aggregate_id, version, *_ = rows[start : start + len(COLUMNS)]
            assert isinstance(position, int)
            found.append(position - BASE)
            self.stored[str(aggregate_id)] = int(str(version))
        self.shown.append(found)


def of_writer(number: int, sizes: Sequence[int]) -> Iterator[LogRecord]:
    """The records of a writer, without offsets; the last one of a negative size is missing."""
    version = 0
    for count, size in enumerate(sizes):
        parts = abs(size)
        for part in range(parts - (size < 0)):
            yield record(
                0, f"task-{number}", version + part + 1, f"{count}", part, parts, f"w{number}"
            )
        version += parts if size > 0 else 0


@st.composite
def logs(draw: st.DrawFn) -> list[LogRecord]:
    """Appends of some writers, whose records stand between each other."""
    sizes = st.lists(st.sampled_from([1, 1, 2, 3, 4, -2, -3]), max_size=4)
    left = [list(of_writer(it, draw(sizes))) for it in range(draw(st.integers(1, 4)))]
    log: list[LogRecord] = []
    while any(left):
        some = draw(st.sampled_from([it for it in left if it]))
        log.append(some.pop(0)._replace(offset=len(log)))
    return log


@given(logs(), st.data())
def test_what_is_shown_stands_behind_all_that_was_shown_before(
    log: list[LogRecord], data: st.DataObject
) -> None:
    follower = Follower(log)
    while follower.progress.resume < len(log) and follower.progress.decided < len(log):
        follower.read(data.draw(st.integers(1, 4)))
        if data.draw(st.integers(0, 5)) == 0:
            follower.restart()
    everything = Reader().read(log)
    last = -1
    for some in follower.shown:
        assert all(it > last for it in some)
        last = max(some, default=last)
    assert sorted(it for some in follower.shown for it in some) == sorted(
        it for append in everything.verdicts.accepted for it in append
    )
    # Each is told whole and once; those that are held back come later than they would.
    told = [[it.offset for it in some.records] for some in follower.rejected]
    assert sorted(told) == sorted(everything.verdicts.rejected)
