"""Verifying a read model: it is built anew in a scratch file, and compared row by row."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, String, Table, Text, cast, select
from sqlalchemy import Enum as EnumType
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.exc import (
    CompileError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)

from eventkit.errors import RebuildNeeded
from eventkit.health.findings import Finding, Kind, Listener, Reading
from eventkit.projection.builds import Build, builds_of, check_build, live_build
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.dead_letters_table import DeadLetter, copy_as_discarded, find_letters
from eventkit.projection.kept_values import Kept, scratch_models
from eventkit.projection.origin import other_log
from eventkit.projection.partition import Partition
from eventkit.projection.projection import Projection, filter_of, has_effects_alone, tables_of
from eventkit.projection.read_models import ReadModels
from eventkit.projection.reports import Reports
from eventkit.projection.source import source_of
from eventkit.projection.worker import Worker
from eventkit.store import EventStore

_AT_ONCE = 1_000
"""Rows that are held in memory."""
_PATIENCE = 30.0
"""Seconds for the log here, such as an index, to come as far as the read model has."""
_LONGEST = 60
"""Characters of a value that a finding shows."""
_NO_SUCH_VALUE = (ValueError, LookupError, ArithmeticError, TypeError)
"""What SQLAlchemy's types raise at a value that they could not have written."""

Row = Mapping[str, Any]


class _Unlike(Exception):
    """The two cannot be compared; the reason is told."""


class _Place(NamedTuple):
    """Where the live build stands."""

    build: Build
    offsets: dict[Partition, int]


