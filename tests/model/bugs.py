"""Faults put into the protocol, each of which the model has to find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import KafkaException

from eventkit.events import Position
from eventkit.kafka import committed
from eventkit.kafka.holding import Holding
from eventkit.kafka.inflight import InFlight, Waiting, finish
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import PartitionRule
from eventkit.kafka.writing import numbering
from eventkit.kafka.writing.doubt import Doubt
from eventkit.kafka.writing.earlier import Earlier
from eventkit.kafka.writing.numbering import Numbered, Numbering
from eventkit.kafka.writing.together import Together
from eventkit.kafka.writing.transactions import Transactions
from eventkit.kafka.writing.waitlist import too_late
from eventkit.kafka.writing.writer import Writer
from eventkit.store import Appended


class Bug(NamedTuple):
    """What to put in the place of what, and which promises that breaks."""

    replaced: Sequence[tuple[Any, str, Any]]
    breaks: frozenset[str]


def _no_read_back(_: Writer, _proposals: object, _own: object) -> list[Waiting]:
    return []


class _TakesAll(PartitionRule):
    """Every record that is committed takes effect."""

    def feed(self, record: LogRecord) -> Sequence[LogRecord]:
        accepted = super().feed(record)
        return accepted or tuple(it for _, some in self.take_rejected() for it in some)


_add = InFlight.add


def _tell_at_once(self: InFlight, some: Iterable[Waiting]) -> None:
    """Callers are told before the log has decided."""
    _add(self, some)
    for it in some:
        if it.last_offset >= 0:
            position = Position(*it.partition, it.last_offset)
            told = Appended(it.aggregate_id, it.last_version, position, it.event_ids)
            finish([(it, told)])


def _number_first(self: Writer, group: Sequence[Waiting]) -> None:
    proposals = self._number(group)
    self._view.begin()
    try:
        if proposals:
            self._commit(proposals)
    finally:
        self._view.end()


def _ids_of_callers(self: Numbering, group: Iterable[Waiting]) -> Mapping[bytes, Any]:
    """What was in doubt, and has no ids of its caller, is not looked up."""
    asked = [event_id.bytes for it in group if it.given for event_id in it.event_ids]
    return self._lookup.known(asked) if asked else {}


def _do_not_wait(*_: object) -> None:
    pass


def _yes(*_: object) -> bool:
    return True


def _no(*_: object) -> bool:
    return False


_resolve = Doubt.resolve


def _resolve_anew(self: Doubt, *args: Any) -> list[Waiting]:
    self._transactions._producer = None
    return _resolve(self, *args)


def _resolve_by_reading(self: Doubt, partitions: set[Any], _: Callable[..., None]) -> bool:
    """The log is read to its end before the old producer is ended."""
    ends = self._ends(partitions, committed=True)
    reached = self._reached(ends, 1.0)
    self._transactions.open(2.0)
    return reached


_resolve_in_flight = Doubt.resolve


def _take_back_twice(self: Doubt, doubtful: Sequence[Waiting], *rest: Any) -> list[Waiting]:
    """What got its verdict meanwhile is in flight again, and given back again."""
    self._in_flight.add(doubtful)
    return _resolve_in_flight(self, doubtful, *rest)


_propose = Transactions.propose


def _propose_without_ids(self: Transactions, proposals: Iterable[Waiting]) -> Any:
    """Where a transaction does not even begin, its appends have no ids of their own."""
    some = list(proposals)
    try:
        return _propose(self, some)
    except KafkaException:
        for it in some:
            if it.last_offset < 0:
                it.append_id = ""
        raise


_number = Numbering.number


def _give_up_first(self: Numbering, group: Sequence[Waiting]) -> Numbered:
    """What is too late is not looked up."""
    now = vars(numbering)["monotonic"]()  # the model's
    late = [it for it in group if it.outcome is None and it.deadline <= now]
    numbered = _number(self, [it for it in group if it not in late])
    numbered.finished.extend((it, too_late()) for it in late)
    return numbered


def _none(*_: object) -> set[Waiting]:
    return set()


BUGS = {
    "earlier attempts are not asked for": Bug(
        [(Earlier, "undecided", _none), (Earlier, "of", _none)], frozenset({"refused"})
    ),
    "no event is held back": Bug([(Holding, "_cut", _do_not_wait)], frozenset({"behind"})),
    "taken back twice": Bug([(Doubt, "resolve", _take_back_twice)], frozenset({"twice", "untidy"})),
    "appends without ids of their own": Bug(
        [(Transactions, "propose", _propose_without_ids)], frozenset({"stuck"})
    ),
    "given up before it is looked up": Bug(
        [(Numbering, "number", _give_up_first)], frozenset({"refused"})
    ),
    "no read back": Bug(
        [(Writer, "_read_back", _no_read_back)], frozenset({"untidy", "half", "odd"})
    ),
    "no rule": Bug([(committed, "PartitionRule", _TakesAll)], frozenset({"crash", "other view"})),
    "acknowledged before the verdict": Bug([(InFlight, "add", _tell_at_once)], frozenset({"lost"})),
    "heads before base": Bug([(Writer, "_write", _number_first)], frozenset({"untidy"})),
    "doubt without looking up ids": Bug(
        [(Numbering, "_known", _ids_of_callers)], frozenset({"twice"})
    ),
    "doubt without ending the old producer first": Bug(
        [(Doubt, "_ask", _resolve_by_reading)], frozenset({"twice", "lost", "refused", "untidy"})
    ),
    "no wait for markers of an abort": Bug(
        [(Writer, "_wait_for_aborted", _do_not_wait)],
        frozenset({"refused", "untidy", "twice", "half", "odd"}),
    ),
    "no wait for an earlier proposal": Bug(
        [(Numbering, "_might_stand_twice", _no)], frozenset({"twice"})
    ),
    "conflicts that are not certain": Bug(
        [(Numbering, "_is_fresh", _yes)], frozenset({"no conflict"})
    ),
    "append_all in an old epoch": Bug(
        [(Transactions, "drop", _do_not_wait), (Doubt, "resolve", _resolve_anew)],
        frozenset({"half", "odd"}),
    ),
    "append_all on undecided ground": Bug(
        [(Together, "_is_on_decided_ground", _yes)], frozenset({"half", "odd"})
    ),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    replaced = BUGS[name].replaced
    before = [(holder, attribute, getattr(holder, attribute)) for holder, attribute, _ in replaced]
    for holder, attribute, value in replaced:
        setattr(holder, attribute, value)
    try:
        yield
    finally:
        for holder, attribute, value in before:
            setattr(holder, attribute, value)
