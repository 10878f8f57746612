"""Planted bugs: what the rig must find; `test_planted.py` shows that it does.

Each is a mistake that somebody might make in the library, put in its place inside a process of the
rig. The rule of the log is the second line of defence behind the read back: without the one, the
other still keeps the library's readers right, and a plain consumer sees what happened.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import sleep
from typing import Any

from eventkit.errors import StoreUnavailable
from eventkit.events import Position
from eventkit.kafka import indexfile
from eventkit.kafka.holding import Holding
from eventkit.kafka.index import Partition
from eventkit.kafka.indexfile import IndexWriter
from eventkit.kafka.inflight import InFlight, Waiting, finish
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import PartitionRule, Progress
from eventkit.kafka.view import View
from eventkit.kafka.writing.doubt import Doubt
from eventkit.kafka.writing.numbering import Numbering
from eventkit.kafka.writing.transactions import Transactions
from eventkit.kafka.writing.writer import Writer
from eventkit.projection.batch import Applied, Batches
from eventkit.projection.source import Partition as Part
from eventkit.store import Appended, Page

BUG = "EVENTKIT_TORTURE_BUG"
_A_MOMENT = 0.02


def plant() -> None:
    """Put the bugs of the environment in their places; before the first store is opened.

    Raises:
        KeyError: there is no such bug.
    """
    for name in filter(None, os.environ.get(BUG, "").split(",")):
        BUGS[name]()


def _no_read_back() -> None:
    """The writer commits whatever stands before its records."""

    def lost(_view: View, _proposals: Iterable[Waiting]) -> list[Waiting]:
        return []

    _put(View, lost)


def _early_ack() -> None:
    """Callers are told when the broker has taken their records, before the read back."""
    original = Transactions.propose

    def propose(
        transactions: Transactions, proposals: Iterable[Waiting]
    ) -> dict[Partition, list[int]]:
        proposed = list(proposals)
        own = original(transactions, proposed)
        _tell(proposed)
        return own

    _put(Transactions, propose)


def _ack_at_commit() -> None:
    """Callers are told when the broker has answered the commit, before the tail has judged."""
    original, sent = Transactions.commit, InFlight.add
    last: list[Waiting] = []

    def add(in_flight: InFlight, some: Iterable[Waiting]) -> None:
        last[:] = some
        sent(in_flight, last)

    def commit(transactions: Transactions) -> None:
        original(transactions)
        _tell(last)

    _put(InFlight, add)
    _put(Transactions, commit)


def _tell(some: Sequence[Waiting]) -> None:
    finish(
        (
            it,
            Appended(
                it.aggregate_id, it.last_version, Position(*it.partition, it.last_offset),
                it.event_ids,
            ),
        )
        for it in some
    )  # fmt: skip


def _no_rule() -> None:
    """Readers take all that is committed, each record at the next version."""

    def feed(rule: PartitionRule, record: LogRecord) -> Sequence[LogRecord]:
        if record.offset < rule._next:
            return ()
        rule._next = record.offset + 1
        if record.problem is not None or rule._next <= rule._decided:
            return ()
        aggregate = record.aggregate_id
        head = rule._heads.get(aggregate)
        version = (rule._head_of(aggregate) if head is None else head) + 1
        rule._heads[aggregate] = version
        return (record._replace(version=version),)

    _put(PartitionRule, feed)


def _stale_heads() -> None:
    """Versions are read a moment before the base is noted, and not after."""

    def _write(writer: Writer, group: Sequence[Waiting]) -> None:
        proposals = writer._number(group)
        sleep(_A_MOMENT)
        writer._view.begin()
        try:
            if proposals:
                writer._commit(proposals)
        finally:
            writer._view.end()

    _put(Writer, _write)


def _no_look_up() -> None:
    """Whatever is tried again is written again, its event ids are not looked up."""

    def _known(_numbering: Numbering, _group: Iterable[Waiting]) -> Mapping[bytes, Any]:
        return {}

    _put(Numbering, _known)


def _error_is_refusal() -> None:
    """A transaction that failed counts as not written."""
    original = Doubt.resolve

    def resolve(
        doubt: Doubt, doubtful: Sequence[Waiting], cause: BaseException, *more: Any
    ) -> list[Waiting]:
        finish((it, StoreUnavailable(f"{cause}; nothing was written")) for it in doubtful)
        return original(doubt, doubtful, cause, *more)

    _put(Doubt, resolve)


def _index_apart() -> None:
    """How far the index has come is written before its rows, and not with them."""
    original = IndexWriter.apply

    def apply(
        index: IndexWriter, rows: Sequence[object], progress: Mapping[Partition, Progress]
    ) -> None:
        index._connection.executemany(
            indexfile._MOVE, [(*at, *partition) for partition, at in progress.items()]
        )
        original(index, rows, progress)

    _put(IndexWriter, apply)


def _holds_nothing_back() -> None:
    """Readers are shown what comes between the records of an append before it is whole."""

    def _cut(_: Holding, *_frames: object) -> None:
        return None

    _put(Holding, _cut)


def _checkpoint_before() -> None:
    """A projection's checkpoint is committed before the rows."""

    def apply(batches: Batches, partition: Part, expected: int, page: Page) -> Applied:
        _move(batches, partition, expected, page)
        _write_rows(batches, page)
        return Applied(page.read_to, len(page.events))

    _put(Batches, apply)


def _checkpoint_after() -> None:
    """A projection's checkpoint is committed after the rows."""

    def apply(batches: Batches, partition: Part, expected: int, page: Page) -> Applied:
        _write_rows(batches, page)
        _move(batches, partition, expected, page)
        return Applied(page.read_to, len(page.events))

    _put(Batches, apply)


def _move(batches: Batches, partition: Part, expected: int, page: Page) -> None:
    with batches._models.writing() as connection:
        batches._checkpoints.advance(
            connection, partition, expected, page.read_to, len(page.events)
        )


def _write_rows(batches: Batches, page: Page) -> None:
    with batches._models.writing() as connection:
        batches._handling.all(connection, page.events)


def _put(owner: type, method: Callable[..., Any]) -> None:
    """Put a method in the place of the one of that name.

    Raises:
        AttributeError: there is none; the library has changed.
    """
    getattr(owner, method.__name__)
    setattr(owner, method.__name__, method)


BUGS: dict[str, Callable[[], None]] = {
    "no-read-back": _no_read_back,
    "early-ack": _early_ack,
    "ack-at-commit": _ack_at_commit,
    "no-rule": _no_rule,
    "stale-heads": _stale_heads,
    "no-look-up": _no_look_up,
    "error-is-refusal": _error_is_refusal,
    "index-apart": _index_apart,
    "holds-nothing-back": _holds_nothing_back,
    "checkpoint-before": _checkpoint_before,
    "checkpoint-after": _checkpoint_after,
}
