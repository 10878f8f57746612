"""A broker: partitions, transactions, and a network that loses, holds and repeats requests.

What is said of transactions is Kafka's first protocol (TV1), the one that librdkafka speaks: the
epoch of a producer changes with `init_transactions` and when it is fenced, not with each
transaction. So a late EndTxn ends whatever is open then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError

from eventkit.kafka.index import Partition
from tests.model.scheduler import Process, Scheduler

OK, AGAIN = 0, -1
"""Answers; all others are errors of Kafka."""
FENCED, WRONG_STATE = KafkaError._FENCED, KafkaError.INVALID_TXN_STATE
TIMEOUT = 10.0
"""Seconds that a transaction may stay open."""


class Message:
    """A record as a consumer gets it."""

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_value", "stamp")

    def __init__(self, partition: Partition, key: bytes, value: bytes, headers: Any) -> None:
        self._partition = partition
        self._key = key
        self._value = value
        self._headers = headers
        self._offset = -1
        self.stamp = 0

    def topic(self) -> str:
        return self._partition[0]

    def partition(self) -> int:
        return self._partition[1]

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return [(name, it if isinstance(it, bytes) else it.encode()) for name, it in self._headers]

    def error(self) -> None:
        return None

    def set_headers(self, value: Any, /) -> None:
        self._headers = value

    def timestamp(self) -> tuple[int, int]:
        return 1, self.stamp

    def place_at(self, offset: int, stamp: int) -> None:
        self._offset, self.stamp = offset, stamp

    def title(self) -> str:
        found = {name: it.decode() for name, it in self.headers()[:3]}
        name = self._key.decode()
        if name == "-":
            return "a sweep's record"
        append_id, part, parts = found["ce_append"].rsplit(".", 2)
        piece = "" if parts == "1" else f" (part {int(part) + 1} of {parts})"
        return f"{name} v{found['ce_aggregateversion']} as append {append_id}{piece}"


class Entry:
    """A place in a log: a record, or a marker where there is no message."""

    __slots__ = ("committed", "message", "offset", "writer")

    def __init__(self, offset: int, writer: str, message: Message | None) -> None:
        self.offset = offset
        self.writer = writer
        self.message = message
        self.committed: bool | None = None


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.undecided: dict[str, list[Entry]] = {}
        self.end = 0
        self.stable = 0
        """The last stable offset."""

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.end += 1
        self.stable = min((some[0].offset for some in self.undecided.values()), default=self.end)

    def add(self, writer: str, message: Message, stamp: int) -> int:
        entry = Entry(len(self.entries), writer, message)
        message.place_at(entry.offset, stamp)
        self.undecided.setdefault(writer, []).append(entry)
        self._add(entry)
        return entry.offset

    def mark(self, writer: str, *, committed: bool) -> list[Entry]:
        """A marker decides all that is undecided of its writer, of whatever transaction."""
        decided = self.undecided.pop(writer, [])
        self._add(Entry(self.end, writer, None))
        for entry in decided:
            entry.committed = committed
        return decided


class Transaction:
    """What the coordinator knows of a `transactional.id`."""

    __slots__ = ("began", "commits", "epoch", "partitions", "state", "unmarked", "writer")

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self.epoch = -1
        self.state = "empty"  # or ongoing, prepared, complete
        self.commits = False
        self.partitions: set[Partition] = set()
        self.unmarked: list[Partition] = []
        self.began = 0.0


class Request:
    """Something a producer wants of the broker; copies of it may be on their way."""

    __slots__ = ("answer", "copies", "name", "once", "process", "run", "writer")

    def __init__(
        self, process: Process, writer: str, name: str, run: Callable[[], int], *, once: bool
    ) -> None:
        self.process = process
        self.writer = writer
        self.name = name
        self.run = run
        self.once = once
        self.answer: int | None = None
        self.copies = 0

    def is_answered(self) -> bool:
        return self.answer is not None


class Broker:
    """Partitions, coordinator and network."""

    def __init__(self, scheduler: Scheduler, partitions: Iterable[Partition]) -> None:
        self.logs = {it: Log() for it in partitions}
        self.changes = 0
        """Of the logs."""
        self.transactions: dict[str, Transaction] = {}
        self.network: list[Request] = []
        self.held: list[Request] = []
        self.is_torn = False
        """Whether requests came late or markers were lost: then the log may hold what is odd."""
        self.is_cut_off = False
        """Whether a sweep was fenced or killed: then an append_all may stay half (sweeping.py)."""
        self._left: set[str] = set()
        self.ended: list[Transaction] = []
        """Those whose markers are not all written."""
        self._scheduler = scheduler

    # Requests

    def send(self, request: Request) -> None:
        request.copies += 1
        self.network.append(request)

    def deliver(self, request: Request, *, answered: bool = True, late: bool = False) -> None:
        """A request arrives; its answer may get lost."""
        (self.held if late else self.network).remove(request)
        request.copies -= 1
        if request.once and request.answer is not None:
            return  # the broker knows it by its sequence number
        if late:
            self.is_torn = True
            self._note(f"a late copy arrives: {request.name} of {request.writer}")
        answer = request.run()
        if not answered:
            self._note(f"the answer to {request.name} of {request.writer} is lost")
        if answered or request.once:
            request.answer = answer if request.answer is None else request.answer

    def hold(self, request: Request) -> None:
        self._note(f"{request.name} of {request.writer} is held back")
        self.network.remove(request)
        self.held.append(request)

    # The coordinator

    def transaction(self, writer: str) -> Transaction:
        found = self.transactions.get(writer)
        if found is None:
            found = self.transactions[writer] = Transaction(writer)
        return found

    def init(self, writer: str, by: str) -> int:
        it = self.transaction(writer)
        if it.state == "ongoing":
            self.fence(it, f"{by} opens a producer for {writer}")
        if it.state == "prepared":
            return AGAIN
        it.epoch += 1
        it.state = "empty"
        self._note(f"{by} has a producer for {writer}, epoch {it.epoch}")
        return OK

    def fence(self, it: Transaction, why: str) -> None:
        """End what is open and refuse its producer."""
        it.epoch += 1
        self.is_cut_off |= self._is_left(it.writer)
        self._prepare(it, commits=False)
        self._note(f"{why}: its transaction is to be aborted")

    def add_partitions(self, writer: str, epoch: int, some: Iterable[Partition]) -> int:
        it = self.transaction(writer)
        if it.epoch != epoch:
            return FENCED
        if it.state == "prepared":
            return AGAIN
        if it.state != "ongoing":
            it.state, it.began, it.partitions = "ongoing", self._scheduler.now, set()
        it.partitions.update(some)
        return OK

    def produce(
        self, writer: str, epoch: int, partition: Partition, messages: list[Message]
    ) -> int:
        it = self.transaction(writer)
        if it.epoch != epoch:
            return FENCED
        if it.state != "ongoing" or partition not in it.partitions:
            return WRONG_STATE
        stamp = int(self._scheduler.now * 1000)
        self.changes += 1
        for message in messages:
            offset = self.logs[partition].add(writer, message, stamp)
            self._note(f"{writer} proposes {message.title()} at {partition[1]}/{offset}")
        return OK

    def end(self, writer: str, epoch: int, *, commits: bool) -> int:
        it = self.transaction(writer)
        if it.epoch != epoch:
            return FENCED
        if it.state == "ongoing":
            self._prepare(it, commits=commits)
            self._note(f"{writer} {'commits' if commits else 'aborts'}")
            return OK
        if it.state == "empty" or it.commits != commits:
            return WRONG_STATE
        return OK if it.state == "complete" else AGAIN

    def _prepare(self, it: Transaction, *, commits: bool) -> None:
        it.state, it.commits = "prepared", commits
        it.unmarked = sorted(it.partitions)
        self.ended.append(it)

    # Markers

    def unmarked(self) -> list[tuple[Transaction, Partition]]:
        return [(it, partition) for it in self.ended for partition in it.unmarked]

    def mark(self, it: Transaction, partition: Partition) -> None:
        self.changes += 1
        it.unmarked.remove(partition)
        decided = self.logs[partition].mark(it.writer, committed=it.commits)
        offsets = ", ".join(str(entry.offset) for entry in decided)
        kind = "commit" if it.commits else "abort"
        self._note(
            f"{kind} marker of {it.writer} in {partition[1]}: decides {offsets or 'nothing'}"
        )
        if not it.unmarked:
            self._complete(it)

    def _complete(self, it: Transaction) -> None:
        it.state = "complete"
        self.ended.remove(it)

    def lose_markers(self, it: Transaction) -> None:
        """The broker is killed after the end of a transaction, before its markers are written."""
        self._note(f"markers of {it.writer} are lost in {[part for _, part in it.unmarked]}")
        self.is_torn = True
        self.is_cut_off |= self._is_left(it.writer)
        self._left.add(it.writer)
        it.unmarked.clear()
        self._complete(it)

    def _is_left(self, writer: str) -> bool:
        """Whether it has records that lost their markers and are not swept."""
        return writer in self._left and any(writer in it.undecided for it in self.logs.values())

    def overdue(self) -> list[Transaction]:
        since = self._scheduler.now - TIMEOUT
        return [
            it for it in self.transactions.values() if it.state == "ongoing" and it.began < since
        ]

    def _note(self, text: str) -> None:
        self._scheduler.note(text)
