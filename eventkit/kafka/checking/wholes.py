"""Which appends over several aggregates are whole in the log, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from eventkit.kafka.checking.scratch import Scratch

_TABLE = """
CREATE TABLE parts (
    writer TEXT, all_id BLOB, number INTEGER, count INTEGER,
    topic TEXT, part INTEGER, position INTEGER, aggregate_id TEXT,
    PRIMARY KEY (writer, all_id, number)
) WITHOUT ROWID
"""
_ADD = "INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_MISSING = """
SELECT writer, all_id, max(count), json_group_array(number) FROM parts
GROUP BY writer, all_id HAVING count(*) < max(count)
"""
_PARTS = """
SELECT writer, all_id, number, count, topic, part, position, aggregate_id FROM parts
WHERE writer = ? AND all_id = ? ORDER BY number
"""


class PartOfAll(NamedTuple):
    """One append of an `append_all`, and where its first record stands."""

    writer: str
    all_id: bytes
    number: int
    of: int
    topic: str
    partition: int
    offset: int
    aggregate_id: str


def part_in(header: bytes, writer: str, place: tuple[str, int], offset: int, id_: str) -> PartOfAll:
    """What a header `ce_all` says.

    Raises:
        ValueError: it says nothing.
    """
    all_id, number, count = header.rsplit(b".", 2)
    return PartOfAll(writer, all_id, int(number), int(count), *place, offset, id_)


class Wholes:
    """The parts that took effect, in a temporary file: their number grows with the log."""

    def __init__(self) -> None:
        self._rows = Scratch(_TABLE, _ADD)

    def add(self, parts: Iterable[PartOfAll]) -> None:
        """These are there."""
        self._rows.add(parts)

    def torn(self) -> Iterator[Sequence[PartOfAll]]:
        """The parts that are there, of each `append_all` of which one is missing."""
        for writer, all_id, _, _ in self._rows.ask(_MISSING):
            found = self._rows.ask(_PARTS, (writer, all_id))
            yield [PartOfAll(*row) for row in found]

    def close(self) -> None:
        """Delete the file."""
        self._rows.close()
