"""How far a projection has come, per partition, in the database of its read model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    Table,
    delete,
    insert,
    select,
    update,
)

from eventkit.errors import CheckpointMoved
from eventkit.projection.metadata import METADATA, place_columns
from eventkit.projection.source import Partition

_CHECKPOINTS = Table(
    "eventkit_checkpoints",
    METADATA,
    *place_columns(),
    Column("build", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("updated_at", DateTime, nullable=False),  # UTC
)


ALL_VERSIONS = 0
"""The version of what belongs to no single one; those of projections begin with 1."""


class Checkpoint(NamedTuple):
    """The offset up to which the log was read, and how many events that were for the projection."""

    offset: int
    events: int
    updated_at: datetime


class Checkpoints:
    """The checkpoints of one build of a projection.

    Parameters:
        projection: its name.
        version: its version.
        build: the number of the build; another build's checkpoints are never moved.
    """

    def __init__(self, projection: str, version: int, build: int) -> None:
        self._projection = projection
        self._version = version
        self._build = build
        table = _CHECKPOINTS.c
        self._ours = (table.projection == projection) & (table.version == version)

    def read(self, connection: Connection) -> dict[Partition, Checkpoint]:
        """All there are."""
        found = connection.execute(select(_CHECKPOINTS).where(self._ours))
        return {
            Partition(row.topic, row.partition): Checkpoint(
                row.offset, row.events, row.updated_at.replace(tzinfo=UTC)
            )
            for row in found
        }

    def begin(self, connection: Connection, partition: Partition, offset: int) -> None:
        """Make the checkpoint of a partition of which nothing was read."""
        place = {"topic": partition.topic, "partition": partition.number, "offset": offset}
        connection.execute(
            insert(_CHECKPOINTS).values(
                projection=self._projection,
                version=self._version,
                build=self._build,
                **place,
                events=0,
                updated_at=_now(),
            )
        )

    def put(self, connection: Connection, partition: Partition, offset: int) -> None:
        """Put a checkpoint somewhere else, wherever it is."""
        moved = update(_CHECKPOINTS).where(self._of(partition))
        connection.execute(moved.values(offset=offset, updated_at=_now()))

    def advance(
        self, connection: Connection, partition: Partition, expected: int, to: int, events: int
    ) -> None:
        """Move a checkpoint from where it must be.

        Two workers at the same place both try this; the later one finds the row moved, and its
        transaction, rows and all, is undone.

        Raises:
            CheckpointMoved: it is somewhere else, or the read model is another build by now.
        """
        table = _CHECKPOINTS.c
        row = self._of(partition)
        moved = connection.execute(
            update(_CHECKPOINTS)
            .where(row, table.offset == expected, table.build == self._build)
            .values(offset=to, events=table.events + events, updated_at=_now())
        )
        if moved.rowcount != 1:
            found = select(table.offset).where(row, table.build == self._build)
            actual = connection.execute(found).scalar()
            raise CheckpointMoved(self._projection, expected, actual)

    def hold(self, connection: Connection, partition: Partition, events: int = 0) -> None:
        """Lock a checkpoint where it is, and count events that were handled late.

        Raises:
            CheckpointMoved: the read model is another build by now.
        """
        table = _CHECKPOINTS.c
        row = self._of(partition)
        held = connection.execute(
            update(_CHECKPOINTS)
            .where(row, table.build == self._build)
            .values(events=table.events + events)
        )
        if held.rowcount != 1:
            raise CheckpointMoved(self._projection, 0, None)

    def _of(self, partition: Partition) -> ColumnElement[bool]:
        table = _CHECKPOINTS.c
        return self._ours & (table.topic == partition.topic) & (table.partition == partition.number)


def effect_checkpoints(projection: str) -> Checkpoints:
    """How far the effects of a projection are; no rebuild and no switch moves these."""
    return Checkpoints(projection, ALL_VERSIONS, ALL_VERSIONS)


def forget_checkpoints(connection: Connection, projection: str, version: int) -> None:
    """Remove the checkpoints of one version of a projection."""
    table = _CHECKPOINTS.c
    ours = (table.projection == projection) & (table.version == version)
    connection.execute(delete(_CHECKPOINTS).where(ours))


def renumber_checkpoints(
    connection: Connection, projection: str, version: int, number: int
) -> None:
    """Hand the checkpoints to another build number: no batch of the old one is committed any more.

    A batch that is under way is waited for, as it has locked its checkpoint.
    """
    table = _CHECKPOINTS.c
    ours = (table.projection == projection) & (table.version == version)
    connection.execute(update(_CHECKPOINTS).where(ours).values(build=number))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
