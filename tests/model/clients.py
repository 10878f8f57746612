"""Clients: what they ask, what they are told, and whether that is true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from eventkit.errors import (
    ConcurrencyError,
    DuplicateEventId,
    EventkitError,
    OutcomeUnknown,
    StoreCorrupted,
)
from eventkit.kafka.inflight import Call, Waiting
from eventkit.kafka.records import NewRecord, new_records
from eventkit.kafka.writing.together import Whole
from eventkit.store import Appended
from tests.model.scheduler import Choices, Scheduler
from tests.model.store import Store, partition_of
from tests.model.truth import Truth, Violation

AGGREGATES = ("task-1", "task-2", "task-3")
_APPENDS = 4  # of each client
_SHORT = 3.0  # seconds until a client gives up that has no patience


class Part(NamedTuple):
    """What is asked of one aggregate."""

    aggregate_id: str
    ids: tuple[UUID, ...]
    records: list[NewRecord]
    expected: int | None
    head: int


class Try:
    """One attempt at an append, through a store.

    `knows`: of all attempts before it this same store has said that it does not know what became
    of them. So it knows of them, and no other attempt is on its way.
    """

    def __init__(self, store: Store, heads: dict[str, int], before: Iterable[Try]) -> None:
        self.store = store
        self.heads = heads
        self.knows = all(it.store is store and isinstance(it.told, OutcomeUnknown) for it in before)
        self.told: list[Appended] | EventkitError | None = None
        self.is_lost = False

    @property
    def is_over(self) -> bool:
        return self.told is not None or self.is_lost


class Asked:
    """An append, to one aggregate or several."""

    def __init__(self, name: str, parts: list[Part], *, given: bool, patience: float) -> None:
        self.name = name
        self.parts = parts
        self.given = given
        self.patience = patience
        self.tries: list[Try] = []
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether nothing is awaited, and a retry would tell nothing new."""
        if self._is_over:
            return True
        last = self.tries[-1]
        for it in self.tries:
            if not it.is_over:
                return False
        self._is_over = self._is_certain(last)
        return self._is_over

    def _is_certain(self, last: Try) -> bool:
        in_doubt = last.is_lost or isinstance(last.told, OutcomeUnknown)
        return not (in_doubt and self.given) or any(isinstance(it.told, list) for it in self.tries)

    def title(self) -> str:
        what = ", ".join(
            f"{len(it.ids)} to {it.aggregate_id}"
            + ("" if it.expected is None else f" at v{it.expected}")
            for it in self.parts
        )
        return f"{self.name} ({what})"

    def check(self, truth: Truth) -> None:
        """In the end: what was told is true, and the append is there as a whole or not at all."""
        ids = [event_id.bytes for part in self.parts for event_id in part.ids]
        there = [it for it in ids if it in truth.events]
        if there and len(there) < len(ids):
            if len(self.parts) > 1 and truth.may_be_half:
                return
            raise Violation("half", f"of {self.title()} a part took effect")
        for it in self.tries:
            if isinstance(it.told, list) and not there:
                raise Violation("lost", f"{self.title()} was acknowledged and is not there")
            if there and self._was_refused(it):
                raise Violation("refused", f"{self.title()} was refused ({it.told}) and is there")

    def _was_refused(self, it: Try) -> bool:
        """For good: beside one that was given up, or came early, another may have gone through."""
        if isinstance(it.told, ConcurrencyError) and it.told.actual > it.told.expected:
            return True
        definite = isinstance(it.told, EventkitError) and not isinstance(it.told, OutcomeUnknown)
        return definite and it.knows and it is self.tries[-1]

    def check_told(self, it: Try, truth: Truth) -> None:
        """At once: what was acknowledged is there, and a conflict is one."""
        truth.read_on()
        if isinstance(it.told, DuplicateEventId | StoreCorrupted):
            if len(self.parts) > 1 and truth.may_be_half:
                return  # README.md: what is known
            raise Violation("odd", f"{self.title()} was told {it.told}")
        if isinstance(it.told, list):
            for part, appended in zip(self.parts, it.told, strict=True):
                self._check_part(part, appended, truth)
        if isinstance(it.told, ConcurrencyError):
            part = next(p for p in self.parts if p.aggregate_id == it.told.aggregate_id)
            head = truth.head(part.aggregate_id)
            if it.heads[part.aggregate_id] == part.expected == head:
                raise Violation("no conflict", f"{self.title()}: {it.told}, it is at v{head}")

    def _check_part(self, part: Part, appended: Appended, truth: Truth) -> None:
        places = [truth.events.get(it.bytes) for it in part.ids]
        last = places[-1]
        if last is None or None in places:
            raise Violation("lost", f"{self.title()} is acknowledged and not there")
        if (last.version, (*last.partition, last.offset)) != (appended.version, appended.position):
            raise Violation("lost", f"{self.title()} is v{last.version}, was told {appended}")
        if part.expected is not None and last.version != part.expected + len(part.ids):
            raise Violation("unexpected", f"{self.title()} became v{last.version}")
        if last.version - len(part.ids) < part.head:
            raise Violation("order", f"{self.title()} is before what was there when it was asked")


