"""Comparing the live version of a read model with another one, in the database, row by row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Enum,
    Integer,
    MetaData,
    Numeric,
    Select,
    Table,
    Text,
    and_,
    cast,
    exists,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.types import NullType

from eventkit.errors import InvalidInput, ProjectionError
from eventkit.projection.builds import Build, live_build, with_role
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.read_models import ReadModels
from eventkit.projection.versions import known_builds

_IN_ONE_QUERY = 100
"""Rows of a sample that one statement compares; databases limit the parameters."""
_LOOK = 0.05
"""Seconds between two looks whether both versions stand at the same place."""


class RowDiff(NamedTuple):
    """A row that differs: its key, and for each column that does what both versions hold.

    `columns` is None where only one of them has the row, which `only_in` tells.
    """

    key: dict[str, Any]
    only_in: int | None
    columns: dict[str, tuple[Any, Any]] | None


class TableDiff(NamedTuple):
    """How a table of two versions differs.

    `rows_live` and `rows_other` are how many rows there are, None where a version has no such
    table. Of those `compared` by their primary key (all, or a sample), `only_live`, `only_other`
    and `different` are counted. `notes` tell which tables and columns only one version has; that
    is no difference, as a new version is made for it. `matched` is False where rows have no key by
    which to compare them.
    """

    table: str
    rows_live: int | None
    rows_other: int | None
    compared: int = 0
    only_live: int = 0
    only_other: int = 0
    different: int = 0
    matched: bool = True
    notes: tuple[str, ...] = ()
    examples: tuple[RowDiff, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether no difference was found."""
        if self.rows_live is None or self.rows_other is None:
            return True
        found = self.only_live + self.only_other + self.different
        return self.matched and not found and self.rows_live == self.rows_other


class VersionDiff(NamedTuple):
    """How two versions of a read model differ.

    `at` and `other_at` are how far they have read, by partition. Where these differ, so may rows.
    """

    name: str
    live: int
    other: int
    at: dict[str, int]
    other_at: dict[str, int]
    sampled: bool
    tables: tuple[TableDiff, ...]

    @property
    def equal(self) -> bool:
        """Whether no difference was found."""
        return all(table.equal for table in self.tables)

    @property
    def same_place(self) -> bool:
        """Whether both have read the log up to the same place."""
        return self.at == self.other_at


def diff(
    models: ReadModels,
    name: str,
    *,
    sample: int | None = None,
    examples: int = 10,
    wait: float = 5.0,
) -> VersionDiff:
    """Compare the live version with the one beside, or else with the previous one.

    Both are read as they are at one moment, in the database: what this takes does not grow here.

    Parameters:
        models: the database.
        name: of the projection.
        sample: compare this many rows of each table, chosen by chance; None compares all.
        examples: how many differing rows of each table to show.
        wait: seconds to wait for a moment at which both have read the same part of the log; after
            that they are compared as they stand.

    Raises:
        ProjectionError: there are no two versions to compare.
        InvalidInput: a number makes no sense.
        ReadModelError: the database cannot be read.
    """
    for what, number, least in (("sample", sample, 1), ("examples", examples, 0)):
        if number is not None and number < least:
            raise InvalidInput(f"{what} is a number from {least} on, not {number}")
    deadline = time.monotonic() + wait
    while True:
        with models.connect() as connection:
            builds = known_builds(connection, name, models.where)
            live, other = _two(name, builds)
            at, other_at = (_places(connection, name, build) for build in (live, other))
            if at == other_at or time.monotonic() >= deadline:
                tables = dict.fromkeys([*live.tables, *other.tables])
                compare = _Comparison(connection, sample, examples)
                found = tuple(compare.table(table, live, other) for table in tables)
                return VersionDiff(
                    name, live.version, other.version, at, other_at, sample is not None, found
                )
        time.sleep(_LOOK)


def _two(name: str, builds: dict[int, Build]) -> tuple[Build, Build]:
    live = live_build(builds)
    other = with_role(builds, "beside") or with_role(builds, "previous")
    if live is None or other is None:
        there = ", ".join(f"{build.version} ({build.role})" for build in builds.values())
        raise ProjectionError(
            f"projection {name} has no two versions to compare; it has {there}. Build a new one "
            f"beside it: eventkit projection rebuild {name} --beside"
        )
    return live, other


def _places(connection: Connection, name: str, build: Build) -> dict[str, int]:
    stored = Checkpoints(name, build.version, build.number).read(connection)
    return {str(partition): stored[partition].offset for partition in sorted(stored)}


class _Pair(NamedTuple):
    """A column of both tables, in a form in which the two can be compared."""

    name: str
    live: ColumnElement[Any]
    other: ColumnElement[Any]

    @property
    def same(self) -> ColumnElement[bool]:
        """Whether both hold the same; nothing is the same as nothing."""
        return self.live.is_not_distinct_from(self.other)


class _Sides(NamedTuple):
    """The two tables of one name, their keys and the other columns that both have."""

    live: Table
    other: Table
    key: list[_Pair]
    columns: list[_Pair]

    @property
    def match(self) -> ColumnElement[bool]:
        """Whether two rows have the same key."""
        return and_(*(pair.live == pair.other for pair in self.key))

    @property
    def differ(self) -> ColumnElement[bool]:
        """Whether two rows of the same key hold something else."""
        return or_(false(), *(~pair.same for pair in self.columns))


