"""The checker of read models: what must hold of them, whatever happened to their workers."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from tests.torture.checker import Entry, Told, Violation
from tests.torture.domain import chained
from tests.torture.history import History, Status
from tests.torture.model_history import (
    Checkpoint,
    Folded,
    ModelHistory,
    Operation,
    Seen,
    Streamed,
    Waited,
)
from tests.torture.read_models import Row, Sums

_MOMENT = 1.0
"""Seconds: a database may finish what was asked of it by a command that was killed since."""
_PASSING = {
    "KafkaUnavailable", "StoreUnavailable", "StoreBusy", "ReadModelUnavailable", "ReadModelBusy",
}  # fmt: skip
"""Why a worker may give up: it is started again."""
_OTHER_VERSION = "the database holds version"


class Prefixes:
    """The fold of each prefix of the log.

    Args:
        view: the whole log in the end, with tokens.
    """

    def __init__(self, view: Sequence[Entry]) -> None:
        self.rows: dict[str, Row] = {}
        self.chains: dict[str, list[str]] = defaultdict(lambda: [""])
        self.last: dict[int, int] = {}
        self._offsets: dict[int, list[int]] = defaultdict(list)
        self._ids: dict[int, list[str]] = defaultdict(lambda: [""])
        self._sums: dict[int, list[Sums]] = defaultdict(lambda: [Sums()])
        for entry in sorted(view, key=lambda it: it.place):
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        partition, offset = entry.place
        chains = self.chains[entry.aggregate]
        chains.append(chained(chains[-1], entry.token or ""))
        sums, before = self._sums[partition], self.rows.get(entry.aggregate)
        row = (entry.aggregate, entry.version, len(chains) - 1, chains[-1])
        self.rows[entry.aggregate] = row
        sums.append((sums[-1] if before is None else sums[-1].minus(before)).plus(row))
        self._offsets[partition].append(offset)
        ids = self._ids[partition]
        ids.append(chained(ids[-1], entry.event_id))
        self.last[partition] = offset

    def at(self, checkpoint: Checkpoint) -> Sums:
        """Of the prefix that ends with these offsets."""
        found = Sums()
        for partition, offset in checkpoint.items():
            number = bisect_right(self._offsets[partition], offset)
            found = found.and_(self._sums[partition][number])
        return found

    def streamed_to(self, partition: int, offset: int) -> tuple[int, int, str]:
        """What a subscription has shown when it is there: offset, number and chain of events."""
        number = bisect_right(self._offsets[partition], offset)
        at = self._offsets[partition][number - 1] if number else -1
        return at, number, self._ids[partition][number]


def check_models(found: ModelHistory, history: History, view: Sequence[Entry]) -> list[Violation]:
    """Everything that does not hold of read models and snapshots during the run.

    Args:
        found: what was seen of them.
        history: what the clients asked and were told.
        view: the whole log in the end, with tokens.
    """
    prefixes = Prefixes(view)
    return [
        *_folds(found.seen, prefixes),
        *_whole(found),
        *_forward(found),
        *_own_writes(found),
        *_snapshots(found.folded, prefixes),
        *_fresh(found.folded, history),
        *_streams(found.streamed, prefixes),
        *_ends(found.ends),
    ]


def check_rows(name: str, rows: Iterable[Row], view: Sequence[Entry]) -> Iterable[Violation]:
    """In the end, the rows are the fold of the whole log."""
    wanted, there = Prefixes(view).rows, {it[0]: it for it in rows}
    for aggregate in sorted(wanted.keys() | there.keys()):
        if wanted.get(aggregate) != there.get(aggregate):
            what = f"{name}: {there.get(aggregate)}, the log says {wanted.get(aggregate)}"
            yield Violation("in the end the read model is the fold of the log", what)


def _folds(seen: Iterable[Seen], prefixes: Prefixes) -> Iterable[Violation]:
    """Rows are the fold of what the checkpoint in the same transaction names."""
    for it in seen:
        builds = it.builds if it.moved else [it.live] if it.live is not None else []
        wanted = [prefixes.at(build.at) for build in builds]
        if it.sums in wanted or (it.moved and it.sums == Sums()):
            continue
        what = f"{it}: the log says {wanted}"
        yield Violation("rows are the fold of what the checkpoint names", what)


def _whole(found: ModelHistory) -> Iterable[Violation]:
    """Readers see no half-built model.

    What was built while another version was live is whole when readers get it; and what is told to
    be ready holds all that anybody had seen before it was begun.
    """
    for some in _by_projection(found.seen).values():
        for before, it in pairwise(sorted(some, key=lambda it: it.ended)):
            if before.live is None or it.live is None or before.ended >= it.began:
                continue
            exchanged = before.live.version != it.live.version
            rebuilt = _touched(found.operations, it, before.ended, it.ended, "rebuild")
            if exchanged and it.live.state != "ready" and not rebuilt:
                yield Violation("no reader sees a partial model", f"{it} after {before}")
    for built in found.operations:
        if built.what in ("rebuild", "rebuild --beside") and built.code == 0:
            yield from _holds(built, found.seen)


def _holds(built: Operation, seen: Iterable[Seen]) -> Iterable[Violation]:
    mine = [it for it in seen if it.projection == built.projection]
    floor: dict[int, int] = {}
    for it in mine:
        if it.live is not None and it.ended < built.began:
            for partition, offset in it.live.at.items():
                floor[partition] = max(offset, floor.get(partition, -1))
    for it in mine:
        live = it.live
        if live is None or it.began < built.ended or live.version != built.version:
            continue
        behind = {part: at for part, at in floor.items() if live.at.get(part, -1) < at}
        if behind and live.state == "ready":
            yield Violation("a model that is ready is whole", f"{it}: not {behind}, {built}")
            return


def _forward(found: ModelHistory) -> Iterable[Violation]:
    """Checkpoints of a version go forward, but for a rebuild in place."""
    for some in _by_projection(found.seen).values():
        begun = sorted(some, key=lambda it: it.began)
        last: dict[int, Seen] = {}
        for it in begun:
            if it.live is None:
                continue
            before = last.get(it.live.version)
            if before is not None and before.ended < it.began and before.live is not None:
                back = any(it.live.at.get(p, -1) < at for p, at in before.live.at.items())
                if back and not _touched(found.operations, it, before.began, it.ended, "rebuild"):
                    yield Violation("checkpoints go forward", f"{it} after {before}")
            last[it.live.version] = it


def _own_writes(found: ModelHistory) -> Iterable[Violation]:
    """After a wait for one's own write, the row shows it."""
    for it in found.waited:
        if it.shown < it.version and not _touched(found.operations, it, it.began, it.ended):
            yield Violation("read your write", str(it))


