"""A store as the protocol has it: two tails, the writer and the helper, each step one event.

The order of a round is that of the docstring of `eventkit/kafka/writing/writer.py`, line by line.
A generator waits by what it yields; the world says who is next, and when patience is over.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from eventkit.kafka.reading import LogRecord
from tests.model.protocol.broker import (
    ABORT,
    COMMIT,
    FENCED,
    INIT,
    PRODUCE,
    Broker,
    Judge,
    Request,
    Transaction,
)

Steps = Generator[Callable[[], bool], None, Any]


def always() -> bool:
    return True


class InDoubt(Exception):
    """A call failed, or took too long."""


class Append:
    """What a client asks one store for. `told` is a version, `conflict`, `refused` or `unknown`."""

    __slots__ = (
        "aggregate", "append_id", "expected", "first", "fresh_at", "given", "ids", "is_late",
        "last_offset", "offset", "told",
    )  # fmt: skip

    def __init__(
        self, ids: Sequence[bytes], aggregate: str, expected: int | None, *, given: bool
    ) -> None:
        self.ids = ids
        self.aggregate = aggregate
        self.expected = expected
        self.given = given
        self.first = 0
        self.fresh_at = self.last_offset = self.offset = -1
        self.append_id = b""
        self.is_late = False
        self.told: Any = None

    @property
    def last(self) -> int:
        return self.first + len(self.ids) - 1

    def title(self) -> str:
        at = "" if self.expected is None else f" at v{self.expected}"
        return f"{b', '.join(self.ids).decode()} to {self.aggregate}{at}"

    def tell(self, told: Any, offset: int = -1) -> None:
        if self.told is None:
            self.told, self.offset = told, offset


class Store:
    """A process.

    Parameters:
        name: its `transactional.id`.
        broker: the log.
        judge: what all stores make of the log; each is as far with it as its index.
    """

    def __init__(self, name: str, broker: Broker, judge: Judge) -> None:
        self.name = name
        self.is_frozen = self.helps = self.is_stuck = self.has_news = False
        self.broker = broker
        self.transaction = broker.transaction(name)
        self.judge = judge
        self.seen = self.indexed = self.applied = self.base = 0
        self.places: dict[bytes, tuple[int, int]] = {}
        self.heads: dict[str, int] = {}
        self.queue: list[Append] = []
        self.in_flight: dict[bytes, Append] = {}
        self.epoch = self.aborted = -1
        self._accepted = self._settled = self._refused = self._count = 0
        self._chained: dict[str, int] = {}
        self.in_round = False
        self.asked: dict[str, Request | None] = {}
        self.writer, self.helper = self._write_on(), self._help_on()
        self.waits = [next(self.writer), next(self.helper)]

    # The tails

    def read(self, stop: int) -> None:
        """The read_uncommitted tail."""
        self.seen, self.has_news = stop, True

    def put_into_index(self) -> None:
        self.judge.read_on()
        self.indexed = self.broker.stable
        accepted = self.judge.accepted
        while self._accepted < len(accepted):
            for it in accepted[self._accepted]:
                self.heads[it.aggregate_id] = it.version
                self.places[it.event_id] = (it.version, it.offset)
            self._accepted += 1

    def settle(self) -> None:
        """The verdicts as far as the index: what took effect is told, all else goes back."""
        for some in self.judge.accepted[self._settled : self._accepted]:
            if some[0].writer == self.name:
                found = self.in_flight.pop(some[0].append_id, None)
                if found is not None:
                    found.tell(some[-1].version, some[-1].offset)
        self._settled, back = self._accepted, []
        while self._refused < len(self.judge.rejected):
            _, (first, *_) = self.judge.rejected[self._refused]
            if first.offset >= self.indexed:
                break
            self._refused += 1
            if first.writer == self.name:
                back += [self.in_flight.pop(first.append_id, None)]
        back += [it for it in self.in_flight.values() if 0 <= it.last_offset < self.indexed]
        self.give_back([it for it in back if it is not None])
        self.applied, self.has_news = self.indexed, True

    def give_back(self, some: Sequence[Append]) -> None:
        for it in some:
            self.in_flight.pop(it.append_id, None)
        self.queue[:0] = [it for it in some if it.told is None]
        self.has_news = True

    # The writer

    def _has_work(self) -> bool:
        return self.is_stuck or (self.has_news and bool(self.queue))

    def _write_on(self) -> Steps:
        while True:
            yield self._has_work
            self.in_round = True
            if self.is_stuck:
                self.is_stuck = False
                yield from self._resolve(list(self.in_flight.values()))
            try:
                yield from self._open()
            except InDoubt:
                self.epoch = -1
            else:
                yield from self._round()
            self.in_round = False

    def _round(self) -> Steps:
        group, self.queue, self.has_news = self.queue, [], False
        yield from self._base()
        proposals = self._number(group)
        if not proposals:
            return
        is_sent = False
        try:
            own = yield from self._propose(proposals)
            yield lambda: self.seen > own[-1]
            if self._lost(proposals):
                yield from self._ask(ABORT)
                self.aborted = own[-1]
                self.give_back(proposals)
            else:
                self._commits(proposals)
                is_sent = True
                if self.aborted >= 0:
                    yield self._is_aborted
                    self.aborted = -1
                yield from self._ask(COMMIT)
        except InDoubt:
            if not is_sent:
                self._commits(proposals)
            yield from self._resolve(proposals)

    def _base(self) -> Steps:
        self._note_base()
        yield always
        self._note_heads()

    def _note_base(self) -> None:
        self.base = self.applied
        self._chained = {}
        for it in self.in_flight.values():
            self._chained[it.aggregate] = max(it.last, self._chained.get(it.aggregate, 0))

    def _note_heads(self) -> None:
        self._heads = dict(self.heads)

    def _number(self, group: Sequence[Append]) -> list[Append]:
        proposals: list[Append] = []
        pending = {it.ids[0] for it in self.in_flight.values()}
        held: set[str] = set()
        for it in group:
            if it.told is not None:
                continue
            head = self._heads.get(it.aggregate, 0)
            follows = max(head, self._chained.get(it.aggregate, 0))
            if (place := self._look_up(it)) is not None:
                it.tell(*place)
            elif it.is_late:
                it.tell("unknown" if it.last_offset >= self.applied else "refused")
            elif (it.given and it.ids[0] in pending) or self._is_contended(it):
                self.queue.append(it)
            elif it.aggregate in held or self._might_stand_twice(it, head, follows):
                held.add(it.aggregate)
                self.queue.append(it)
            elif it.expected is None or it.expected == follows:
                it.first = follows + 1
                self._chained[it.aggregate] = it.last
                pending.add(it.ids[0])
                proposals.append(it)
            elif it.expected < head or (it.expected > follows and self._is_fresh(it)):
                it.tell("conflict")
            else:
                if it.expected > follows and it.fresh_at < 0:
                    it.fresh_at = len(self.broker.log) if it.given else self.broker.stable
                    self.has_news = True
                self.queue.append(it)
        return proposals

    def _look_up(self, it: Append) -> tuple[int, int] | None:
        return self.places.get(it.ids[-1]) if it.given or it.first else None

    def _is_contended(self, it: Append) -> bool:
        """Whether a rival's proposal is undecided, as far as we see: it is waited for."""
        log = self.broker.log
        return any(
            record is not None and record.aggregate_id == it.aggregate and writer != self.name
            for writer, record, _ in log[self.applied : self.seen]
        )

    def _might_stand_twice(self, it: Append, head: int, follows: int) -> bool:
        return it.last_offset >= self.applied and it.first > head and it.first != follows + 1

    def _is_fresh(self, it: Append) -> bool:
        return 0 <= it.fresh_at <= self.applied

    def _propose(self, proposals: Sequence[Append]) -> Steps:
        """In one request or several; the broker tells the offsets."""
        own: list[int] = []
        for it in proposals:
            self._count += 1
            it.append_id, it.last_offset = b"%x" % self._count, -1
        for it in proposals:
            for records in self._records(it):
                own += yield from self._ask(PRODUCE, records)
            it.last_offset = own[-1]
        return own

    def _records(self, it: Append) -> list[list[LogRecord]]:
        made = [
            LogRecord(
                0, it.aggregate, it.first + part, it.append_id, part, len(it.ids), self.name,
                event_id, "T", 0, None, "{}", b"", None,
            )
            for part, event_id in enumerate(it.ids)
        ]  # fmt: skip
        return [made] if self._count % 2 else [[record] for record in made]

    def _lost(self, proposals: Sequence[Append]) -> bool:
        """Whether a rival's record stands between the base and one of ours."""
        log = self.broker.log
        return any(
            record is not None and record.aggregate_id == it.aggregate and writer != self.name
            for it in proposals
            for writer, record, _ in log[self.base : it.last_offset]
        )

    def _commits(self, proposals: Sequence[Append]) -> None:
        self.in_flight.update((it.append_id, it) for it in proposals)

    def _is_aborted(self) -> bool:
        """What we took back must be decided, or this commit would commit it."""
        return self.broker.stable > self.aborted

    # In doubt

    def _resolve(self, doubtful: Sequence[Append]) -> Steps:
        """A new producer ends what is open; then the log tells."""
        self.epoch = -1
        while True:
            try:
                yield from self._end_and_read()
                break
            except InDoubt:
                late = [it for it in doubtful if it.is_late and it.append_id in self.in_flight]
                for it in late:
                    self.in_flight.pop(it.append_id)
                    it.tell("unknown")
        self.give_back([it for it in doubtful if it.append_id in self.in_flight])

    def _end_and_read(self) -> Steps:
        yield from self._open()
        try:
            yield self._has_read(len(self.broker.log))
        except InDoubt:
            yield from self._sweep(self.name, self.transaction, self.epoch)
            yield self._has_read(len(self.broker.log))

    def _has_read(self, end: int) -> Callable[[], bool]:
        return lambda: self.applied >= end and self.seen >= end

    def _sweep(self, by: str, of: Transaction, epoch: int) -> Steps:
        """What lost its marker is decided by the end of another transaction of its writer."""
        try:
            yield from self._call(by, PRODUCE, of, epoch, [None])
            yield from self._call(by, ABORT, of, epoch)
        except InDoubt:
            self.epoch = -1
            raise

    # The helper

    def _help_on(self) -> Steps:
        broker = self.broker
        while True:
            yield lambda: self.helps and broker.stable < len(broker.log)
            self.helps, stuck = False, broker.stable
            writer = broker.log[stuck][0]
            if writer == self.name:
                continue
            of, by = broker.transaction(writer), f"{self.name}'s helper"
            try:
                epoch = yield from self._call(by, INIT, of, -1)
                if broker.stable <= stuck:
                    yield from self._call(by, PRODUCE, of, epoch, [None])
                    yield from self._call(by, ABORT, of, epoch)
            except InDoubt:
                continue

    # Calls

    def _open(self) -> Steps:
        if self.epoch < 0:
            self.epoch = yield from self._call(self.name, INIT, self.transaction, -1)

    def _ask(self, kind: str, records: Sequence[Any] = ()) -> Steps:
        return (yield from self._call(self.name, kind, self.transaction, self.epoch, records))

    def _call(
        self, by: str, kind: str, of: Transaction, epoch: int, records: Sequence[Any] = ()
    ) -> Steps:
        request = self.asked[by] = Request(kind, by, of, epoch, records)
        self.broker.network.append(request)
        yield request.is_answered
        self.asked[by] = None
        if request.answer is FENCED:
            raise InDoubt
        return request.answer
