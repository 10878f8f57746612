"""A process that reads read models while they change, its own writes in them, and a subscription.

It ends with SIGTERM.

python -m tests.torture.visitor URL INDEX LOG NAME SEED PROJECTION=MODELS ...
"""

import logging
import random
import signal
import sys
import threading
import traceback
from itertools import count
from pathlib import Path
from time import monotonic
from uuid import UUID

from eventkit import ConcurrencyError, EventStore, OutcomeUnknown, Repository
from eventkit.errors import (
    AggregateNotFound,
    ProjectionBehind,
    ReadModelError,
    StoreBusy,
    StoreUnavailable,
)
from eventkit.events import Position
from eventkit.ids import new_event_id
from eventkit.projection import ReadModels
from tests.torture import bugs, failpoints
from tests.torture.client import FEW, MANY, PATIENCE
from tests.torture.domain import CATEGORY, Jotted, Note
from tests.torture.history import History, Log, Op, lines_of, resumed
from tests.torture.opening import opened
from tests.torture.read_models import live_of, row_of, rows_of, standing, summed
from tests.torture.subscriber import Subscriber

_SNAPSHOT_EVERY = 5
_WAIT = 3.0
_PAUSE = 0.1

stop = threading.Event()


class Visitor:
    """One thread, which looks at one database; every second one appends, and waits for it."""

    def __init__(self, store: EventStore, log: Log, name: str, projection: str, url: str) -> None:
        self._acts = [self._write] if name.endswith("w") else [self._observe, self._fold]
        self._store = store
        self._log = log
        self._name = name
        self._projection = projection
        self._models = ReadModels(url, timeout=5)
        self._notes = Repository(store, Note, snapshot_every=_SNAPSHOT_EVERY)
        self._choose = random.Random(name)  # noqa: S311
        self._numbers = count(1)

    def run(self, open_: list[Op]) -> None:
        """Finish what an earlier incarnation left open, then go on until the end."""
        try:
            for op in open_:
                event_id = UUID((op.ids or ("",))[0])
                self._append(op.name, op.aggregate, op.tokens[0], event_id, in_doubt=True)
            while not stop.wait(self._choose.uniform(0, 2 * _PAUSE)):
                strike = self._choose.choice(
                    [self._observe, self._observe, self._write, self._fold]
                )
                strike()
        except BaseException:  # noqa: BLE001 - the checker shows it
            self._log.say("broken", why=traceback.format_exc())
        finally:
            self._models.close()

    def _aggregate(self) -> str:
        few = self._choose.random() < 0.7
        number = self._choose.randrange(FEW) if few else self._choose.randrange(100, MANY)
        return f"{CATEGORY}-{number}"

    def _observe(self) -> None:
        """All rows and all checkpoints, in one transaction.

        Only where the database has taken no table away meanwhile can PostgreSQL tell them as they
        were at one moment: it looks tables up by their names as they are now.
        """
        began = monotonic()
        try:
            before = live_of(self._models, self._projection)
            with self._models.connect() as connection:
                found = standing(connection, self._projection)
                rows = rows_of(connection) if found["builds"] else []
            moved = live_of(self._models, self._projection) != before
        except ReadModelError as error:
            self._log.say("unreadable", projection=self._projection, why=str(error))
            return
        if found["builds"]:
            self._log.say(
                "model", projection=self._projection, began=began, sums=summed(rows),
                moved=moved and self._models.dialect == "postgresql", **found,
            )  # fmt: skip

    def _write(self) -> None:
        """Append, wait for the read model, and look whether the row shows it."""
        name = f"{self._name}.{next(self._numbers)}"
        aggregate = self._aggregate()
        done = self._append(name, aggregate, f"{name}/0", new_event_id())
        if done is None:
            return
        version, position = done
        began = monotonic()
        try:
            self._models.wait(self._projection, position, _WAIT)
            waited = monotonic()
            with self._models.connect() as connection:
                found = standing(connection, self._projection)
                row = row_of(connection, aggregate)
        except (ReadModelError, ProjectionBehind) as error:
            self._log.say("not waited", projection=self._projection, why=type(error).__name__)
            return
        self._log.say(
            "waited", projection=self._projection, began=began, waited=waited, aggregate=aggregate,
            version=version, place=[position.partition, position.offset],
            shown=0 if row is None else row[1], **found,
        )  # fmt: skip

    def _append(
        self, name: str, aggregate: str, token: str, event_id: UUID, *, in_doubt: bool = False
    ) -> tuple[int, Position] | None:
        """One append, tried until it is known what became of it; its version and position."""
        patience = None
        while True:
            self._log.say(
                "invoke", op=name, aggregate=aggregate, expected=None, tokens=[token],
                ids=[str(event_id)],
            )  # fmt: skip
            try:
                done = self._store.append(aggregate, [Jotted(token=token)], event_ids=[event_id])
            except ConcurrencyError as error:
                self._log.say("failed", op=name, actual=error.actual)
                return None
            except OutcomeUnknown as error:
                self._log.say("unknown", op=name, ids=[str(event_id)], why=str(error))
                in_doubt = True
            except (StoreBusy, StoreUnavailable) as error:
                self._log.say("refused", op=name, why=str(error))
                if not in_doubt:
                    return None
            else:
                self._log.say("done", op=name, version=done.version, ids=[str(event_id)])
                return done.version, done.position
            if stop.is_set():
                patience = patience or monotonic() + PATIENCE
                if monotonic() > patience:
                    return None
            stop.wait(0.1)

    def _fold(self) -> None:
        """Load an aggregate, mostly from a snapshot that some process of the run has kept."""
        aggregate, began = self._aggregate(), monotonic()
        asked = self._choose.randrange(1, 60) if self._choose.random() < 0.3 else None
        try:
            note = self._notes.get(aggregate, version=asked)
        except AggregateNotFound:
            return
        self._log.say(
            "folded", began=began, aggregate=aggregate, asked=asked, version=note.version,
            events=note.events, chain=note.chain,
        )  # fmt: skip


def main() -> None:
    url, index, path, name, seed, *models = sys.argv[1:]
    logging.basicConfig(format=f"%(asctime)s {name} %(name)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    bugs.plant()
    history, incarnation = History(), 0
    for line in lines_of(Path(path)):
        history.take(line, index)
        incarnation += line["kind"] == "open"
    log, open_ = Log(Path(path), name), resumed(history)
    log.say("open", number=incarnation)
    failpoints.arm(f"{name} {incarnation}")
    with opened(url, index, log, stop) as store:
        threads = []
        for number, model in enumerate(models):
            projection, _, where = model.partition("=")
            for does, mine in (("r", []), ("w", open_[number :: len(models)])):
                called = f"{name}.{seed}.{incarnation}.{number}{does}"
                visitor = Visitor(store, log, called, projection, where)
                threads.append(threading.Thread(target=visitor.run, args=(mine,)))
        subscriber = Subscriber(store, log, stop, f"{name}.{seed}.{incarnation}")
        threads.append(threading.Thread(target=subscriber.run))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    log.say("closed")


if __name__ == "__main__":
    main()
