"""A store of real parts: writer, tails, helper and index, on the broker of the model."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from eventkit.events import Position
from eventkit.kafka.following import Following
from eventkit.kafka.heads import KnownHeads
from eventkit.kafka.index import OFFSET_BITS, IndexReader, Partition, Partitions
from eventkit.kafka.indexfile import LogId, add_partitions, make_tables
from eventkit.kafka.inflight import InFlight
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.proposals import ProposalTail
from eventkit.kafka.rule import Home
from eventkit.kafka.view import View
from eventkit.kafka.writing.helping import Helper
from eventkit.kafka.writing.writer import Writer
from eventkit.sqlite.retries import Known
from eventkit.sqlite.rows import COLUMNS
from tests.model.broker import Broker
from tests.model.kafka import Site
from tests.model.scheduler import Choices, Condition, Event, Process, Scheduler, replace

CATEGORY, TOPIC = "task", "task.events"
PARTITIONS = 2
HOMES: dict[Partition, Home] = {
    (TOPIC, part): Home(CATEGORY, part, PARTITIONS) for part in range(PARTITIONS)
}
_OFFSET = (1 << OFFSET_BITS) - 1
_LOG = LogId("model", {TOPIC: "model"})


def partition_of(aggregate_id: str) -> Partition:
    return TOPIC, partition_for(aggregate_id.encode(), PARTITIONS)


@cache
def _index(_: str) -> sqlite3.Connection:
    """Of all runs, one after the other: what SQLite has prepared is kept."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    make_tables(connection, _LOG)
    add_partitions(connection, _LOG, HOMES)
    return connection


def _empty_index(name: str) -> sqlite3.Connection:
    connection = _index(name)
    for statement in ("DELETE FROM events", "UPDATE partitions SET resume = 0, decided = 0"):
        connection.execute(statement)
    return connection


class _Answer:
    """What a question brought."""

    __slots__ = ("_rows",)

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Any]:
        return list(self._rows)


class _Connection:
    """The one connection to an index in memory, used by many: nobody may close it.

    Between two changes, answers are kept: watchers ask the same again and again.
    """

    def __init__(self, connection: sqlite3.Connection, behind: Callable[[str], None]) -> None:
        self._connection = connection
        self._behind = behind
        self._answers: dict[Any, _Answer] = {}
        self._version = -1
        self.executemany = connection.executemany

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        if statement == "PRAGMA data_version":  # tells what other connections do
            return _Answer([(self._connection.total_changes,)])
        if statement.startswith("PRAGMA"):  # of a file: this one is in memory
            return _Answer([])
        if not statement.lstrip().startswith("SELECT"):
            if statement == "ROLLBACK":
                self._answers.clear()
            if statement.startswith("INSERT INTO events"):
                self._look_behind(values)
            return self._connection.execute(statement, values)
        version = self._connection.total_changes
        if version != self._version:
            self._answers.clear()
            self._version = version
        key = (statement, *values)
        found = self._answers.get(key)
        if found is None:
            found = _Answer(self._connection.execute(statement, values).fetchall())
            self._answers[key] = found
        return found

    def _look_behind(self, values: Sequence[Any]) -> None:
        """Events come where no subscription has been: before `decided` it does not look back."""
        shown = dict(self._connection.execute("SELECT number, decided FROM partitions"))
        for position in values[:: len(COLUMNS)]:
            number, offset = position >> OFFSET_BITS, position & _OFFSET
            if offset < shown[number]:
                self._behind(f"{number - 1}/{offset}, though all before {shown[number]} was shown")

    def close(self) -> None:
        pass


class Host:
    """What the stores of one machine share: an index, and the lock of who follows.

    Parameters:
        name: for who reads of it.
        behind: told of an event that appears where a subscription has been.
    """

    def __init__(self, name: str, behind: Callable[[str], None]) -> None:
        self.name = name
        self.connection: Any = _Connection(_empty_index(name), behind)
        self.holder: Process | None = None
        self.beaten_at = 0.0

    def rows(self) -> list[tuple[Any, ...]]:
        query = "SELECT aggregate_id, version, event_id, position FROM events ORDER BY position"
        found: list[tuple[Any, ...]] = self.connection.execute(query).fetchall()
        return found


class _Lock:
    """As `FollowerLock`: the death of its holder releases it."""

    def __init__(self, scheduler: Scheduler, host: Host, process: Process) -> None:
        self._scheduler = scheduler
        self._host = host
        self._process = process

    def take(self) -> bool:
        holder = self._host.holder
        if holder is None or holder.is_dead or holder is self._process:
            self._host.holder = self._process
        return self._host.holder is self._process

    def release(self) -> None:
        if self._host.holder is self._process:
            self._host.holder = None

    def beat(self) -> None:
        self._host.beaten_at = self._scheduler.now
        self._scheduler.pause()

    def silence(self) -> float:
        return self._scheduler.now - self._host.beaten_at

    def close(self) -> None:
        self.release()


