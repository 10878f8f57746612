"""What is measured of projections: rebuilds, two workers, the delay of new events, memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from sqlalchemy import func, inspect, select

from eventkit import connect
from eventkit.ids import new_event_id
from eventkit.projection import Projection, ReadModels
from tests.benchmarks.appending import EVENTKIT
from tests.benchmarks.children import Child, child
from tests.benchmarks.kafka_appending import PEER
from tests.benchmarks.kafka_log import fresh_log
from tests.benchmarks.kit import Kit
from tests.benchmarks.memory import FLAT
from tests.benchmarks.peer_projection import PeerItems, PeerNotes, PeerRebuild
from tests.benchmarks.read_models import Items, Notes, Totals
from tests.benchmarks.results import Aim, Result, alone, beside, by_turns, latency
from tests.benchmarks.spending import Spent
from tests.benchmarks.steps import Section, Step
from tests.benchmarks.subjects import ItemOpened

_PER_AGGREGATE = 10
_WANTED = {"SQLite": Aim(40_000), "PostgreSQL": Aim(25_000)}
_TEN_TIMES = Aim(10, of_ratio=True)
_KINDS: dict[type[Projection], tuple[str, type[PeerNotes | PeerItems]]] = {
    Notes: ("a row an event", PeerNotes),
    Items: ("upserts", PeerItems),
}
_PATIENCE = 60.0

REBUILDING = Section(
    "projection-rebuild",
    "Rebuild of a read model",
    "A worker in a process of its own builds a read model anew from the whole log, read from the "
    "index: one row for each event, or one row for each aggregate that each of its events changes.",
    "Besides decoding, it is the database's work for each row; the worker waits for it or shares "
    "the cores with it.",
)
SHARING = Section(
    "projection-workers",
    "Two workers",
    "Two processes share the partitions, beside one that has all of them, for a read model that "
    "writes hardly anything.",
    "With two cores, whatever else runs, PostgreSQL and Kafka too, takes from the second worker.",
)
FOLLOWING = Section(
    "projection-delay",
    "Live delay",
    "A worker follows the log of Kafka; measured is the time from an acknowledged append until its "
    "row is visible to a reader that asks once a millisecond.",
    "The worker is told of new events, reads them from the index, and commits rows and checkpoint "
    "in one transaction: a synced write of the database is in it.",
)


def steps(kit: Kit) -> Iterator[Step]:
    """All of it."""
    for projection, (kind, _) in _KINDS.items():
        for database in _WANTED:
            yield _rebuild_step(kit, projection, kind, database)
    yield Step(SHARING, "two workers", lambda: _shared(kit))
    for database in _WANTED:
        yield _delay_step(kit, database)


def _rebuild_step(kit: Kit, projection: type[Projection], kind: str, database: str) -> Step:
    what = f"rebuild, {kind}, {database}"
    return Step(REBUILDING, what, lambda: _rebuilt(kit, what, projection, database))


def _delay_step(kit: Kit, database: str) -> Step:
    return Step(FOLLOWING, f"live delay, {database}", lambda: _followed(kit, database))


def _rebuilt(kit: Kit, what: str, projection: type[Projection], database: str) -> Iterator[Result]:
    total, found = kit.sizes.events, _Rebuilds(kit)
    for _ in range(kit.sizes.long_rounds):
        found.run(what, projection, database)
    rates = [total / it for it in found.seconds]
    if database == "SQLite":
        yield alone(what, "events/s", rates, _WANTED[database])
    else:
        theirs = _peer_rates(kit, projection)
        yield beside(what, "events/s", rates, PEER, theirs, _WANTED[database], _TEN_TIMES)
    grown = max(found.grown) / 1e6
    yield alone(f"{what}: memory grown in its second half", "MB", [grown], FLAT)
    yield from found.spent[:1]


def _peer_rates(kit: Kit, projection: type[Projection]) -> list[float]:
    with kit.database() as url:
        peer = PeerRebuild(url, kit.sizes.peer_events // _PER_AGGREGATE, _PER_AGGREGATE)
        theirs = _KINDS[projection][1]
        return [peer.per_second(theirs) for _ in range(kit.sizes.long_rounds)]


def _shared(kit: Kit) -> Iterator[Result]:
    total, two, one = kit.sizes.events, _Rebuilds(kit), _Rebuilds(kit)
    by_turns(
        kit.sizes.long_rounds,
        {
            "two": lambda: two.run("rebuild, few rows, 2 workers", Totals, "PostgreSQL", 2),
            "one": lambda: one.run("rebuild, few rows, 1 worker", Totals, "PostgreSQL", 1),
        },
    )
    yield beside(
        "rebuild, few rows, 2 workers", "events/s", [total / it for it in two.seconds], "1 worker",
        [total / it for it in one.seconds], Aim(1.5, of_ratio=True),
    )  # fmt: skip
    yield from (*two.spent[:1], *one.spent[:1])


class _Rebuilds:
    """Rebuilds of one kind, with what each took."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self.seconds: list[float] = []
        self.grown: list[int] = []
        self.spent: list[Spent] = []

    def run(self, what: str, projection: type[Projection], database: str, workers: int = 1) -> None:
        """Build one anew, in workers that begin together."""
        url, total = _url(self._kit), self._kit.sizes.events
        with _models(self._kit, database) as models:
            with ExitStack() as stack:
                some = [
                    stack.enter_context(_worker(url, models, projection, it + 1, workers))
                    for it in range(workers)
                ]
                with self._kit.watch() as watch:
                    for one in some:
                        one.say("go")
                    told = [json.loads(one.line()) for one in some]
            found, events = _counted(models, projection), sum(it["events"] for it in told)
        expected = total - (total // _PER_AGGREGATE if projection is Totals else 0)
        if found != expected or events != expected:
            raise AssertionError(f"{events} events of {expected} were handled, {found} counted")
        cpu = sum(it["cpu"] for it in told)
        self.seconds.append(watch.seconds)
        self.grown.append(max(it["grown"] for it in told))
        self.spent.append(watch.spent(what, EVENTKIT, total, children=cpu))


def _followed(kit: Kit, database: str) -> Iterator[Result]:
    what, rounds, waits = f"live delay, {database}", [], []
    log = fresh_log(kit.kafka)
    url = f"{log.url}&index={kit.index()}"
    for _ in range(kit.sizes.long_rounds):
        delays = _delays(kit, url, database)
        waits += delays
        rounds.append(median(delays) * 1e3)
    yield alone(f"{what}, p50", "ms", rounds, Aim(30, most=True))
    yield latency(what, EVENTKIT, waits)


def _delays(kit: Kit, url: str, database: str) -> list[float]:
    delays = []
    with _models(kit, database) as where, ExitStack() as stack:
        store = stack.enter_context(connect(url))
        stack.enter_context(_worker(url, where, Items, 0, 1))
        models = stack.enter_context(ReadModels(where))
        item_id = f"item-delay-{new_event_id()}"
        for turn in range(kit.sizes.delays):
            event = ItemOpened(title=str(turn), owner="ann", rank=turn)
            store.append(item_id, [event])
            delays.append(_until_visible(models, item_id, turn, first=not turn))
            time.sleep(0.013 * (turn % 3))  # so that appends do not march with the worker
    return delays[1:]  # the worker makes its tables before the first


def _url(kit: Kit) -> str:
    return f"{kit.filled().url}&index={kit.warm_index()}"


@contextmanager
def _models(kit: Kit, database: str) -> Iterator[str]:
    """The URL of an empty database."""
    if database == "SQLite":
        with kit.passing_room() as room:
            yield f"sqlite:///{room}/read-models.db"
    else:
        with kit.database() as url:
            yield url


@contextmanager
def _worker(
    url: str, models: str, projection: type[Projection], number: int, workers: int
) -> Iterator[Child]:
    """A worker in a process of its own that is ready to begin."""
    with child("working", url, models, projection.name, number, workers) as process:
        if process.line() != "ready":
            raise AssertionError("the worker did not begin")
        yield process


def _counted(where: str, projection: type[Projection]) -> int:
    """How many events the read model counts."""
    asked: dict[type[Projection], Any] = {
        Notes: select(func.count()).select_from(Notes.notes),
        Items: select(func.sum(Items.items.c.events)),
        Totals: select(func.sum(Totals.totals.c.notes)),
    }
    with ReadModels(where) as models, models.connect() as connection:
        return int(connection.execute(asked[projection]).scalar() or 0)


def _until_visible(models: ReadModels, item_id: str, rank: int, *, first: bool) -> float:
    """Seconds until the row of an item says this rank."""
    began = time.perf_counter()
    wanted = select(Items.items.c.rank).where(Items.items.c.item_id == item_id)
    while time.perf_counter() < began + _PATIENCE:
        if models.exists() or not first:
            with models.connect() as connection:
                there = not first or inspect(connection).has_table(Items.items.name)
                if there and connection.execute(wanted).scalar() == rank:
                    return time.perf_counter() - began
        time.sleep(0.001)
    raise AssertionError(f"the event was not visible within {_PATIENCE:g} s")
