"""The end of a run: read everything, and let the checkers judge."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep

from eventkit import EventStore, connect
from eventkit.errors import EventkitError
from eventkit.projection import ReadModels, Runner
from tests.torture.checker import Entry, Violation, check
from tests.torture.domain import CATEGORY
from tests.torture.history import History, Status, history_of
from tests.torture.model_checker import check_models, check_rows
from tests.torture.model_history import ModelHistory, model_history_of, standing_of
from tests.torture.operators import OPERATOR
from tests.torture.processes import drained
from tests.torture.read_models import projection_class, rows_of, standing
from tests.torture.reading import library_views, plain_view
from tests.torture.staff import Staff
from tests.torture.workers import Crew

STILL = 40.0
"""Seconds that a read model may stand still before the end of the log, when all is well again."""
_CAUGHT_UP = 600.0
"""Seconds in which it must be there: a rebuild may have just begun, on a machine that is busy."""
_DRAIN = 60.0
_PAUSE = 0.1
_GIVES = b"consumer group"


class Judge:
    """Reads what a run left, and judges it.

    Args:
        staff: of the run; all that append have ended, workers still follow.
        address: of the brokers.
        holds: whether requests were held back and released late.
        say: tells what happens.

    Attributes:
        counts: of what happened.
        caught_up: seconds that the slowest read model took to be at the end of the log.
    """

    def __init__(
        self, staff: Staff, address: str, *, holds: bool, say: Callable[[str], None]
    ) -> None:
        self._staff = staff
        self._address = address
        self._holds = holds
        self._say = say
        self._folder = staff.setting.folder
        self.counts: dict[str, int] = {}
        self.caught_up = 0.0

    def judge(self) -> list[Violation]:
        """Everything that does not hold."""
        staff, began = self._staff, monotonic()
        plain = plain_view(self._address, f"{CATEGORY}.events")
        last = {entry.place[0]: entry.place[1] for entry in plain.effective}
        found = [it for crew in staff.crews for it in self._catch_up(crew, last, began)]
        workers = [worker for crew in staff.crews for worker in crew.workers]
        found += drained("a worker ends in order", workers, _DRAIN)
        self._say("reading")
        views = {"plain consumer": plain.effective, **self._views()}
        self._say(f"checking {len(plain.effective)} events; {len(plain.torn)} records are torn")
        if not self._holds:
            promise = "a plain consumer sees nothing that did not take effect"
            found += [Violation(promise, str(it)) for it in plain.torn]
        history, models = self._histories()
        view = views["fresh, replay"]
        found += check(history, views)
        found += check_models(models, history, view)
        found += self._compare(view)
        found += self._crashes()
        self.counts = _counts(history, models, [it.output for it in workers])
        return found

    def _views(self) -> Mapping[str, Sequence[Entry]]:
        views: dict[str, Sequence[Entry]] = {}
        url = self._staff.setting.url
        for index in sorted({it.index for it in self._staff.all}):
            views |= library_views(url, index, index.stem)
        return views | library_views(url, self._folder / "fresh.db", "fresh")

    def _histories(self) -> tuple[History, ModelHistory]:
        processes = self._staff.all
        indexes = {it.name: str(it.index) for it in processes}
        logs = [it.log for it in processes]
        history = history_of(logs, indexes)
        return history, model_history_of([*logs, self._folder / f"{OPERATOR}.jsonl"], indexes)

    def _crashes(self) -> list[Violation]:
        """What ended by a signal that nobody sent."""
        found = []
        for process in self._staff.all:
            process.note_end()
            found += [f"{process.name}: exit code {it}" for it in process.crashes]
        return [Violation("no process crashes", it) for it in found]

    def _catch_up(self, crew: Crew, last: Mapping[int, int], began: float) -> list[Violation]:
        """Wait until a read model is at the end of the log."""
        why, at = "nothing is there", None
        until = monotonic() + _CAUGHT_UP
        moved = monotonic()
        while monotonic() < min(moved + STILL, until):
            try:
                with crew.models.connect() as connection:
                    live, _ = standing_of(standing(connection, crew.name))
            except EventkitError as error:
                why = str(error)
            else:
                why = f"{live}, the log ends at {last}"
                behind = live is None or any(live.at.get(p, -1) < at for p, at in last.items())
                if live is not None and not behind and live.state == "ready":
                    self.caught_up = max(self.caught_up, monotonic() - began)
                    return []
                if live is not None and live.at != at:
                    moved, at = monotonic(), live.at
            sleep(_PAUSE)
        what = f"{crew.name}: stood still for {STILL} s, or took {_CAUGHT_UP} s: {why}"
        return [Violation("workers catch up when all is well again", what)]

    def _compare(self, view: Sequence[Entry]) -> list[Violation]:
        """The read models with the log, and with what is built anew."""
        found: list[Violation] = []
        with connect(self._staff.setting.url, index=self._folder / "fresh.db") as store:
            for crew in self._staff.crews:
                found += check_rows(crew.name, _rows(crew.models), view)
                runner = Runner(projection_class(crew.name, crew.version)(), store, crew.models)
                parked = runner.status().parked
                if parked:
                    found.append(Violation("nothing is parked", f"{crew.name}: {parked}"))
                found += check_rows(f"{crew.name}, rebuilt", self._rebuilt(crew, store), view)
        return found

    def _rebuilt(self, crew: Crew, store: EventStore) -> list[tuple[str, int, int, str]]:
        """The rows of a new build: in SQLite in a new file, in PostgreSQL in the same place."""
        projection = projection_class(crew.name, crew.version)()
        if crew.models.dialect != "sqlite":
            Runner(projection, store, crew.models).rebuild()
            return _rows(crew.models)
        with ReadModels(f"sqlite:///{self._folder}/rebuilt.db") as models:
            Runner(projection, store, models).rebuild()
            return _rows(models)


def _rows(models: ReadModels) -> list[tuple[str, int, int, str]]:
    with models.connect() as connection:
        return rows_of(connection)


def _counts(history: History, models: ModelHistory, outputs: Sequence[Path]) -> dict[str, int]:
    found = Counter(f"appends {op.status.value}" for op in history.ops.values())
    found["appends in doubt once"] = sum(
        1 for op in history.ops.values() if op.in_doubt and op.status is not Status.PENDING
    )
    found["reads"] = len(history.reads)
    found["model observations"] = len(models.seen)
    found["own writes read"] = len(models.waited)
    found["folds with snapshots"] = len(models.folded)
    found["looks at subscriptions"] = len(models.streamed)
    found["worker starts"] = models.others["worker"]
    found["own writes not waited for"] = models.others["not waited"]
    for operation in models.operations:
        found[f"{operation.what}{'' if operation.code == 0 else ' (failed)'}"] += 1
    for _, error, _ in models.ends:
        found[f"workers ended by {error}"] += 1
    found["rebalances"] = sum(_rebalances(it) for it in outputs)
    return dict(found)


def _rebalances(output: Path) -> int:
    """How often a worker was given partitions."""
    if not output.exists():
        return 0
    lines = output.read_bytes().splitlines()
    return sum(1 for line in lines if _GIVES in line and b" gives " in line)
