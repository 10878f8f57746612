"""What the demo shows of a log it does not know: which aggregate, which moment, which fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple

from eventkit.aggregate import Aggregate, state_of
from eventkit.events import RecordedEvent
from eventkit.projection import Projection, ReadModels
from eventkit.projection.projection import tables_of
from eventkit.store import PlainEvent

FITTING = 6
"""Events, at most, that an aggregate should have to be shown whole."""
_PAUSES = 10
"""Pauses, the longest, among which a moment is looked for."""
_UNITS = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(NamedTuple):
    """A moment in the life of an aggregate, and the version that it was at."""

    at: datetime
    version: int


class Change(NamedTuple):
    """A field of the state at two moments."""

    name: str
    before: object
    now: object


class Fingerprint(NamedTuple):
    """What a read model holds: how many rows, and a digest that depends on all their values."""

    rows: int
    digest: int


def telling_aggregates(events: Iterable[PlainEvent]) -> list[str]:
    """The ids of the aggregates, the most telling first: many types of events, not many events."""
    versions: dict[str, int] = {}
    types: dict[str, set[str]] = {}
    for event in events:
        versions[event.aggregate_id] = event.version
        types.setdefault(event.aggregate_id, set()).add(event.type)

    def rank(aggregate_id: str) -> tuple[bool, int, int]:
        version = versions[aggregate_id]
        return version > FITTING, -len(types[aggregate_id]), abs(FITTING - version)

    return sorted(versions, key=rank)


def earlier_moment(cls: type[Aggregate], events: Sequence[RecordedEvent]) -> Moment | None:
    """A moment between two events at which much was different, in a long pause."""
    pauses = [(later.timestamp - earlier.timestamp, earlier) for earlier, later in pairwise(events)]
    inner = pauses[1:-1] if len(pauses) > 3 else pauses  # noqa: PLR2004 - first and last are left out
    longest = sorted(inner, key=lambda item: item[0], reverse=True)[:_PAUSES]
    now = state_of(cls.replay_from(events))

    def difference(version: int) -> int:
        then = state_of(cls.replay_from(events[:version]))
        return sum(then.get(name) != value for name, value in now.items())

    for pause, event in sorted(longest, key=lambda item: -difference(item[1].version)):
        if pause > timedelta(0):
            return Moment(_round_moment(event.timestamp, event.timestamp + pause), event.version)
    return None


def _round_moment(earliest: datetime, end: datetime) -> datetime:
    """The roundest moment from `earliest` on that is before `end`."""
    for unit in _UNITS:
        rounded = _EPOCH + -((_EPOCH - earliest) // unit) * unit
        if rounded < end:
            return rounded
    return earliest


def changes(before: Aggregate, now: Aggregate, most: int) -> list[Change]:
    """The fields of an aggregate at two moments; where there are too many, those that differ."""
    old, new = state_of(before), state_of(now)
    found = [Change(name, old.get(name), value) for name, value in new.items()]
    kept = sorted(found, key=lambda change: change.before == change.now)[:most]
    return [change for change in found if change in kept]


def fingerprint(projection: Projection, models: ReadModels) -> Fingerprint:
    """What the tables of a projection hold, whatever the order of their rows."""
    rows, digest = 0, 0
    with models.connect() as connection:
        for table in tables_of(projection).values():
            for row in connection.execute(table.select()):
                rows += 1
                content = repr((table.name, tuple(row))).encode(errors="surrogatepass")
                digest += int.from_bytes(blake2b(content, digest_size=16).digest(), "big")
    return Fingerprint(rows, digest)


def first_rows(
    projection: Projection, models: ReadModels, most: int
) -> tuple[list[str], list[list[Any]]]:
    """The columns and first rows of a projection's first table that has any."""
    with models.connect() as connection:
        for table in tables_of(projection).values():
            result = connection.execute(table.select().limit(most))
            rows = [list(row) for row in result]
            if rows:
                return list(result.keys()), rows
    return [], []
