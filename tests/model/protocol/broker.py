"""One partition and its coordinator: what Kafka's first transaction protocol does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Home, PartitionRule

INIT, PRODUCE, COMMIT, ABORT = "InitProducerId", "Produce", "EndTxn(commit)", "EndTxn(abort)"
FENCED = "fenced"
OPEN, PREPARED = "open", "prepared"
_HOME = Home("task", 0, 1)


class Transaction:
    """What the coordinator knows of a writer: its epoch, and what it has open or has ended."""

    __slots__ = ("commits", "epoch", "state", "writer")

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self.epoch = 0
        self.state = ""
        self.commits: bool | None = None


class Request:
    """What a writer asks; a copy of it may come late."""

    __slots__ = ("answer", "by", "epoch", "kind", "of", "records")

    def __init__(
        self, kind: str, by: str, of: Transaction, epoch: int, records: Sequence[Any]
    ) -> None:
        self.kind = kind
        self.by = by
        self.of = of
        self.epoch = epoch
        self.records = records
        self.answer: Any = None

    def is_answered(self) -> bool:
        return self.answer is not None


class Broker:
    """Entries are `[writer, record or None, committed or None]`; markers take places, as in Kafka.

    Parameters:
        note: takes the order of events, where somebody wants to know it.
    """

    def __init__(self, note: Callable[[str], None] | None) -> None:
        self.log: list[list[Any]] = []
        self.undecided: dict[str, list[int]] = {}
        self.stable = 0
        self.transactions: dict[str, Transaction] = {}
        self.network: list[Request] = []
        self.held: list[Request] = []
        self.is_torn = False
        self.note = note

    def transaction(self, writer: str) -> Transaction:
        found = self.transactions.get(writer)
        if found is None:
            found = self.transactions[writer] = Transaction(writer)
        return found

    def can_take(self, it: Request) -> bool:
        """Whether it need not wait for markers of the transaction before."""
        of = it.of
        return of.state is not PREPARED or (it.kind is not INIT and it.epoch != of.epoch)

    def deliver(self, it: Request, *, late: bool = False, answered: bool = True) -> None:
        """A request arrives; one that has to fence somebody first, or to wait, arrives again."""
        if late:
            self.held.remove(it)
            self.is_torn = True
        answer = self._take(it)
        if answer is None:
            return
        if self.note:
            self.note(f"{'late: ' * late}{it.kind} of {it.of.writer} by {it.by}: {answer}")
        if not late:
            self.network.remove(it)
        if it.kind is PRODUCE or (answered and not late):
            it.answer = answer

    def _take(self, it: Request) -> Any:
        of = it.of
        if it.kind is INIT:
            return self._init(of)
        if it.epoch != of.epoch:
            return FENCED
        if it.kind is PRODUCE:  # a second copy is known by its sequence number
            return self._add(of, it.records) if it.answer is None else it.answer
        return self._take_end(of, commits=it.kind is COMMIT)

    def _init(self, of: Transaction) -> int | None:
        """A new epoch, once what was open is ended."""
        if of.state is OPEN:
            self._end(of, commits=False)
            of.epoch += 1
        if of.state is PREPARED:
            return None
        of.epoch, of.state = of.epoch + 1, ""
        return of.epoch

    def _add(self, of: Transaction, records: Sequence[Any]) -> list[int]:
        of.state = OPEN
        first = len(self.log)
        offsets = list(range(first, first + len(records)))
        self.log += [[of.writer, record, None] for record in records]
        self.undecided.setdefault(of.writer, []).extend(offsets)
        self._move()
        return offsets

    def _take_end(self, of: Transaction, *, commits: bool) -> object:
        if of.state is OPEN:
            self._end(of, commits=commits)
            return True
        return True if of.state and of.commits is commits else FENCED

    def _end(self, of: Transaction, *, commits: bool) -> None:
        of.state, of.commits = PREPARED, commits

    def mark(self, of: Transaction) -> None:
        """The marker decides all that is undecided of its writer, of whatever transaction."""
        of.state = "complete"
        for offset in self.undecided.pop(of.writer, ()):
            self.log[offset][2] = of.commits
        self.log.append([of.writer, None, None])
        self._move()
        if self.note:
            self.note(f"marker of {of.writer}: {'commit' if of.commits else 'abort'}")

    def lose_marker(self, of: Transaction) -> None:
        of.state, self.is_torn = "complete", True
        if self.note:
            self.note(f"the marker of {of.writer} is lost")

    def _move(self) -> None:
        self.stable = min((it[0] for it in self.undecided.values()), default=len(self.log))


class Judge:
    """Reads what is decided and applies a rule of the log.

    Parameters:
        broker: whose log.
        rule: a class; the real one, unless a fault is put in.
    """

    def __init__(self, broker: Broker, rule: type[PartitionRule] = PartitionRule) -> None:
        self._broker = broker
        self._rule = rule(_HOME, lambda _: 0)
        self._at = 0
        self.accepted: list[tuple[LogRecord, ...]] = []
        self.rejected: list[tuple[str, tuple[LogRecord, ...]]] = []

    def read_on(self) -> None:
        broker = self._broker
        if self._at >= broker.stable:
            return
        for offset in range(self._at, broker.stable):
            _, record, committed = broker.log[offset]
            if record is not None and committed:
                found = self._rule.feed(record._replace(offset=offset))
                if found:
                    self.accepted.append(tuple(found))
                self.rejected += self._rule.take_rejected()
        self._at = broker.stable
