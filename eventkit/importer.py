"""Imports files of CloudEvents: batches of appends, of which a second run adds nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from eventkit.cloudevents import CloudEventReader
from eventkit.store import EventStore

MAX_LINE_BYTES = 8 * 1024 * 1024
"""A longer line is no event but a file of another form, and must not fill the memory."""
_BATCH_LINES = 1_000
_BATCH_BYTES = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line of a file, or a piece of one that is too long.

    Parameters:
        number: of the line, from 1.
        content: its bytes, the end of line included.
        begins, ends: whether its first and its last byte are those of the line.
    """

    number: int
    content: bytes
    begins: bool = True
    ends: bool = True


class Rejection(NamedTuple):
    """A line that was not imported, and why."""

    line: Line
    reason: str


@dataclass
class ImportCounts:
    """What an import has come to so far; a blank line is no event."""

    appended: int = 0
    already_there: int = 0
    rejected: int = 0
    bytes: int = 0
    aggregates: set[str] = field(default_factory=set)

    @property
    def read(self) -> int:
        """The lines whose outcome is known."""
        return self.appended + self.already_there + self.rejected


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file, without a byte order mark, at most `MAX_LINE_BYTES` at a time."""
    number, begins = 1, True
    while content := file.readline(MAX_LINE_BYTES):
        ends = content.endswith(b"\n") or len(content) < MAX_LINE_BYTES
        if number == 1 and begins:
            content = content.removeprefix(_BOM)
        yield Line(number, content, begins, ends)
        number, begins = number + ends, ends


class Importer:
    """Appends the events of one file to a store.

    Every event has the id that its line gives, so an import that was cut off is simply run again:
    what is recorded already is found and not written twice.

    Parameters:
        store: where the events go; it must know their classes.
        reject: called with each line that is not imported, in the order of the file.
        keep_going: whether to go on after a rejected line; otherwise it is the last one read.
    """

    def __init__(
        self, store: EventStore, reject: Callable[[Rejection], None], *, keep_going: bool = False
    ) -> None:
        self.counts = ImportCounts()
        self._store = store
        self._reader = CloudEventReader(store.types)
        self._reject = reject
        self._keep_going = keep_going

    def run(self, lines: Iterable[Line]) -> Iterator[ImportCounts]:
        """Import the lines, and yield the counts after each batch.

        When it is given up half-way, what it has counted is in the store.

        Raises:
            StoreError: the store cannot be written; what was counted is in it.
        """
        batch = _Batch()
        for line in lines:
            if self._ends_batch(batch, line):
                yield self._finish(batch)
                if self._stopped:
                    return
                batch = _Batch()
            self._take(batch, line)
        yield self._finish(batch)

    @property
    def _stopped(self) -> bool:
        return self.counts.rejected > 0 and not self._keep_going

    def _ends_batch(self, batch: _Batch, line: Line) -> bool:
        return False