def _touched(
    operations: Iterable[Operation],
    it: Seen | Waited,
    began: float,
    ended: float,
    what: str | None = None,
) -> bool:
    """Whether an operator worked on the projection meanwhile."""
    return any(
        operation.projection == it.projection
        and operation.what in ((what,) if what else ("rebuild", "switch", "rollback"))
        and operation.began <= ended
        and operation.ended + _MOMENT >= began
        for operation in operations
    )


def _snapshots(folded: Iterable[Folded], prefixes: Prefixes) -> Iterable[Violation]:
    """An aggregate loaded from a snapshot is the fold of its events."""
    for it in folded:
        chains = prefixes.chains.get(it.aggregate, [""])
        known = it.version < len(chains)
        if not known or (it.events, it.chain) != (it.version, chains[it.version]):
            yield Violation("a snapshot and its tail are the fold of all events", str(it))
        if it.asked is not None and it.version != it.asked:
            yield Violation("an aggregate is at the version that was asked for", str(it))


def _fresh(folded: Iterable[Folded], history: History) -> Iterable[Violation]:
    """A snapshot hides nothing that was acknowledged before, from the same index."""
    told = Told()
    for op in history.ops.values():
        if op.status is Status.DONE:
            told.add(op.index, op.aggregate, op.ended, op.version)
    for it in folded:
        newest = told.newest(it.index, it.aggregate, it.began)
        if it.asked is None and it.version < newest:
            yield Violation("what was acknowledged can be read at once", f"{it}: not {newest}")


def _streams(streamed: Iterable[Streamed], prefixes: Prefixes) -> Iterable[Violation]:
    """A subscription skips nothing, repeats nothing and keeps the order."""
    for it in streamed:
        for partition, shown in it.shown.items():
            wanted = prefixes.streamed_to(partition, shown[0])
            if shown != wanted:
                what = f"{it.client}, partition {partition}: {shown}, the log says {wanted}"
                yield Violation("a subscription shows each event once, in order", what)


def _ends(ends: Iterable[tuple[str, str, str]]) -> Iterable[Violation]:
    """Workers give up only for what passes, or because their version is not there any more."""
    for worker, error, why in ends:
        other_version = error == "RebuildNeeded" and _OTHER_VERSION in why
        if error not in _PASSING and not other_version:
            yield Violation("a worker gives up only for what passes", f"{worker}: {error}: {why}")


def _by_projection(seen: Iterable[Seen]) -> Mapping[str, list[Seen]]:
    found: dict[str, list[Seen]] = defaultdict(list)
    for it in seen:
        if not it.moved:
            found[it.projection].append(it)
    return found
