"""Importing lines into a store."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest

from eventkit import Append, Appended, EventkitError, OutcomeUnknown
from eventkit.importer import MAX_LINE_BYTES, Importer, Line, Rejection, read_lines
from eventkit.sqlite import SqliteStore
from tests.acceptance.cli_kit import events
from tests.acceptance.hotel import GuestArrived


class Doubtful(SqliteStore):
    """A store that cannot tell what became of its second batch."""

    batches = 0

    def append_each(self, appends: Sequence[Append]) -> list[Appended | EventkitError]:
        self.batches += 1
        if self.batches == 1:
            return super().append_each(appends)
        return [OutcomeUnknown(item.event_ids or (), "the disk is gone") for item in appends]


def lines(content: bytes) -> list[Line]:
    return list(read_lines(BytesIO(content)))


def test_lines_are_numbered_from_one_and_keep_their_ends() -> None:
    assert lines(b"a\r\n\nb") == [Line(1, b"a\r\n"), Line(2, b"\n"), Line(3, b"b")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb") == [Line(1, b"a\n"), Line(2, b"\xef\xbb\xbfb")]


def test_a_long_line_comes_in_pieces() -> None:
    long = b"x" * MAX_LINE_BYTES
    assert lines(long + long + b"y\nz\n") == [
        Line(1, long, begins=True, ends=False),
        Line(1, long, begins=False, ends=False),
        Line(1, b"y\n", begins=False, ends=True),
        Line(2, b"z\n"),
    ]


def test_an_unknown_outcome_ends_the_import_with_what_is_certain(tmp_path: Path) -> None:
    rejections: list[Rejection] = []
    with Doubtful(tmp_path / "events.db") as store:
        store.types.bind(GuestArrived)
        importer = Importer(store, rejections.append)
        with pytest.raises(OutcomeUnknown):
            for _ in importer.run(lines(b"\n".join(events(1_500)))):
                pass
    assert (importer.counts.appended, importer.counts.read, rejections) == (1_000, 1_000, [])


def test_the_pieces_of_a_long_line_are_one_rejected_line(tmp_path: Path) -> None:
    rejections: list[Rejection] = []
    with SqliteStore(tmp_path / "events.db") as store:
        importer = Importer(store, rejections.append, keep_going=True)
        content = b"x" * (2 * MAX_LINE_BYTES) + b"y\n"
        for _ in importer.run(lines(content)):
            pass
    assert importer.counts.rejected == 1
    assert b"".join(rejection.line.content for rejection in rejections) == content
    assert [bool(rejection.reason) for rejection in rejections] == [True, False, False]