class ReadModelVerifier:
    """Compares the live read model of a projection with one built anew from the log.

    The other one is built up to the same place of the log, by the same code, in a temporary SQLite
    file; in the database nothing is changed. Events that wait or were given up as dead letters are
    left out of both. Of moments without a time zone UTC is meant.

    Parameters:
        projection: whose read model.
        store: the log.
        models: where the live read model is.
        listener: is told.
    """

    def __init__(
        self, projection: Projection, store: EventStore, models: ReadModels, listener: Listener
    ) -> None:
        self._projection = projection
        self._source = source_of(store)
        self._models = models
        self._listener = listener
        self._never = threading.Event()

    def run(self) -> None:
        """Build and compare.

        Raises:
            ProjectionError: the log cannot be handled.
            ReadModelError: the database cannot be read.
            StoreError: the log cannot be read.
        """
        name = self._projection.name
        if has_effects_alone(self._projection):
            self._listener.remark(f"{name} has effects and no tables: nothing to compare")
            return
        try:
            with (
                TemporaryDirectory(prefix="eventkit-verify-") as folder,
                scratch_models(Path(folder, "rebuilt.db"), self._models.dialect) as scratch,
            ):
                self._compare_with(scratch)
        except _Unlike as reason:
            self._listener.remark(f"the read model {name}: {reason}")
        except RebuildNeeded as needed:
            self._tell_damage(needed.reason)
        except SQLAlchemyError as error:
            self._tell_damage(f"it cannot be read: {_said_by_database(error)}")

    def _compare_with(self, scratch: ReadModels) -> None:
        with self._models.connect() as connection:
            place = self._place(connection)
            self._check(connection, place)
        worker = self._new_worker(scratch)
        with self._models.connect() as live:
            self._leave_out_parked(live, scratch, worker)
        self._build(worker, place)
        # The live one went on meanwhile. What it is at one moment is compared, so the long way is
        # behind us before that moment begins: databases keep what readers may still see.
        with self._models.connect() as live:
            now = self._place(live)
            if now.build.number != place.build.number:
                raise _Unlike("it was made anew, or switched, meanwhile")
            self._leave_out_parked(live, scratch, worker)
            self._build(worker, now)
            with scratch.connect() as rebuilt:
                self._tell_what_failed(rebuilt)
                for table in tables_of(self._projection).values():
                    for problem in self._problems(live, rebuilt, table):
                        self._listener.found(self._finding(table, problem))

    def _place(self, connection: Connection) -> _Place:
        """Where the live build stands, if it is that of this code."""
        it = self._projection
        build = live_build(builds_of(connection, it.name))
        if build is None:
            raise _Unlike(f"it is not there yet: eventkit projection run {it.name}")
        if build.version != it.version:
            raise _Unlike(f"its code is of version {it.version}, the live one of {build.version}")
        stored = Checkpoints(it.name, build.version, build.number).read(connection)
        return _Place(build, {partition: at.offset for partition, at in stored.items()})

    def _check(self, live: Connection, place: _Place) -> None:
        """See that the live one is there, and was made from this log.

        Raises:
            RebuildNeeded: it is not, or was not.
        """
        it = self._projection
        check_build(live, it, place.build)
        reports = Reports(it.name, place.build.version, place.build.number).read(live)
        read = self._source.partitions(filter_of(it, self._source.types))
        for partition, offset in place.offsets.items():
            report = reports.get(partition)
            reason = (
                other_log(self._source, partition, offset, None if report is None else report.log)
                if partition in read
                else f"it was built from {partition}, which it does not read in this store"
            )
            if reason is not None:
                raise RebuildNeeded(it.name, reason)

    def _new_worker(self, scratch: ReadModels) -> Worker:
        every_event = copy.copy(self._projection)
        every_event.__dict__["on_failure"] = "park"  # all that fail are told, not the first alone
        try:
            return Worker(every_event, self._source, scratch, quiet=True)
        except SQLAlchemyError as error:  # a type that SQLite does not have
            said = _said_by_database(error)
            raise _Unlike(f"its tables cannot be made in a file of SQLite: {said}") from error

    def _leave_out_parked(self, live: Connection, scratch: ReadModels, worker: Worker) -> None:
        it = self._projection
        with scratch.writing() as own:
            if not copy_as_discarded(live, own, it.name, it.version):
                raise _Unlike("its dead letters were retried meanwhile")
        worker.refresh()

    def _build(self, worker: Worker, place: _Place) -> None:
        """Bring the rebuilt one to a place of the log."""
        total = sum(place.offsets.values())
        for partition, end in place.offsets.items():
            if partition not in worker.offsets:
                raise _Unlike(f"the log has no {partition}")
            deadline = time.monotonic() + _PATIENCE
            while worker.offsets[partition] < end:
                seen = self._source.state()
                if self._step(worker, partition, end) is None:
                    if time.monotonic() > deadline:
                        raise _Unlike(f"{partition} ends before {end}, where its checkpoint is")
                    self._source.wait(seen, self._never)
                done = sum(worker.offsets[it] for it in place.offsets)
                self._listener.read(Reading(done, total, worker.handled.total()))
            if worker.offsets[partition] > end:
                raise _Unlike(f"its checkpoint of {partition} was put back meanwhile")

    @staticmethod
    def _step(worker: Worker, partition: Partition, end: int) -> int | None:
        try:
            return worker.step(partition, until=end)
        except SQLAlchemyError as error:
            raise _Unlike(
                f"it cannot be built in a file of SQLite: {_said_by_database(error)}"
            ) from error

    def _tell_what_failed(self, rebuilt: Connection) -> None:
        """Tell which events the live read model holds, and a rebuild could not.

        Raises:
            _Unlike: there are some, so that its rows are others.
        """
        others = 0
        letters = find_letters(rebuilt)  # those that are parked in the live one are discarded here
        for letter in (it for it in letters if it.state == "failed"):
            if self._models.dialect != "sqlite" and _may_be_sqlite_alone(letter):
                raise _Unlike(
                    f"it cannot be built in a file of SQLite: at {_event_of(letter)}: "
                    f"{letter.error}"
                )
            self._listener.found(self._failed(letter))
            others += 1
        if others:
            raise _Unlike(f"its rows, as a rebuild lacks {others:,} event(s) that it holds")

    def _failed(self, letter: DeadLetter) -> Finding:
        name = self._projection.name
        return Finding(
            Kind.READ_MODEL,
            f"{name}: it holds {_event_of(letter)}, which today's code cannot apply in a rebuild: "
            f"{letter.error}",
            "mend the code, and verify again; a rebuild would park such events, and what follows "
            "of their aggregates",
            letter.position,
            letter.aggregate_id,
        )

    def _problems(self, live: Connection, rebuilt: Connection, table: Table) -> Iterator[str]:
        kept = Kept(table, live.dialect, rebuilt.dialect)
        try:
            yield from _differences(live, rebuilt, table, kept)
        except _NO_SUCH_VALUE as error:
            raise RebuildNeeded(
                self._projection.name,
                f"its table {table.fullname!r} holds a value that its column cannot have: {error}",
            ) from error
        for name in sorted(kept.coarse):
            self._listener.remark(
                f"the read model {self._projection.name}: numbers of {table.fullname}.{name} "
                "beyond 15 digits, which a file of SQLite does not keep"
            )

    def _tell_damage(self, problem: str) -> None:
        name = self._projection.name
        fix = f"see that it belongs to this store, then: eventkit projection rebuild {name}"
        self._listener.found(Finding(Kind.READ_MODEL, f"{name}: {problem}", fix))

    def _finding(self, table: Table, problem: str) -> Finding:
        name = self._projection.name
        fix = (
            f"eventkit projection rebuild {name}; if they differ again, see that its handlers use "
            "nothing but events and its own tables"
        )
        return Finding(Kind.READ_MODEL, f"{name}, table {table.fullname}: {problem}", fix)