class _Following(Following):
    """The real one, but for the file of the index, its lock, and how it waits."""

    def __init__(  # not its parent's: that makes files
        self, scheduler: Scheduler, host: Host, process: Process, settings: Mapping[str, Any]
    ) -> None:
        self._beside = None
        self.known = KnownHeads()
        self._path = _NO_PATH
        self._log_id = _LOG
        self._homes = HOMES
        self._settings = settings
        self._timeout = 1.0
        self._tail = None
        self._following = self._has_lock = False
        self._patience = 0.0
        self._connection = host.connection
        replace(self, "_lock", _Lock(scheduler, host, process))
        self._stop = Event(scheduler)
        self._partitions = Partitions(host.connection, dict.fromkeys(HOMES, CATEGORY))

    def connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = self._connection
        return connection

    def _look_around(self) -> None:
        """There is no file."""

    @property
    def partitions(self) -> Partitions:
        assert self._partitions is not None
        return self._partitions


class _NoPath:
    def __str__(self) -> str:
        return "the index of the model"


_NO_PATH: Any = _NoPath()


class _View(View):
    """The real one; between what the index says of appends and how far it is, others may step."""

    def __init__(self, applied: Mapping[Partition, int], writer: str, scheduler: Scheduler) -> None:
        super().__init__(applied, writer)
        self._scheduler = scheduler
        self.failed: Callable[[BaseException], object] = repr
        replace(self, "_changed", Condition(scheduler))

    def add_applied(self, offsets: Mapping[Partition, int]) -> None:
        self._scheduler.pause()
        super().add_applied(offsets)

    def fail(self, error: BaseException) -> None:
        self.failed(error)
        super().fail(error)


class _Lookup:
    """The real reader of the index; before and after each question, others may step."""

    def __init__(self, reader: IndexReader, scheduler: Scheduler) -> None:
        self._reader = reader
        self._pause = scheduler.pause
        self.place: Callable[[int], Position] = reader.place

    def heads(self, aggregate_ids: Iterable[str]) -> Mapping[str, int]:
        self._pause()
        found = self._reader.heads(aggregate_ids)
        self._pause()
        return found

    def known(self, event_ids: Sequence[bytes]) -> Mapping[bytes, Known]:
        found = self._reader.known(event_ids)
        self._pause()
        return found


class Store:
    """A process with the store in it."""

    def __init__(
        self, name: str, host: Host, scheduler: Scheduler, broker: Broker, choices: Choices
    ) -> None:
        self.name = name
        self.host = host
        self.process = Process(name)
        self._broker = broker
        self._scheduler = scheduler
        site = Site(scheduler, broker, self.process, choices)
        settings = {
            "site": site, "transactional.id": name, "isolation.level": "read_committed",
        }  # fmt: skip
        following = _Following(scheduler, host, self.process, settings)
        self.view = _View(following.applied, name, scheduler)
        self.in_flight = InFlight(name)
        lookup = _Lookup(
            IndexReader(self._reading, following.partitions, following.known), scheduler
        )
        codec: Any = None  # events of one id have one content here
        self.writer = Writer(settings, self.view, self.in_flight, lookup, self.ends, codec)
        replace(self.writer._list, "_ready", Condition(scheduler))
        helper = Helper(settings, self.view, self.ends)
        helper._stop = Event(scheduler)
        proposals = ProposalTail(settings, self.view.applied, self.view)
        self._following = following
        following._view, following._in_flight = self.view, self.in_flight
        for part, run in (
            ("follower", following._work),
            ("proposals", proposals._work),
            ("writer", self.writer._run),
            ("helper", helper._run),
        ):
            scheduler.start(self.process, f"{name}'s {part}", run)

    @property
    def is_up(self) -> bool:
        return not self.process.is_dead

    @property
    def follows(self) -> bool:
        return self._following.is_follower

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        yield self.host.connection

    def ends(self, partitions: Iterable[Partition], *, committed: bool) -> dict[Partition, int]:
        """As `Ends`; the answer is old when it comes."""
        asked = list(partitions)
        self._scheduler.pause()
        logs = self._broker.logs
        found = {it: logs[it].stable if committed else len(logs[it].entries) for it in asked}
        self._scheduler.pause()
        return found


class Spread:
    """`random` for the parts of a store: the same in each run."""

    def __init__(self) -> None:
        self.random = random.Random(1).random  # noqa: S311 - no secret
