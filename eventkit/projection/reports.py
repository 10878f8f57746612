"""What workers tell of themselves, per partition, in the database of the read model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Float,
    Integer,
    Row,
    String,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
    update,
)

from eventkit.projection.metadata import METADATA, place_columns
from eventkit.projection.source import Partition
from eventkit.projection.texts import storable

_REPORTS = Table(
    "eventkit_workers",
    METADATA,
    *place_columns(),
    Column("build", Integer, nullable=False),
    Column("log", String(100), nullable=False),
    Column("worker", String(300)),
    Column("rate", Float, nullable=False),
    Column("reported_at", DateTime),  # UTC
    Column("error", Text),
    Column("error_at", DateTime),  # UTC
)

_CURRENT = 15.0
"""Seconds for which a report tells of the present; workers report more often."""
_LONGEST = 2_000
"""Characters of an error that are kept."""


class PartitionReport(NamedTuple):
    """What the worker of a partition said last.

    `log` is which log was read, `worker` its host and process, None where it is heard of no more,
    `rate` in events per second, `error` why it could not go on the last time.
    """

    log: str
    worker: str | None
    rate: float
    error: str | None
    error_at: datetime | None


class Reports:
    """The reports of the workers of one build.

    Parameters:
        projection: its name.
        version: its version.
        build: the number of the build; what was said of another build is not told.
    """

    def __init__(self, projection: str, version: int, build: int) -> None:
        self._key = {"projection": projection, "version": version}
        self._build = build
        table = _REPORTS.c
        self._ours = (table.projection == projection) & (table.version == version)

    def read(self, connection: Connection) -> dict[Partition, PartitionReport]:
        """All there are; none where the database is of an eventkit that did not keep them."""
        if not inspect(connection).has_table(_REPORTS.name):
            return {}
        table = _REPORTS.c
        found = connection.execute(select(_REPORTS).where(self._ours, table.build == self._build))
        return {Partition(row.topic, row.partition): _report(row) for row in found}

    def begin(self, connection: Connection, logs: Mapping[Partition, str]) -> None:
        """Note which log each partition is read from, where nothing of this build is noted yet."""
        METADATA.create_all(connection, [_REPORTS])
        known = self.read(connection)
        for partition, log in logs.items():
            if partition not in known:
                self.forget(connection, partition)
                row = {"build": self._build, "log": log, "rate": 0.0}
                place = {"topic": partition.topic, "partition": partition.number}
                connection.execute(insert(_REPORTS).values(**self._key, **place, **row))

    def forget(self, connection: Connection, partition: Partition) -> None:
        """Remove what is noted of a partition, as which log it is read from."""
        connection.execute(delete(_REPORTS).where(self._of(partition)))

    def tell(
        self,
        connection: Connection,
        worker: str,
        rates: Mapping[Partition, float],
        trouble: str | None = None,
    ) -> None:
        """Say who works on partitions, how fast, and what is in the way; else there is no error.

        Parameters:
            connection: to the database.
            worker: its name.
            rates: events per second, by partition.
            trouble: that does not stop the worker.
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        error = None if trouble is None else storable(trouble)[:_LONGEST]
        error_at = None if trouble is None else now
        for partition, rate in rates.items():
            connection.execute(
                update(_REPORTS)
                .where(self._of(partition), _REPORTS.c.build == self._build)
                .values(worker=worker, rate=rate, reported_at=now, error=error, error_at=error_at)
            )

    def fail(
        self, connection: Connection, worker: str, partitions: Iterable[Partition], error: str
    ) -> None:
        """Say why a worker ended, at those of the partitions on which no other one works."""
        now = datetime.now(UTC).replace(tzinfo=None)
        table = _REPORTS.c
        is_free = (table.worker == None) | (table.worker == worker)  # noqa: E711 - SQL
        is_free |= table.reported_at < now - timedelta(seconds=_CURRENT)
        for partition in partitions:
            connection.execute(
                update(_REPORTS)
                .where(self._of(partition), table.build == self._build, is_free)
                .values(worker=None, rate=0.0, error=storable(error)[:_LONGEST], error_at=now)
            )

    def recover(self, connection: Connection, partitions: Iterable[Partition]) -> None:
        """Say that partitions went on, and that there is no error any more."""
        for partition in partitions:
            connection.execute(
                update(_REPORTS)
                .where(self._of(partition), _REPORTS.c.build == self._build)
                .values(error=None, error_at=None)
            )

    def leave(self, connection: Connection, partitions: Mapping[Partition, object]) -> None:
        """Say that nobody works on partitions any more."""
        for partition in partitions:
            connection.execute(
                update(_REPORTS)
                .where(self._of(partition), _REPORTS.c.build == self._build)
                .values(worker=None, rate=0.0)
            )

    def _of(self, partition: Partition) -> ColumnElement[bool]:
        table = _REPORTS.c
        return self._ours & (table.topic == partition.topic) & (table.partition == partition.number)


def _report(row: Row[Any]) -> PartitionReport:
    reported_at, error_at = _utc(row.reported_at), _utc(row.error_at)
    age = 2 * _CURRENT if reported_at is None else (datetime.now(UTC) - reported_at).total_seconds()
    worker, rate = (row.worker, row.rate) if age < _CURRENT else (None, 0.0)
    return PartitionReport(row.log, worker, rate, row.error, error_at)


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def renumber_reports(connection: Connection, projection: str, version: int, number: int) -> None:
    """Hand the reports to another build number: the rows stay, the tables get other names."""
    ours = (_REPORTS.c.projection == projection) & (_REPORTS.c.version == version)
    connection.execute(update(_REPORTS).where(ours).values(build=number))


def forget_reports(connection: Connection, projection: str, version: int) -> None:
    """Remove the reports of a build that goes away."""
    ours = (_REPORTS.c.projection == projection) & (_REPORTS.c.version == version)
    connection.execute(delete(_REPORTS).where(ours))
