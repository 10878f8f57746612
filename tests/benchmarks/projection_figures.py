"""What is measured of projections: rebuilds, two workers, the delay of new events, memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import func, select

from eventkit import connect
from eventkit.ids import new_event_id
from eventkit.projection import Projection, ReadModels
from tests.benchmarks.kafka_log import Log, fill, fresh_log
from tests.benchmarks.peer_projection import PeerItems, PeerNotes, PeerRebuild
from tests.benchmarks.read_models import Items, Notes, Totals
from tests.benchmarks.results import Figure
from tests.benchmarks.subjects import ItemOpened

_PER_AGGREGATE = 10
_PEER = "eventsourcing, PostgreSQL"
_WANTED = {"SQLite": "40,000/s", "PostgreSQL": "25,000/s, 10 times"}
_PATIENCE = 60.0
_numbers = count()


class Rebuilt(NamedTuple):
    """How a rebuild went.

    Parameters:
        seconds: from the start of all workers to the end of the last.
        cpu: seconds of all workers together.
        grown: bytes by which the memory of one worker grew after the first fifth, at most.
    """

    seconds: float
    cpu: float
    grown: int


class ProjectionBench:
    """The measurements, on one log of Kafka; the workers read its index.

    Parameters:
        address: of the broker.
        postgres: URL of a server; databases are made for the read models, and for the peer.
        rounds: how often each figure is measured; medians are told.
        folder: for files.
        events: how many are rebuilt from.
        peer_events: how many of the package eventsourcing, which takes a transaction for each.
        delays: how many appends are watched until they are visible.
    """

    def __init__(
        self,
        address: str,
        postgres: str,
        *,
        rounds: int,
        folder: Path,
        events: int = 1_000_000,
        peer_events: int = 5_000,
        delays: int = 200,
    ) -> None:
        self._address = address
        self._postgres = postgres
        self._rounds = rounds
        self._folder = folder
        self._aggregates = events // _PER_AGGREGATE
        self._peer_aggregates = peer_events // _PER_AGGREGATE
        self._delays = delays

    def figures(self) -> Iterator[Figure]:
        """All of them, one after the other."""
        log = fresh_log(self._address)
        fill(log, self._aggregates, _PER_AGGREGATE)
        url = f"{log.url}&index={self._folder / 'projections-index.db'}"
        connect(url).close()  # the index is there: whoever runs workers on a host has one
        yield from self.rebuilding(url)
        yield from self.sharing(url)
        yield from self.following(log)

    def rebuilding(self, url: str) -> Iterator[Figure]:
        """One worker builds read models anew, in either database, beside the peer."""
        total = self._aggregates * _PER_AGGREGATE
        grown = 0
        with ExitStack() as stack:
            peer = PeerRebuild(
                stack.enter_context(self._database()), self._peer_aggregates, _PER_AGGREGATE
            )
            for projection, theirs in ((Notes, PeerNotes), (Items, PeerItems)):
                kind = "a row an event" if projection is Notes else "upserts"
                for database, wanted in _WANTED.items():
                    done = [self._rebuild(url, projection, database) for _ in range(self._rounds)]
                    ours = total / median(it.seconds for it in done)
                    grown = max(grown, *(it.grown for it in done))
                    what = f"rebuild, {kind}, {database}"
                    if database == "SQLite":
                        yield Figure(what, "events/s", ours, wanted=wanted)
                        continue
                    rate = median(peer.per_second(theirs) for _ in range(self._rounds))
                    yield Figure(what, "events/s", ours, _PEER, rate, ours / rate, wanted)
        what = f"memory grown by a rebuild from {total:,} events"
        yield Figure(what, "MB", grown / 1e6, wanted="flat")

    def sharing(self, url: str) -> Iterator[Figure]:
        """Two workers instead of one, where the database has little to do."""
        total = self._aggregates * _PER_AGGREGATE
        pairs = [
            [self._rebuild(url, Totals, "PostgreSQL", workers=it) for it in (2, 1)]
            for _ in range(self._rounds)
        ]
        two, one = (
            total / median(it.seconds for it in column) for column in zip(*pairs, strict=True)
        )
        ratio = median(alone.seconds / both.seconds for both, alone in pairs)
        yield Figure(
            "rebuild, few rows, 2 workers", "events/s", two, "1 worker", one, ratio, "1.5 times"
        )

    def following(self, log: Log) -> Iterator[Figure]:
        """A worker follows; how long after an append was acknowledged is its row there."""
        for database in _WANTED:
            yield Figure(
                f"delay of a new event, p50, {database}", "ms", self._delay(log, database) * 1e3,
                wanted="30 at most",
            )  # fmt: skip

    def _rebuild(
        self, url: str, projection: type[Projection], database: str, workers: int = 1
    ) -> Rebuilt:
        with self._models(database) as models:
            with ExitStack() as stack:
                processes = [
                    stack.enter_context(_worker(url, models, projection, it + 1, workers))
                    for it in range(workers)
                ]
                began = time.perf_counter()
                for process in processes:
                    process.stdin.write("go\n")
                    process.stdin.flush()
                told = [json.loads(process.stdout.readline()) for process in processes]
                seconds = time.perf_counter() - began
            found, events = _counted(models, projection), sum(it["events"] for it in told)
        expected = self._aggregates * _PER_AGGREGATE - (
            self._aggregates if projection is Totals else 0
        )
        if found != expected or events != expected:
            raise AssertionError(f"{events} events of {expected} were handled, {found} counted")
        return Rebuilt(seconds, sum(it["cpu"] for it in told), max(it["grown"] for it in told))

    def _delay(self, log: Log, database: str) -> float:
        url = f"{log.url}&index={self._folder / 'projections-index.db'}"
        delays = []
        with self._models(database) as where, ExitStack() as stack:
            store = stack.enter_context(connect(url))
            stack.enter_context(_worker(url, where, Items, 0, 1))
            models = stack.enter_context(ReadModels(where))
            item_id = f"item-delay-{new_event_id()}"
            for turn in range(self._delays):
                event = ItemOpened(title=str(turn), owner="ann", rank=turn)
                store.append(item_id, [event])
                delays.append(_until_visible(models, item_id, turn, first=not turn))
                time.sleep(0.013 * (turn % 3))  # so that appends do not march with the worker
        return median(delays[1:])

    @contextmanager
    def _models(self, database: str) -> Iterator[str]:
        """The URL of an empty database."""
        if database == "SQLite":
            yield f"sqlite:///{self._folder}/read-models-{next(_numbers)}.db"
        else:
            with self._database() as url:
                yield url

    @contextmanager
    def _database(self) -> Iterator[str]:
        name = f"bench_{next(_numbers)}"
        with psycopg.connect(self._postgres, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
            try:
                yield f"{self._postgres.rpartition('/')[0]}/{name}"
            finally:
                drop = SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name))
                connection.execute(drop)


@contextmanager
def _worker(
    url: str, models: str, projection: type[Projection], number: int, workers: int
) -> Iterator[Any]:
    """A worker in a process of its own that is ready to begin."""
    command = [sys.executable, "-m", "tests.benchmarks.working", url, models, projection.name]
    with subprocess.Popen(
        [*command, str(number), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() != "ready\n":
                raise AssertionError("the worker did not begin")
            yield process
        finally:
            process.terminate()


def _counted(where: str, projection: type[Projection]) -> int:
    """How many events the read model counts."""
    with ReadModels(where) as models, models.connect() as connection:
        asked = {
            Notes: select(func.count()).select_from(Notes.notes),
            Items: select(func.sum(Items.items.c.events)),
            Totals: select(func.sum(Totals.totals.c.notes)),
        }[projection]
        return int(connection.execute(asked).scalar() or 0)


def _until_visible(models: ReadModels, item_id: str, rank: int, *, first: bool) -> float:
    """Seconds until the row of an item says this rank."""
    began = time.perf_counter()
    wanted = select(Items.items.c.rank).where(Items.items.c.item_id == item_id)
    while time.perf_counter() < began + _PATIENCE:
        if models.exists() or not first:
            with models.connect() as connection:
                if connection.execute(wanted).scalar() == rank:
                    return time.perf_counter() - began
        time.sleep(0.001)
    raise AssertionError(f"the event was not visible within {_PATIENCE:g} s")
