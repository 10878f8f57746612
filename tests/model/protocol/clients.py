"""Clients of the protocol model: what they ask, and whether what they are told is true."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.model.protocol.broker import Broker, Judge
from tests.model.protocol.store import Append, Store
from tests.model.truth import Violation

APPENDS = 2
_AGGREGATES = ("task-1", "task-1", "task-2")


class Truth:
    """What took effect, by the rule of the log."""

    def __init__(self, broker: Broker) -> None:
        self._judge = Judge(broker)
        self._broker = broker
        self._at = 0
        self.heads: dict[str, int] = {}
        self.places: dict[bytes, tuple[int, int]] = {}

    def read_on(self) -> None:
        self._judge.read_on()
        for append in self._judge.accepted[self._at :]:
            for it in append:
                if it.event_id in self.places:
                    raise Violation("twice", f"{it.event_id!r} at {it.offset} is there before")
                self.places[it.event_id] = (it.version, it.offset)
                self.heads[it.aggregate_id] = it.version
        self._at = len(self._judge.accepted)
        if self._judge.rejected and not self._broker.is_torn:
            raise Violation("untidy", f"{self._judge.rejected[0]}")


class Try:
    """One attempt at an append, through a store; `head` was told when it was asked for."""

    __slots__ = ("append", "head", "is_over", "store")

    def __init__(self, store: Store, append: Append, head: int) -> None:
        self.store = store
        self.append = append
        self.head = head
        self.is_over = False


class Client:
    """Asks for one append after the other; again, with the same ids, where it is in doubt."""

    def __init__(self, number: int, truth: Truth) -> None:
        self._number = number
        self._truth = truth
        self._count = 0
        self._past: list[list[Try]] = []
        self.tries: list[Try] = []
        self.is_free = True
        """Whether it may ask; `look` finds out when something may have been told."""
        self.is_done = False

    def _asks_again(self) -> bool:
        last = self.tries[-1].append
        return last.given and last.told in {None, "unknown"} and len(self.tries) < 5

    def ask(self, stores: Sequence[Store], number: int) -> str:
        """The next append, or the last one again, of one store."""
        number, which = divmod(number, len(stores))
        store = stores[which]
        self._truth.read_on()
        if self.tries and self._asks_again():
            it = self._again()
        else:
            self._past += [self.tries] if self.tries else []
            self.tries, it = [], self._new(number, store)
            self._count += 1
        self._send(store, it)
        return f"client asks {store.name} for {it.title()}"

    def repeat(self, stores: Sequence[Store], number: int) -> None:
        """It does not wait: another store is asked for the same."""
        is_waiting = not (self.is_free or self.is_done)
        if is_waiting and self.tries[0].append.given and len(self.tries) < 3:
            self._send(stores[number % len(stores)], self._again())

    def lose(self, store: Store) -> None:
        """The store is killed: it tells nothing any more."""
        for it in self.tries:
            if it.store is store and it.append.told is None:
                it.is_over = True
        self.look()

    def _send(self, store: Store, it: Append) -> None:
        self.tries.append(Try(store, it, self._truth.heads.get(it.aggregate, 0)))
        store.queue.append(it)
        store.has_news, self.is_free = True, False

    def _again(self) -> Append:
        first = self.tries[0].append
        return Append(first.ids, first.aggregate, first.expected, given=True)

    def _new(self, number: int, store: Store) -> Append:
        number, which = divmod(number, 3)
        number, size = divmod(number, 3)
        number, how = divmod(number, 6)
        aggregate = _AGGREGATES[which]
        ids = [b"%d.%d.%d" % (self._number, self._count, part) for part in range(1 + size // 2)]
        head = store.heads.get(aggregate, 0)
        known = self._truth.heads.get(aggregate, 0)
        expected = (None, None, head, known, known, head + 1)[how]
        return Append(ids, aggregate, expected, given=number % 2 == 0)

    def look(self) -> None:
        """Check what was told since the last time."""
        if self.is_free or self.is_done:
            return
        is_over = True
        for it in self.tries:
            if not it.is_over and it.append.told is not None:
                it.is_over = True
                self._check(it.append, it.head)
            is_over &= it.is_over
        if is_over and self.tries:
            self.is_done = self._count == APPENDS and not self._asks_again()
            self.is_free = not self.is_done

    def _check(self, it: Append, head: int) -> None:
        title = f"{it.title()}, told {it.told}"
        self._truth.read_on()
        if it.told == "conflict":
            if it.expected == head == self._truth.heads.get(it.aggregate, 0):
                raise Violation("no conflict", title)
        elif not isinstance(it.told, int):
            return
        elif self._truth.places.get(it.ids[-1]) != (it.told, it.offset):
            raise Violation("lost", title)
        elif it.expected is not None and it.told != it.expected + len(it.ids):
            raise Violation("unexpected", title)
        elif it.told - len(it.ids) < self.tries[0].head:
            raise Violation("order", title)

    def check_the_end(self) -> None:
        places = self._truth.places
        for tries in [*self._past, self.tries]:
            ids = tries[0].append.ids
            there = [it for it in ids if it in places]
            if there and len(there) < len(ids):
                raise Violation("half", f"{there} of {ids}")
            for it in (one.append for one in tries):
                if isinstance(it.told, int) and not there:
                    raise Violation("lost", f"{it.title()}, told {it.told}")
                if there and self._was_refused(it, len(tries)):
                    raise Violation("refused", f"{it.title()}, told {it.told}")

    def _was_refused(self, it: Append, tries: int) -> bool:
        """For good: beside one that came early or was given up, another may have gone through."""
        if it.told == "conflict":
            return self._truth.places[it.ids[-1]][0] != (it.expected or 0) + len(it.ids)
        return it.told == "refused" and tries == 1


def check_views(stores: Iterable[Store], truth: Truth) -> None:
    for store in stores:
        if store.places != truth.places or store.heads != truth.heads:
            raise Violation("other view", f"{store.name}: {store.places}, not {truth.places}")
