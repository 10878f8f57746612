"""What a verification finds, and how it tells."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

from eventkit.aggregate import Aggregate
from eventkit.events import Position


class Kind(StrEnum):
    """Kinds of findings."""

    TOPIC = "topic"  # it can lose or reorder history
    LOST = "lost"  # part of the log is not there any more
    STRANGER = "stranger"  # a record or row that is no event of ours
    DOUBLE = "double"  # a version that the aggregate has already
    GAP = "gap"  # a version that does not follow the one before
    TORN = "torn"  # a part of what was written all or none is missing
    TYPE = "type"  # no class reads it
    SCHEMA = "schema"  # the store does not hold it
    BODY = "body"  # it does not decode
    EVENT_ID = "event-id"  # there twice
    SNAPSHOT = "snapshot"  # it differs from a replay
    INDEX = "index"  # it differs from the log
    READ_MODEL = "read-model"  # it differs from a rebuild
    FILE = "file"  # SQLite finds it damaged
    GUARD = "guard"  # what keeps the file append-only is not there


class Finding(NamedTuple):
    """Something in a log, or in what was made of it, that is not as it should be.

    Parameters:
        kind: of which kind.
        problem: what is wrong.
        fix: how to go on, with the command where one can mend it.
        position: where in the log; None where it has no one place.
        aggregate_id: of which aggregate, if of one.
        records: how many it concerns; `position` is that of the first.
    """

    kind: Kind
    problem: str
    fix: str
    position: Position | None = None
    aggregate_id: str | None = None
    records: int = 1


class Reading(NamedTuple):
    """How far a verification has come.

    Parameters:
        done: offsets or rows that are behind it.
        total: all there are.
        events: events that were read.
    """

    done: int
    total: int
    events: int


class Listener(Protocol):
    """Who is told while a verification runs; it ends the run by raising."""

    def found(self, finding: Finding, /) -> None:
        """Something is wrong."""

    def read(self, now: Reading, /) -> None:
        """It has come so far."""

    def remark(self, text: str, /) -> None:
        """Something was left out, or cannot be told; no finding."""


class Asked(NamedTuple):
    """What a verification is to look at beside the log.

    Parameters:
        class_of: the aggregate class of a category, None where there is none; without it event
            classes and snapshots are left out.
        snapshots: how many to compare with a replay, chosen by chance; None compares all.
    """

    class_of: Callable[[str], type[Aggregate] | None] | None = None
    snapshots: int | None = 1_000
