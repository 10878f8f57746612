"""The read model of the rig, and what a reader sees of it in one transaction."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, select

from eventkit import RecordedEvent
from eventkit.projection import Projection, ReadModels, Transaction, on
from eventkit.projection.builds import Build, builds_of, live_build
from eventkit.projection.checkpoints import Checkpoints
from tests.torture.domain import CATEGORY, Jotted, chained

Row = tuple[str, int, int, str]
"""Aggregate, its version, how many events were counted, their chain."""


class Notes(Projection):
    """One row an aggregate.

    An event that counts twice, not, or in another order shows in the chain for ever; the row is
    read before it is written, so that a lost write shows too.
    """

    categories = (CATEGORY,)
    notes = Table(
        "torture_notes",
        MetaData(),
        Column("aggregate", String(100), primary_key=True),
        Column("version", Integer, nullable=False),
        Column("events", Integer, nullable=False),
        Column("chain", String(32), nullable=False),
    )

    @on(Jotted)
    def jotted(self, recorded: RecordedEvent, tx: Transaction) -> None:
        assert isinstance(recorded.event, Jotted)
        key = {"aggregate": recorded.aggregate_id}
        row = tx.get(self.notes, key)
        chain = chained("" if row is None else row.chain, recorded.event.token)
        fresh = {**key, "version": recorded.version, "chain": chain}
        tx.upsert(self.notes, fresh, add={"events": 1})


def projection_class(name: str, version: int) -> type[Projection]:
    """The projection under a name of its own: each database has its consumer group."""
    return type("NamedNotes", (Notes,), {"name": name, "version": version})


class Sums(NamedTuple):
    """Rows in short: the sum does not depend on their order, so it can be kept up to date."""

    digest: int = 0
    rows: int = 0
    events: int = 0

    def plus(self, row: Row) -> "Sums":
        """With one more row."""
        return Sums((self.digest + _number(row)) % _MODULUS, self.rows + 1, self.events + row[2])

    def minus(self, row: Row) -> "Sums":
        """With one row less."""
        return Sums((self.digest - _number(row)) % _MODULUS, self.rows - 1, self.events - row[2])

    def and_(self, other: "Sums") -> "Sums":
        """Those of both."""
        digest, rows, events = (mine + its for mine, its in zip(self, other, strict=True))
        return Sums(digest % _MODULUS, rows, events)


_MODULUS = 1 << 64


def _number(row: Row) -> int:
    return int.from_bytes(sha256(repr(tuple(row)).encode()).digest()[:8])


def summed(rows: Iterable[Row]) -> Sums:
    """The sums of rows."""
    sums = Sums()
    for row in rows:
        sums = sums.plus(row)
    return sums


def rows_of(connection: Connection) -> list[Row]:
    """All rows that readers see."""
    return [_row(it) for it in connection.execute(select(Notes.notes)).all()]


def row_of(connection: Connection, aggregate: str) -> Row | None:
    """One row."""
    table = Notes.notes
    found = connection.execute(select(table).where(table.c.aggregate == aggregate)).one_or_none()
    return None if found is None else _row(found)


def _row(found: Any) -> Row:
    return (found.aggregate, found.version, found.events, found.chain)


def standing(connection: Connection, name: str) -> dict[str, Any]:
    """The builds of a projection and their checkpoints, as a line of a history says it."""
    builds = builds_of(connection, name)
    live = live_build(builds)
    return {
        "live": None if live is None else live.version,
        "builds": [_build(connection, name, it) for it in builds.values()],
    }


def _build(connection: Connection, name: str, build: Build) -> dict[str, Any]:
    stored = Checkpoints(name, build.version, build.number).read(connection)
    return {
        "version": build.version,
        "number": build.number,
        "state": build.state,
        "at": [[it.number, checkpoint.offset] for it, checkpoint in stored.items()],
    }


def live_of(models: ReadModels, name: str) -> tuple[int, int] | None:
    """Version and number of the build that readers read."""
    with models.connect() as connection:
        build = live_build(builds_of(connection, name))
    return None if build is None else (build.version, build.number)
