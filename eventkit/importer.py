"""Imports files of CloudEvents, so that a second run adds nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple
from uuid import UUID

from eventkit.cloudevents import CloudEventReader
from eventkit.errors import DuplicateEventId, EventkitError, InvalidCloudEvent, StoreError
from eventkit.events import Metadata
from eventkit.store import Append, Appended, EventStore

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
        begins: whether this is where the line begins.
        ends: whether this is where it ends.
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
    """What an import has come to so far. Blank lines are not counted.

    Parameters:
        appended: events that are in the store now.
        already_there: events that were in the store before.
        rejected: lines that were not imported.
        lines: the number of the last line read.
        size: bytes read.
        aggregates: the ids of the aggregates whose events were appended or there.
    """

    appended: int = 0
    already_there: int = 0
    rejected: int = 0
    lines: int = 0
    size: int = 0
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
        reject: called with each line that is not imported, in the order of the file. A line longer
            than `MAX_LINE_BYTES` comes in pieces, all but the first without a reason.
        keep_going: whether to go on after a rejected line.
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
        """Import the lines; yields the counts after each batch.

        Where it is not to keep going, a line that may have to be rejected is the last of a batch,
        so that nothing behind it is appended before that is known. Not so what only the store can
        tell: an id that was recorded before with other content, and a value that Avro cannot hold.
        Then the other lines of its batch are appended; `counts.lines` tells the last of them.

        Raises:
            StoreError: the store cannot be written; what was counted is in it.
        """
        batch = _Batch()
        for line in lines:
            item = self._parse(line)
            if item is None:
                self.counts.size += len(line.content)
                continue
            last = not self._keep_going and (isinstance(item, str) or batch.holds_id_of(item))
            if last:
                yield self._finish(batch)
            if not self._stopped:
                batch.add(line, item)
            if last or batch.is_full:
                yield self._finish(batch)
            if self._stopped:
                return
        yield self._finish(batch)

    @property
    def _stopped(self) -> bool:
        return self.counts.rejected > 0 and not self._keep_going

    def _parse(self, line: Line) -> Append | str | None:
        """The append of a line, the reason why it has none, or None where it is blank."""
        if not line.begins:
            return ""
        if not line.ends:
            return (
                f"the line is longer than {MAX_LINE_BYTES >> 20} MiB; "
                "one JSON object a line is expected"
            )
        if line.content.isspace() or not line.content:
            return None
        try:
            return self._reader.read(line.content)
        except InvalidCloudEvent as error:
            if line.content.endswith(b"\n"):
                return str(error)
            return f"{error} (the last line, without an end: is the file cut off?)"

    def _finish(self, batch: _Batch) -> ImportCounts:
        """Append what is in the batch, settle each of its lines, and empty it."""
        counts = self.counts
        appends = batch.appends()
        outcomes = iter(self._store.append_each(appends) if appends else ())
        for line, item in batch.entries:
            reason = item if isinstance(item, str) else self._settle(item, next(outcomes))
            if reason is not None:
                counts.rejected += line.begins
                self._reject(Rejection(line, reason))
            counts.lines = line.number
            counts.size += len(line.content)
        batch.clear()
        return counts

    def _settle(self, asked: Append, outcome: Appended | EventkitError) -> str | None:
        """Count what came of an append, or return why its line is rejected."""
        match outcome:
            case StoreError():
                raise outcome
            case DuplicateEventId():
                return (
                    f"id used twice with other content: it is {outcome.aggregate_id} version "
                    f"{outcome.version}, and {outcome.reason}"
                )
            case EventkitError():
                return str(outcome)
        if outcome.already_recorded:
            difference = self._other_metadata(asked, outcome.version)
            if difference:
                return difference
            self.counts.already_there += 1
        else:
            self.counts.appended += 1
        self.counts.aggregates.add(asked.aggregate_id)
        return None

    def _other_metadata(self, asked: Append, version: int) -> str | None:
        """What the store does not compare: the metadata that the line gives."""
        (recorded,) = self._store.get_events(asked.aggregate_id, version, version)
        assert asked.metadata is not None  # noqa: S101 - every line has a time
        name = _first_difference(asked.metadata, recorded.metadata)
        if name is None:
            return None
        return (
            f"id used twice with other content: it is {asked.aggregate_id} version {version}, "
            f"and its {name} differs"
        )


class _Batch:
    """Lines that are appended with one commit, and those rejected between them."""

    def __init__(self) -> None:
        self.entries: list[tuple[Line, Append | str]] = []
        self._ids: set[UUID] = set()
        self._size = 0

    @property
    def is_full(self) -> bool:
        return len(self.entries) >= _BATCH_LINES or self._size >= _BATCH_BYTES

    def holds_id_of(self, item: Append) -> bool:
        return not self._ids.isdisjoint(item.event_ids or ())

    def add(self, line: Line, item: Append | str) -> None:
        self.entries.append((line, item))
        self._size += len(line.content)
        if isinstance(item, Append):
            self._ids.update(item.event_ids or ())

    def appends(self) -> list[Append]:
        return [item for _, item in self.entries if isinstance(item, Append)]

    def clear(self) -> None:
        self.entries.clear()
        self._ids.clear()
        self._size = 0


def _first_difference(given: Metadata, recorded: Metadata) -> str | None:
    """The first thing that `given` says and `recorded` does not; what is not given may differ."""
    for name in ("timestamp", "caused_by_user", "causation_id", "correlation_id", "workspace_id"):
        value = getattr(given, name)
        if value is not None and value != getattr(recorded, name):
            return name
    for name, value in given.extra.items():
        if recorded.extra.get(name) != value:
            return name
    return None