def _said_by_database(error: SQLAlchemyError) -> str:
    """Its own words: SQLAlchemy adds the statement, and a link."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return str(said).partition("\n")[0]


def _may_be_sqlite_alone(letter: DeadLetter) -> bool:
    """Whether SQLite did not take a statement that another database may take."""
    kind = getattr(sqlalchemy_errors, (letter.error or "").partition(":")[0], None)
    return (
        isinstance(kind, type)
        and issubclass(kind, StatementError | CompileError)
        and not issubclass(kind, IntegrityError)
    )


def _event_of(letter: DeadLetter) -> str:
    return f"{letter.event_type}, {letter.aggregate_id} version {letter.aggregate_version}"


def _differences(live: Connection, rebuilt: Connection, table: Table, kept: Kept) -> Iterator[str]:
    """In words, each row in which the two differ."""
    key = [column.name for column in table.primary_key]
    if not key:
        raise _Unlike(f"the rows of {table.fullname} have no key by which to compare them")
    ours, theirs = (_rows(connection, table, key, kept) for connection in (live, rebuilt))
    one, two = next(ours, None), next(theirs, None)
    while one is not None or two is not None:
        at, other_at = _key(one, key), _key(two, key)
        if two is None or (at is not None and other_at is not None and at < other_at):
            yield f"{_named(one, key)} is there, and not in a rebuild"
            one = next(ours, None)
        elif one is None or at != other_at:
            yield f"{_named(two, key)} is missing, and in a rebuild"
            two = next(theirs, None)
        else:
            unlike = [name for name in one if not kept.alike(name, one[name], two[name])]
            if unlike:
                yield f"{_named(one, key)}: {_values(one, two, unlike)}"
            one, two = next(ours, None), next(theirs, None)


def _rows(connection: Connection, table: Table, key: list[str], kept: Kept) -> Iterator[Row]:
    """All rows in the order of their keys, which is the same in all databases."""
    columns = [kept.read(column) for column in table.columns]
    found = select(*columns).order_by(*(_ordered(connection, table.c[name]) for name in key))
    before = None
    with connection.execution_options(yield_per=_AT_ONCE).execute(found) as rows:
        for row in rows.mappings():
            plain = {name: _plain(kept.fitted(name, value)) for name, value in row.items()}
            at = _key(plain, key)
            with suppress(TypeError):
                if before is None or at is None or before < at:
                    before = at
                    yield plain
                    continue
            raise _Unlike(f"the keys of {table.fullname} have no order that databases share")


def _ordered(connection: Connection, column: Column[Any]) -> ColumnElement[Any]:
    """Text goes by its characters' numbers, not by the rules of a language."""
    collation = "C" if connection.dialect.name == "postgresql" else "BINARY"
    if isinstance(column.type, EnumType):
        return cast(column, Text).collate(collation)
    return column.collate(collation) if isinstance(column.type, String) else column


def _key(row: Row | None, key: list[str]) -> tuple[Any, ...] | None:
    return None if row is None else tuple(row[name] for name in key)


_PLAIN: dict[type, Callable[[Any], Any]] = {
    datetime: lambda it: it.replace(tzinfo=UTC) if it.tzinfo is None else it.astimezone(UTC),
    memoryview: bytes,
}


def _plain(value: object) -> object:
    """A value as the same one out of another database."""
    if isinstance(value, Enum):
        return value.name
    change = _PLAIN.get(type(value))
    return value if change is None else change(value)


def _named(row: Row | None, key: list[str]) -> str:
    assert row is not None  # noqa: S101 - whoever names a row has it
    return "row " + ", ".join(f"{name} {_short(row[name])}" for name in key)


def _values(one: Row, two: Row, names: list[str]) -> str:
    return "; ".join(
        f"{name} is {_short(one[name])}, in a rebuild {_short(two[name])}" for name in names
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
