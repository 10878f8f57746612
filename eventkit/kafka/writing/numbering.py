"""Before an append is proposed: which version it would get, or what it comes to instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import NamedTuple, Protocol
from uuid import UUID

from eventkit.codec import AvroCodec
from eventkit.errors import ConcurrencyError, DuplicateEventId, EventkitError, OutcomeUnknown
from eventkit.events import Position
from eventkit.kafka.index import Partition
from eventkit.kafka.inflight import InFlight, Waiting
from eventkit.kafka.records import NewRecord
from eventkit.kafka.view import View
from eventkit.kafka.writing.earlier import Earlier, of_an_earlier
from eventkit.kafka.writing.waitlist import too_late, withdrawn
from eventkit.sqlite.retries import Known, retry_of
from eventkit.sqlite.rows import NewRow
from eventkit.sqlite.writes import Write
from eventkit.store import Appended


class Lookup(Protocol):
    """What the writer asks the index."""

    @property
    def place(self) -> Callable[[int], Position]:
        """The public form of a row's position."""

    def heads(self, aggregate_ids: Iterable[str]) -> Mapping[str, int]:
        """The versions of aggregates, 0 where there are no events."""

    def known(self, event_ids: Sequence[bytes]) -> Mapping[bytes, Known]:
        """Where event ids stand in the log, and with which content."""


class Ends(Protocol):
    """What the writer asks the brokers."""

    def __call__(self, partitions: Iterable[Partition], *, committed: bool) -> dict[Partition, int]:
        """The offset after the last record, or, of what is `committed`, the last stable offset."""


class Numbered(NamedTuple):
    """A group of appends, sorted.

    Parameters:
        proposals: those with a first version, to be proposed now.
        contended: to wait until what rivals propose is decided.
        early: to wait until what they would follow or conflict with is in the index.
        ahead: to wait until the index is as far as the log is now.
        behind: to wait until the index is not so far behind the log any more.
        finished: those with an outcome; nothing of them is written.
    """

    proposals: list[Waiting]
    contended: list[Waiting]
    early: list[Waiting]
    ahead: list[Waiting]
    behind: list[Waiting]
    finished: list[tuple[Waiting, Appended | EventkitError]]