class _Comparison:
    """Compares tables within one transaction that reads."""

    def __init__(self, connection: Connection, sample: int | None, examples: int) -> None:
        self._connection = connection
        self._sample = sample
        self._examples = examples

    def table(self, name: str, live: Build, other: Build) -> TableDiff:
        """Compare one table."""
        one, two = (self._reflected(build, name) for build in (live, other))
        found = TableDiff(name, self._count(one), self._count(two))
        if one is None or two is None:
            version = live.version if two is None else other.version
            return found._replace(notes=(f"only version {version} has this table",))
        found = found._replace(notes=_notes(one, two, live.version, other.version))
        key = [column.name for column in one.primary_key]
        if not key or key != [column.name for column in two.primary_key]:
            note = "its rows cannot be matched: the primary keys differ, or there is none"
            return found._replace(notes=(*found.notes, note), matched=False)
        shared = [column.name for column in one.columns if column.name in two.columns]
        pairs = {it: self._pair(one.c[it], two.c[it]) for it in shared}
        rest = [pairs[it] for it in shared if it not in key]
        sides = _Sides(one, two, [pairs[it] for it in key], rest)
        return self._rows(found, sides, (live.version, other.version))

    def _rows(self, found: TableDiff, sides: _Sides, versions: tuple[int, int]) -> TableDiff:
        if self._sample is None:
            found = self._add(found, sides, versions, true(), true())
            return found._replace(compared=(found.rows_live or 0) + found.only_other)
        keys = sorted(self._sampled(sides), key=repr)
        for first in range(0, len(keys), _IN_ONE_QUERY):
            part = keys[first : first + _IN_ONE_QUERY]
            live, other = (
                or_(*(and_(*(c == v for c, v in zip(columns, key, strict=True))) for key in part))
                for columns in (
                    [pair.live for pair in sides.key],
                    [pair.other for pair in sides.key],
                )
            )
            found = self._add(found, sides, versions, live, other)
        return found._replace(compared=len(keys))

    def _sampled(self, sides: _Sides) -> set[tuple[Any, ...]]:
        """Keys by chance, as many of each side, so that rows of one side alone are met too."""
        columns = ([pair.live for pair in sides.key], [pair.other for pair in sides.key])
        return {
            tuple(row)
            for side in columns
            for row in self._connection.execute(
                select(*side).order_by(func.random()).limit(self._sample)
            )
        }

    def _add(
        self,
        found: TableDiff,
        sides: _Sides,
        versions: tuple[int, int],
        live: ColumnElement[bool],
        other: ColumnElement[bool],
    ) -> TableDiff:
        """Compare the rows that these conditions choose on either side."""
        keys = [(pair.live, pair.other) for pair in sides.key]
        only_live = select(*(key for key, _ in keys)).where(
            live, ~exists(select(1).select_from(sides.other).where(sides.match))
        )
        only_other = select(*(key for _, key in keys)).where(
            other, ~exists(select(1).select_from(sides.live).where(sides.match))
        )
        values = [value for pair in sides.columns for value in (pair.live, pair.other)]
        different = (
            select(*(key for key, _ in keys), *values)
            .select_from(sides.live.join(sides.other, sides.match))
            .where(live, sides.differ)
        )
        examples = [
            *self._alone(only_live, sides, versions[0]),
            *self._alone(only_other, sides, versions[1]),
            *self._unlike(different, sides),
        ]
        return found._replace(
            only_live=found.only_live + self._number(only_live),
            only_other=found.only_other + self._number(only_other),
            different=found.different + self._number(different),
            examples=(*found.examples, *examples)[: self._examples],
        )

    def _alone(self, rows: Select[Any], sides: _Sides, version: int) -> Iterator[RowDiff]:
        names = [pair.name for pair in sides.key]
        for row in self._connection.execute(rows.limit(self._examples)):
            yield RowDiff(dict(zip(names, row, strict=True)), version, None)

    def _unlike(self, rows: Select[Any], sides: _Sides) -> Iterator[RowDiff]:
        names, size = [pair.name for pair in sides.key], len(sides.key)
        for row in self._connection.execute(rows.limit(self._examples)):
            values = zip(sides.columns, row[size::2], row[size + 1 :: 2], strict=True)
            columns = {pair.name: (one, two) for pair, one, two in values if one != two}
            yield RowDiff(dict(zip(names, row[:size], strict=True)), None, columns)

    def _reflected(self, build: Build, name: str) -> Table | None:
        if name not in build.tables:
            return None
        schema, _, table = build.physical[name].rpartition(".")
        return Table(
            table,
            MetaData(),
            schema=schema or None,
            autoload_with=self._connection,
            resolve_fks=False,
        )

    def _count(self, table: Table | None) -> int | None:
        return None if table is None else self._number(select(1).select_from(table))

    def _number(self, rows: Select[Any]) -> int:
        counted = rows.with_only_columns(func.count(), maintain_column_froms=True)
        return self._connection.execute(counted).scalar_one()

    def _pair(self, live: Column[Any], other: Column[Any]) -> _Pair:
        if self._connection.dialect.name == "postgresql" and not _comparable(live, other):
            return _Pair(live.name, cast(live, Text), cast(other, Text))
        return _Pair(live.name, live, other)


def _comparable(live: Column[Any], other: Column[Any]) -> bool:
    """Whether PostgreSQL compares the two as they are."""
    kinds = [column.type for column in (live, other)]
    if all(isinstance(kind, Numeric | Integer) for kind in kinds):
        return True
    odd = any(isinstance(kind, JSON | NullType | Enum) for kind in kinds)
    same = kinds[0]._type_affinity is kinds[1]._type_affinity  # noqa: SLF001 - nothing public tells
    return same and not odd


def _notes(live: Table, other: Table, version: int, other_version: int) -> tuple[str, ...]:
    return tuple(
        f"only version {number} has the column {column.name!r}"
        for table, beside, number in ((live, other, version), (other, live, other_version))
        for column in table.columns
        if column.name not in beside.columns
    )