class Client:
    """Asks for one append after the other; `patience`: seconds until it gives up, mostly."""

    def __init__(
        self,
        number: int,
        truth: Truth,
        scheduler: Scheduler,
        choices: Choices,
        patience: float,
    ) -> None:
        self._number = number
        self._truth = truth
        self._scheduler = scheduler
        self._choices = choices
        self._patience = patience
        self.asked: list[Asked] = []
        self._open = 0
        """Tries of which it awaits an answer."""

    @property
    def is_free(self) -> bool:
        """Whether it can ask: something new, or again."""
        return not self._open and not self.is_done

    @property
    def is_done(self) -> bool:
        return len(self.asked) == _APPENDS and not self._open and self.asked[-1].is_over

    @property
    def can_ask_again(self) -> bool:
        if not self.asked:
            return False
        now = self.asked[-1]
        return now.given and not now.is_over and len(now.tries) < 3

    def title(self) -> str:
        return self.asked[-1].title() if self.asked else "a client"

    def ask(self, stores: Sequence[Store]) -> None:
        """The next append, or once more one of which it does not know what became of it."""
        if not stores:
            return
        number = self._choices.next()
        store = stores[number % len(stores)]
        if not self.asked or self.asked[-1].is_over:
            self.asked.append(self._new(number // 4, store))
        self._send(store)

    def ask_again(self, store: Store) -> None:
        self._send(store)

    def lose(self, store: Store) -> None:
        """The store is killed: what was asked of it will not be answered."""
        for asked in self.asked:
            for it in asked.tries:
                if it.store is store and not it.is_over:
                    it.is_lost = True
                    self._open -= 1

    def _new(self, number: int, store: Store) -> Asked:
        name = f"{'xyz'[self._number]}{len(self.asked) + 1}"
        number, kind = divmod(number, 8)
        number, first = divmod(number, 3)
        number, size = divmod(number, 4)
        number, how = divmod(number, 8)
        together = kind == 7
        aggregates = AGGREGATES[first:] + AGGREGATES[:first]
        parts = [
            self._part(f"{name}{it}", it, 1 + (size == 3), how, store)
            for it in (aggregates[: 2 + size % 2] if together else aggregates[:1])
        ]
        patience = _SHORT if kind == 6 else self._patience
        return Asked(name, parts, given=together or kind % 2 == 0, patience=patience)

    def _part(self, name: str, aggregate_id: str, events: int, how: int, store: Store) -> Part:
        ids = tuple(UUID(bytes=f"{name}{it}".encode().ljust(16)[:16]) for it in range(events))
        records = new_records(
            aggregate_id, [(it, "TaskCreated", it.bytes) for it in ids], 1_700_000_000_000_000
        )
        (head,) = store.host.connection.execute(
            "SELECT coalesce(max(version), 0) FROM events WHERE aggregate_id = ?", (aggregate_id,)
        ).fetchone()
        known = self._truth.head(aggregate_id)  # told by another process, perhaps
        expected = (head, head, known, known, None, None, None, head + 1)[how]
        return Part(aggregate_id, ids, records, expected, known)

    def _send(self, store: Store) -> None:
        asked = self.asked[-1]
        heads = {part.aggregate_id: self._truth.head(part.aggregate_id) for part in asked.parts}
        it = Try(store, heads, asked.tries)
        asked.tries.append(it)
        self._open += 1
        again = " again" if len(asked.tries) > 1 else ""
        self._scheduler.note(f"client asks {store.name} for {asked.title()}{again}")
        waitings = [
            Waiting(
                part.aggregate_id, partition_of(part.aggregate_id), part.records, part.ids,
                part.expected, self._scheduler.now + asked.patience, given=asked.given,
            )
            for part in asked.parts
        ]  # fmt: skip
        tell = partial(self._tell, asked, it)
        if len(waitings) > 1:
            whole = Whole(waitings)
            store.writer.put_all(whole, Call([whole], lambda _: tell(whole.result())))
        else:
            (waiting,) = waitings
            store.writer.put(Call([waiting], lambda _: tell(_told(waiting))))

    def _tell(self, asked: Asked, it: Try, told: Any) -> None:
        if it.is_lost:
            return
        it.told = told
        self._open -= 1
        self._scheduler.note(f"{it.store.name} tells of {asked.title()}: {_short(told)}")
        try:
            asked.check_told(it, self._truth)
        except Violation as error:
            self._truth.found.append(error)


def _told(waiting: Waiting) -> Any:
    outcome = waiting.outcome
    return [outcome] if isinstance(outcome, Appended) else outcome


def _short(told: Any) -> str:
    if isinstance(told, list):
        return ", ".join(f"v{it.version} at {it.position.offset}" for it in told)
    return f"{type(told).__name__}: {told}"
