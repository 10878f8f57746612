"""Where parked events are noted, in the database of the read model.

A letter is a pointer: the place of the event in the log, and why it is not in the read model. The
event itself stays in the log alone. Letters belong to a projection's version, as its checkpoints
do, so a build beside the live one has its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Index,
    Integer,
    Row,
    String,
    Table,
    Text,
    delete,
    exists,
    func,
    insert,
    inspect,
    select,
    update,
)

from eventkit.events import Position, RecordedEvent
from eventkit.projection.dead_letters_identity import HIDDEN, Discarded, id_of, identity
from eventkit.projection.metadata import METADATA
from eventkit.projection.source import Partition
from eventkit.projection.texts import storable

Kind = Literal["handler", "effect"]
State = Literal["failed", "waiting", "discarded"]

_Value = TypeVar("_Value")
_IN_ONE_QUERY = 500
"""Values in one IN list; databases limit the parameters of a statement."""

_LETTERS = Table(
    "eventkit_dead_letters",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("projection", String(100), nullable=False),
    Column("version", Integer, nullable=False),  # 0 for an effect: it belongs to all versions
    Column("kind", String(20), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("aggregate_id", Text, nullable=False),
    Column("aggregate_version", BigInteger, nullable=False),
    Column("event_id", String(36), nullable=False),
    Column("event_type", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("failed_in", Text),
    Column("error", Text),
    Column("traceback", Text),
    Column("attempts", Integer, nullable=False),
    Column("parked_at", DateTime, nullable=False),  # UTC, as all moments here
    Column("tried_at", DateTime),
    Column("reason", Text),
)
_IDENTITY = (_LETTERS.c.event_id, _LETTERS.c.aggregate_id, _LETTERS.c.aggregate_version)
# Nothing is parked twice. Another log may have another event at the same place.
Index(
    "eventkit_dead_letters_event",
    *(_LETTERS.c[name] for name in ("projection", "version", "kind", "topic", "partition")),
    _LETTERS.c.offset,
    *_IDENTITY,
    unique=True,
)
Index(
    "eventkit_dead_letters_aggregate",
    *(_LETTERS.c[name] for name in ("projection", "version", "kind", "aggregate_id")),
)
_IS_OPEN = _LETTERS.c.state != "discarded"


class DeadLetter(NamedTuple):
    """An event that is not in the read model, or whose effects are not done, and why.

    `kind` tells which of the two. `state` is one of

    - failed: a handler raised at this event; `error` and `traceback` say what;
    - waiting: an earlier event of its aggregate is parked, and order is kept;
    - discarded: it was given up, for the `reason`.

    `failed_in` is the name of the effect at which a retry begins, `attempts` how often the event
    was tried, `version` that of the projection, 0 for effects, which all versions share.
    `event_id` is None where damage hides it; the place tells which event it is.
    """

    number: int
    projection: str
    version: int
    kind: Kind
    position: Position
    aggregate_id: str
    aggregate_version: int
    event_id: UUID | None
    event_type: str
    state: State
    failed_in: str | None
    error: str | None
    traceback: str | None
    attempts: int
    parked_at: datetime
    tried_at: datetime | None
    reason: str | None


class Failure(NamedTuple):
    """What a handler raised, in words.

    `attempts` counts the tries so far, `failed_in` names the effect.
    """

    error: str
    traceback: str
    attempts: int
    failed_in: str | None = None


class Parked(NamedTuple):
    """An event to park; without a failure it waits behind another."""

    recorded: RecordedEvent
    failure: Failure | None


class Letters:
    """The letters of one version of a projection, of one kind.

    Parameters:
        projection: its name.
        version: its version, 0 for effects.
        kind: of the letters.
    """

    def __init__(self, projection: str, version: int, kind: Kind = "handler") -> None:
        self._ours = {"projection": projection, "version": version, "kind": kind}
        self._mine = (
            (_LETTERS.c.projection == projection)
            & (_LETTERS.c.version == version)
            & (_LETTERS.c.kind == kind)
        )

    def park(self, connection: Connection, parked: Sequence[Parked]) -> None:
        """Note events; call it in the transaction that moves the checkpoint past them."""
        if parked:
            connection.execute(insert(_LETTERS), [self._row(*one) for one in parked])

    def _row(self, recorded: RecordedEvent, failure: Failure | None) -> dict[str, Any]:
        position = recorded.position
        return {
            **self._ours,
            "topic": position.topic,
            "partition": position.partition,
            "offset": position.offset,
            "aggregate_id": storable(recorded.aggregate_id),
            "aggregate_version": recorded.version,
            "event_id": str(id_of(recorded) or HIDDEN),
            "event_type": storable(recorded.type),
            "parked_at": _now(),
            **_told(failure),
        }

    def any_open(self, connection: Connection, partition: Partition) -> bool:
        """Whether any event of a partition is parked."""
        found = select(exists().where(self._mine, _in(partition), _IS_OPEN))
        return bool(connection.execute(found).scalar())

    def held(self, connection: Connection, aggregates: Collection[str]) -> set[str]:
        """Those of the aggregates of which an event is parked."""
        column = _LETTERS.c.aggregate_id
        names = {storable(name): name for name in aggregates}
        return {
            names[name]
            for part in _parts(names)
            for name in connection.execute(
                select(column).distinct().where(self._mine, _IS_OPEN, column.in_(part))
            ).scalars()
        }

    def discarded(self, connection: Connection) -> Discarded:
        """The events that were given up."""
        found = connection.execute(select(_LETTERS).where(self._mine, ~_IS_OPEN))
        given_up = [_letter(row) for row in found]
        return Discarded(
            [it.event_id for it in given_up if it.event_id is not None],
            [(it.aggregate_id, it.aggregate_version) for it in given_up if it.event_id is None],
        )

    def next_of(self, connection: Connection, aggregate_id: str, limit: int) -> list[DeadLetter]:
        """The first parked events of an aggregate, in order."""
        found = (
            select(_LETTERS)
            .where(self._mine, _IS_OPEN, _LETTERS.c.aggregate_id == aggregate_id)
            .order_by(_LETTERS.c.aggregate_version)
            .limit(limit)
        )
        return [_letter(row) for row in connection.execute(found)]

    def is_parked_before(self, connection: Connection, aggregate_id: str, version: int) -> bool:
        """Whether this or an earlier version of an aggregate is parked."""
        first = self.next_of(connection, storable(aggregate_id), 1)
        return bool(first) and first[0].aggregate_version <= version

    def open_aggregates(self, connection: Connection) -> list[str]:
        """Those of which an event is parked, in the order in which they first were."""
        column = _LETTERS.c.aggregate_id
        found = select(column).where(self._mine, _IS_OPEN).group_by(column)
        return list(connection.execute(found.order_by(func.min(_LETTERS.c.number))).scalars())

    def remove(self, connection: Connection, numbers: Iterable[int]) -> None:
        """Forget letters whose events were handled."""
        for part in _parts(numbers):
            connection.execute(delete(_LETTERS).where(_LETTERS.c.number.in_(part)))

    def failed_again(self, connection: Connection, number: int, failure: Failure) -> None:
        """Note a further try that failed."""
        told = _told(failure) | {"attempts": _LETTERS.c.attempts + failure.attempts}
        connection.execute(update(_LETTERS).where(_LETTERS.c.number == number).values(told))

    def discard(self, connection: Connection, number: int, reason: str) -> None:
        """Give an event up; its record stays."""
        self._give_up(connection, _LETTERS.c.number == number, reason)

    def discard_all(self, connection: Connection, partition: Partition, reason: str) -> int:
        """Give all parked events of a partition up; returns how many there were."""
        return self._give_up(connection, self._mine & _IS_OPEN & _in(partition), reason)

    @staticmethod
    def _give_up(connection: Connection, which: ColumnElement[bool], reason: str) -> int:
        values = {"state": "discarded", "reason": storable(reason), "tried_at": _now()}
        return connection.execute(update(_LETTERS).where(which).values(values)).rowcount


def find_letters(
    connection: Connection, projections: Collection[str] | None = None
) -> Iterator[DeadLetter]:
    """The letters of projections, all unless given, in the order of the log within each."""
    order = ("projection", "version", "kind", "topic", "partition", "offset")
    found = select(_LETTERS).order_by(*(_LETTERS.c[name] for name in order))
    if projections is not None:
        found = found.where(_LETTERS.c.projection.in_(projections))
    if inspect(connection).has_table(_LETTERS.name):
        yield from map(_letter, connection.execute(found))


def find_letter(connection: Connection, number: int) -> DeadLetter | None:
    """One letter, or None."""
    if not inspect(connection).has_table(_LETTERS.name):
        return None
    row = connection.execute(select(_LETTERS).where(_LETTERS.c.number == number)).one_or_none()
    return None if row is None else _letter(row)


def count_parked(connection: Connection, projection: str, version: int) -> Mapping[Partition, int]:
    """How many events are parked in each partition, for handlers of this version or for effects."""
    table = _LETTERS.c
    if not inspect(connection).has_table(_LETTERS.name):
        return Counter()
    place = (table.topic, table.partition)
    found = (
        select(*place, func.count())
        .where(table.projection == projection, table.version.in_([version, 0]), _IS_OPEN)
        .group_by(*place)
    )
    return Counter({Partition(*there): count for *there, count in connection.execute(found)})


def count_parked_since(
    connection: Connection, projections: Collection[str], moment: datetime
) -> int:
    """How many events of projections were parked since a moment, and still are."""
    if not inspect(connection).has_table(_LETTERS.name):
        return 0
    since = moment.astimezone(UTC).replace(tzinfo=None)
    theirs = _LETTERS.c.projection.in_(projections)
    found = select(func.count()).where(theirs, _LETTERS.c.parked_at >= since, _IS_OPEN)
    return int(connection.execute(found).scalar_one())


def forget_parked(connection: Connection, projection: str, version: int) -> None:
    """Remove the letters of a build that goes away; the record of what was discarded stays."""
    mine = (_LETTERS.c.projection == projection) & (_LETTERS.c.version == version)
    connection.execute(delete(_LETTERS).where(mine, _IS_OPEN))


def inherit_discarded(connection: Connection, projection: str, version: int) -> None:
    """Let a version that is new begin with what the others gave up until now.

    Not later: a build that has handled such an event by then would not be the same when it is made
    again.
    """
    table = _LETTERS.c
    mine = (table.projection == projection) & (table.kind == "handler")
    copied = [column for column in _LETTERS.columns if column.name not in {"number", "version"}]
    others = select(*copied).where(mine, table.version != version, ~_IS_OPEN)
    rows = {identity(row): row for row in connection.execute(others.order_by(table.version))}
    own = select(*_IDENTITY).where(mine, table.version == version)
    new = rows.keys() - set(map(identity, connection.execute(own)))
    if new:
        connection.execute(
            insert(_LETTERS),
            [{**rows[it]._mapping, "version": version} for it in sorted(new)],  # noqa: SLF001
        )


def copy_as_discarded(
    source: Connection, target: Connection, projection: str, version: int
) -> bool:
    """Let a build in another database leave out the events that this one leaves out.

    Returns whether all of an earlier copy are still left out here: some may have been retried.
    What the other build parked by itself stays parked there.
    """
    table = _LETTERS.c
    mine = (table.projection == projection) & (table.version == version) & (table.kind == "handler")
    copied = [column for column in _LETTERS.columns if column.name != "number"]
    found = {identity(row): row._mapping for row in source.execute(select(*copied).where(mine))}  # noqa: SLF001
    own = select(*_IDENTITY, table.state).where(mine)
    there = {identity(row): row.state for row in target.execute(own)}
    rows = [{**found[it], "state": "discarded"} for it in sorted(found.keys() - there.keys())]
    if rows:
        target.execute(insert(_LETTERS), rows)
    return {it for it, state in there.items() if state == "discarded"} <= found.keys()


def _in(partition: Partition) -> ColumnElement[bool]:
    table = _LETTERS.c
    return (table.topic == partition.topic) & (table.partition == partition.number)


def _parts(values: Iterable[_Value]) -> Iterator[list[_Value]]:
    rest = iter(values)
    while part := list(islice(rest, _IN_ONE_QUERY)):
        yield part


def _told(failure: Failure | None) -> dict[str, Any]:
    if failure is None:
        empty = dict.fromkeys(("failed_in", "error", "traceback", "tried_at"))
        return {"state": "waiting", "attempts": 0, **empty}
    return {
        "state": "failed",
        "attempts": failure.attempts,
        "failed_in": failure.failed_in,
        "error": storable(failure.error),
        "traceback": storable(failure.traceback),
        "tried_at": _now(),
    }


def _letter(row: Row[Any]) -> DeadLetter:
    values = dict(row._mapping)  # noqa: SLF001 - public, despite its name
    position = Position(*(values.pop(name) for name in ("topic", "partition", "offset")))
    hidden = values["event_id"] == HIDDEN
    values["event_id"] = None if hidden else UUID(values["event_id"])
    for name in ("parked_at", "tried_at"):
        if values[name] is not None:
            values[name] = values[name].replace(tzinfo=UTC)
    return DeadLetter(position=position, **values)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