class Numbering:
    """Gives appends their versions.

    Parameters:
        view: what rivals propose, and how far the index is.
        in_flight: what is committed but not in the index yet; its heads count.
        lookup: the index.
        ends: asked where an expected version is higher than the index knows.
        codec: compares a retry with what is recorded.
    """

    def __init__(
        self, view: View, in_flight: InFlight, lookup: Lookup, ends: Ends, codec: AvroCodec
    ) -> None:
        self._view = view
        self._in_flight = in_flight
        self._lookup = lookup
        self._ends = ends
        self._codec = codec
        self._earlier = Earlier(view, in_flight, lookup.known)

    def number(self, group: Sequence[Waiting]) -> Numbered:
        """Sort a group, in its order; appends to one aggregate are numbered one after the other.

        What is in flight, or undecided, is read before the index: what settles in between is in
        both.

        Raises:
            StoreUnavailable: the brokers do not say how far the log goes.
        """
        behind = self._view.behind
        some = [it for it in group if it.partition not in behind] if behind else group
        numbered = Numbered([], self._view.undecided(some), [], [], [], [])
        contended = set(numbered.contended)
        now = monotonic()
        unsure = self._unsure([it for it in group if it.deadline <= now])
        chained = self._in_flight.heads()
        ids = {it for waiting in self._in_flight.pending() for it in waiting.event_ids}
        heads = self._lookup.heads({it.aggregate_id for it in group})
        known = self._known(group)
        held: set[str] = set()
        for it in group:
            if it.outcome is not None:
                continue
            if (outcome := self._retry(it, known)) is not None:
                numbered.finished.append((it, outcome))
            elif it.deadline <= now:
                numbered.finished.append((it, self._too_late(it, unsure)))
            elif it.partition in behind:
                numbered.behind.append(it)
            elif it.given and not ids.isdisjoint(it.event_ids):
                numbered.early.append(it)
            elif it not in contended:
                if self._is_held(it, heads[it.aggregate_id], chained, held):
                    numbered.early.append(it)
                else:
                    self._place(it, heads[it.aggregate_id], chained, numbered)
                if it.given:
                    ids.update(it.event_ids)
        self._refresh(numbered.ahead)
        return numbered

    def _unsure(self, late: Sequence[Waiting]) -> Mapping[Waiting, OutcomeUnknown]:
        """Of those that are too late, where a broker may commit yet what was withdrawn.

        Or what an earlier attempt proposed, here or elsewhere.
        """
        applied = self._view.applied
        self._in_flight.drop_decided(applied)
        unsure = {it: of_an_earlier(it) for it in self._earlier.undecided(late)}
        unsure.update((it, withdrawn(it)) for it in late if it.last_offset >= applied[it.partition])
        return unsure

    def _too_late(self, it: Waiting, unsure: Mapping[Waiting, OutcomeUnknown]) -> EventkitError:
        if it.last_offset >= 0:
            self._in_flight.keep_in_mind([it])
        if it in unsure:
            return unsure[it]
        if it.partition in self._view.behind:
            return too_late("the index of this host is far behind the log")
        return too_late()

    def _place(self, it: Waiting, head: int, chained: dict[str, int], numbered: Numbered) -> None:
        """A conflict is told only once what it conflicts with is in the log."""
        follows = max(head, chained.get(it.aggregate_id, 0))
        if it.expected is None or it.expected == follows:
            it.first_version = follows + 1
            chained[it.aggregate_id] = it.last_version
            numbered.proposals.append(it)
        elif it.expected < head or (it.expected > follows and self._is_fresh(it)):
            numbered.finished.append((it, ConcurrencyError(it.aggregate_id, it.expected, head)))
        elif it.expected > follows:
            numbered.ahead.append(it)
        else:
            numbered.early.append(it)

    def _is_held(self, it: Waiting, head: int, chained: Mapping[str, int], held: set[str]) -> bool:
        """Whether it has to wait, and with it all of its aggregate that come after it."""
        follows = max(head, chained.get(it.aggregate_id, 0))
        if it.aggregate_id in held or self._might_stand_twice(it, head, follows):
            held.add(it.aggregate_id)
            return True
        return False

    def _might_stand_twice(self, it: Waiting, head: int, follows: int) -> bool:
        """Whether an earlier proposal of this append might take effect beside a new one.

        It was withdrawn, but that it is decided we have not seen, and a broker may commit what we
        aborted. Where the aggregate has come to the version it was for, it is in the index, or
        never will be; and of two for the same version, the rule of the log takes one.
        """
        return (
            it.last_offset >= self._view.applied[it.partition]
            and it.first_version > head
            and it.first_version != follows + 1
        )

    def _is_fresh(self, it: Waiting) -> bool:
        return 0 <= it.fresh_at <= self._view.applied[it.partition]

    def _refresh(self, ahead: Iterable[Waiting]) -> None:
        """An expected version above the head: another process may have been told of it before us.

        Its event is before the last stable offset of now; when the index is there, it is certain.
        A retry must know more: its first attempt, and what that followed, may still be undecided.
        """
        asking = [it for it in ahead if it.fresh_at < 0]
        for given in {it.given for it in asking}:
            some = [it for it in asking if it.given is given]
            ends = self._ends({it.partition for it in some}, committed=not given)
            for it in some:
                it.fresh_at = ends[it.partition]

    def _known(self, group: Iterable[Waiting]) -> Mapping[bytes, Known]:
        """What is recorded under ids that may have been proposed before, here or elsewhere."""
        again = (it for it in group if it.given or it.first_version)
        asked = [event_id.bytes for it in again for event_id in it.event_ids]
        return self._lookup.known(asked) if asked else {}

    def _retry(
        self, it: Waiting, known: Mapping[bytes, Known]
    ) -> Appended | DuplicateEventId | None:
        if not known or not (it.given or it.first_version):
            return None
        rows = [_row(*item) for item in zip(it.records, it.event_ids, strict=True)]
        write = Write(it.aggregate_id, it.expected, it.event_ids, rows, (), may_be_retry=True)
        outcome = retry_of(write, known, self._codec)
        if isinstance(outcome, Appended):
            position = self._lookup.place(outcome.position.offset)
            return outcome._replace(position=position, already_recorded=it.given)
        return outcome


def _row(record: NewRecord, event_id: UUID) -> NewRow:
    (_, type_name) = record.headers[1]
    text = type_name.decode() if isinstance(type_name, bytes) else type_name
    return NewRow(event_id.bytes, text, 0, None, "{}", record.value)
