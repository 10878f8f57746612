"""The checker: what must hold of the log, whatever happened to clients and brokers."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from tests.torture.history import History, Op, Status


class Entry(NamedTuple):
    """An event as one reader shows it.

    Attributes:
        place: partition and offset.
        token: None where the reader does not decode bodies.
    """

    aggregate: str
    version: int
    event_id: str
    place: tuple[int, int]
    token: str | None = None


class Violation(NamedTuple):
    """A promise that was broken."""

    promise: str
    what: str


Final = Mapping[str, Sequence[str]]
"""The tokens of each aggregate, in the order of versions."""


def check(history: History, views: Mapping[str, Sequence[Entry]]) -> list[Violation]:
    """Everything that does not hold.

    Args:
        history: what the clients asked and were told.
        views: what each reader shows of the whole log in the end, by name; one at least has tokens.
    """
    found = [Violation("no unexpected error", it) for it in history.broken]
    for name, view in views.items():
        found += _versions(name, view)
    found += _same(views)
    view = next(it for it in views.values() if all(entry.token is not None for entry in it))
    final: dict[str, list[str]] = defaultdict(list)
    for entry in sorted(view, key=lambda it: (it.aggregate, it.version)):
        final[entry.aggregate].append(entry.token or "")
    ids = {entry.token or "": entry.event_id for entry in view}
    found += _ops(history.ops.values(), final, ids)
    found += _order(history.ops.values())
    found += _reads(history, final)
    return found


def _versions(name: str, view: Sequence[Entry]) -> Iterable[Violation]:
    """In the order of the log, versions are 1, 2, 3 ..., and each event id stands once."""
    versions: dict[str, list[int]] = defaultdict(list)
    ids: dict[str, int] = defaultdict(int)
    for entry in sorted(view, key=lambda it: it.place):
        versions[entry.aggregate].append(entry.version)
        ids[entry.event_id] += 1
    for aggregate, some in versions.items():
        if some != list(range(1, len(some) + 1)):
            at = next(i for i, it in enumerate(some, 1) if it != i)
            yield Violation("versions without gap or double", f"{name}: {aggregate} at {at}")
    for event_id, times in ids.items():
        if times > 1:
            yield Violation("each event once", f"{name}: {event_id} stands {times} times")


def _same(views: Mapping[str, Sequence[Entry]]) -> Iterable[Violation]:
    """All readers show the same events at the same places."""
    sets = {name: {it._replace(token=None) for it in view} for name, view in views.items()}
    for (one, left), (other, right) in pairwise(sets.items()):
        for entry in sorted(left ^ right)[:5]:
            shown, missing = (one, other) if entry in left else (other, one)
            yield Violation("all readers see the same", f"{shown} shows {entry}, {missing} not")


def _ops(ops: Iterable[Op], final: Final, ids: Mapping[str, str]) -> Iterable[Violation]:
    places = {
        token: (aggregate, version)
        for aggregate, tokens in final.items()
        for version, token in enumerate(tokens, 1)
    }
    asked: set[str] = set()
    for op in ops:
        asked.update(op.tokens)
        where = [places.get(token) for token in op.tokens]
        first = None if where[0] is None else where[0][1]
        whole = first is not None and where == [
            (op.aggregate, first + offset) for offset in range(len(op.tokens))
        ]
        yield from _op(op, where, first if whole else None)
        if op.status is Status.DONE and whole and op.ids != tuple(ids[it] for it in op.tokens):
            yield Violation("event ids as told", str(op))
    for token in places.keys() - asked:
        yield Violation("nothing that nobody asked for", token)


def _op(op: Op, where: Sequence[tuple[str, int] | None], first: int | None) -> Iterable[Violation]:
    last = None if first is None else first + len(op.tokens) - 1
    if any(where) and first is None:
        yield Violation("an append is whole or not there", f"{op}: {where}")
    if op.status is Status.DONE and last != op.version:
        yield Violation("what was acknowledged is there, at its version", f"{op}: {where}")
    if op.status is Status.FAILED and any(where):
        yield Violation("what was refused is not there", f"{op}: {where}")
    if op.status is Status.UNKNOWN:
        yield Violation("a retry finds out what is unknown", str(op))
    if first is not None and op.expected is not None and first != op.expected + 1:
        yield Violation("an append stands where it was expected", f"{op}: {where}")


def _order(ops: Iterable[Op]) -> Iterable[Violation]:
    """Of two appends to an aggregate, one after the other, the later has the higher version."""
    by_aggregate: dict[str, list[Op]] = defaultdict(list)
    for op in ops:
        if op.status is Status.DONE:
            by_aggregate[op.aggregate].append(op)
    for some in by_aggregate.values():
        begun = sorted(some, key=lambda it: it.began)
        ended = iter(sorted(some, key=lambda it: it.ended))
        before, highest = next(ended, None), None
        for op in begun:
            while before is not None and before.ended < op.began:
                if highest is None or before.version > highest.version:
                    highest = before
                before = next(ended, None)
            if highest is not None and op.version <= highest.version:
                yield Violation("order of real time", f"{op} after {highest}")


def _reads(history: History, final: Final) -> Iterable[Violation]:
    """A read shows what is there, and all that was acknowledged before from the same index."""
    told, shown = Told(), Told()
    for op in history.ops.values():
        if op.status is Status.DONE:
            told.add(op.index, op.aggregate, op.ended, op.version)
    for read in history.reads:
        shown.add(read.index, read.aggregate, read.ended, read.last)
    for read in history.reads:
        there = tuple(final.get(read.aggregate, ())[read.first - 1 : read.last])
        if there != read.tokens:
            yield Violation("no reader sees what another does not", f"{read}, there is {there}")
        newest = told.newest(read.index, read.aggregate, read.began)
        if read.last < newest:
            yield Violation("what was acknowledged can be read at once", f"{read}: not {newest}")
        newest = shown.newest(read.index, read.aggregate, read.began)
        if read.last < newest:
            yield Violation("reads do not go back", f"{read}: not {newest}")


class Told:
    """Which version of an aggregate was told, by when, to those who share an index."""

    def __init__(self) -> None:
        self._added: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        self._sorted: dict[tuple[str, str], tuple[list[float], list[int]]] = {}

    def add(self, index: str, aggregate: str, ended: float, version: int) -> None:
        """Note what was told; before anything is asked."""
        self._added[index, aggregate].append((ended, version))

    def newest(self, index: str, aggregate: str, moment: float) -> int:
        """The highest version that was told before a moment, or 0."""
        key = (index, aggregate)
        if key not in self._sorted:
            some = sorted(self._added.get(key, ()))
            versions = list(accumulate((version for _, version in some), max))
            self._sorted[key] = ([ended for ended, _ in some], versions)
        ended, versions = self._sorted[key]
        number = bisect_left(ended, moment)
        return versions[number - 1] if number else 0
