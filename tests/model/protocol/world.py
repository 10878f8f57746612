"""The world of the protocol model: which of all possible steps is next, and faults between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from eventkit.kafka.rule import PartitionRule
from tests.model.protocol.broker import ABORT, COMMIT, OPEN, PREPARED, Broker, Judge, Request
from tests.model.protocol.clients import Client, Truth, check_views
from tests.model.protocol.store import InDoubt, Store
from tests.model.truth import Violation

_FAULT = 58_000
"""Numbers from here to 65,535 choose a fault, those below a step."""
_MOST_STEPS = 2_000
_MOST_KILLS = 2

Step = tuple[Callable[[Any], Any], Any]
rules: dict[str, type[PartitionRule]] = {"of stores": PartitionRule}


class Outcome(NamedTuple):
    """What came of a run."""

    violation: Violation | None
    events: list[tuple[float, str]]
    steps: int


class World:
    """Makes a run from numbers; `tells` keeps the order of events."""

    def __init__(self, numbers: Sequence[int], *, tells: bool) -> None:
        self.events: list[tuple[float, str]] = []
        self._numbers = iter(numbers)
        self.steps = self._kills = self._trap = 0
        self.broker = Broker(self.note if tells else None)
        self.truth = Truth(self.broker)
        self._judge = Judge(self.broker, rules["of stores"])
        shape = self._next()
        self.stores = [Store("ABC"[it], self.broker, self._judge) for it in range(2 + shape % 2)]
        self.clients = [Client(number, self.truth) for number in range(3)]

    def note(self, text: str) -> None:
        self.events.append((100.0 + self.steps / 1000, text))

    def _next(self) -> int:
        return next(self._numbers, 0)

    def go(self) -> None:
        for number in self._numbers:
            self.steps += 1
            if number >= _FAULT:
                _FAULTS[self._next() % len(_FAULTS)](self, number - _FAULT)
            elif not self._step(number):
                self._wait(number)
            if self._trap:
                self._spring()
        self._heal()
        later = random.Random(2).getrandbits  # noqa: S311 - no secret
        for _ in range(_MOST_STEPS):
            self.steps += 1
            if not self._step(later(16)) and not self._wait(later(16)):
                break
        if not all(it.is_done for it in self.clients) or self.broker.stable < len(self.broker.log):
            raise Violation("stuck", f"{len(self.broker.log)} entries, {self.broker.stable}")
        self.truth.read_on()
        for client in self.clients:
            client.check_the_end()
        check_views(self.stores, self.truth)

    # Steps

    def _possible(self) -> list[Step]:
        broker = self.broker
        stable, end, can_take = broker.stable, len(broker.log), broker.can_take
        steps: list[Step] = [(broker.deliver, it) for it in broker.network if can_take(it)]
        ended = [of for of in broker.transactions.values() if of.state is PREPARED]
        steps += [(broker.mark, of) for of in ended]
        for store in self.stores:
            if store.is_frozen:
                continue
            if store.seen < end:
                steps.append((self._read, store))
            if store.indexed < stable:
                steps.append((Store.put_into_index, store))
            if store.applied < store.indexed:
                steps.append((self._settle, store))
            writes, helps = store.waits
            if writes():
                steps.append((self._write, store))
            if helps():
                steps.append((self._help, store))
        steps += [(self._ask, it) for it in self.clients if it.is_free]
        return steps

    def _step(self, number: int) -> bool:
        steps = self._possible()
        if not steps:
            return False
        number, which = divmod(number, len(steps))
        run, it = steps[which]
        self._spare = number
        run(it)
        return True

    def _read(self, store: Store) -> None:
        store.read(store.seen + 1 if self._spare % 4 == 1 else len(self.broker.log))

    def _settle(self, store: Store) -> None:
        store.settle()
        self._look()

    def _write(self, store: Store) -> None:
        store.waits[0] = next(store.writer)
        self._look()

    def _help(self, store: Store) -> None:
        store.waits[1] = next(store.helper)

    def _look(self) -> None:
        for client in self.clients:
            client.look()

    def _ask(self, client: Client) -> None:
        up = [it for it in self.stores if not it.is_frozen]
        if up:
            self._tell(client.ask(up, self._next()))

    def _tell(self, text: str) -> None:
        if self.broker.note:
            self.note(text)

    # Time: what happens by itself where nothing else can

    def _wait(self, number: int) -> bool:
        """Patience is over for somebody; False where nobody waits for anything."""
        steps: list[Step] = [(self._send_again, it) for it in self._unsent()]
        if not steps:
            steps = [(self._thaw, it) for it in self.stores if it.is_frozen]
            end = len(self.broker.log)
            for store in self.stores:
                if store.is_frozen:
                    continue
                if store.in_round:
                    steps.append((self._time_out, store))
                if self.broker.stable < end and not store.helps:
                    steps.append((self._let_help, store))
                if store.in_flight or store.queue:
                    steps.append((self._look_again, store))
        if not steps:
            return False
        run, it = steps[number % len(steps)]
        run(it)
        return True

    def _unsent(self) -> list[Request]:
        asked = [it for store in self.stores if not store.is_frozen for it in store.asked.values()]
        return [it for it in asked if it and not it.answer and it not in self.broker.network]

    def _send_again(self, it: Request) -> None:
        self.broker.network.append(it)

    def _let_help(self, store: Store) -> None:
        store.helps = True
        if store.asked.get(f"{store.name}'s helper"):
            self._throw(store, 1, f"{store.name}'s helper", store.helper)

    def _look_again(self, store: Store) -> None:
        store.has_news = True
        store.is_stuck = bool(store.in_flight) and not store.in_round

    def _time_out(self, store: Store) -> None:
        if store.in_round and store.waits[0].__name__ != "always":
            self._tell(f"{store.name} waits no longer")
            self._throw(store, 0, store.name, store.writer)
            self._look()

    def _throw(self, store: Store, number: int, name: str, steps: Any) -> None:
        store.asked[name] = None
        store.waits[number] = steps.throw(InDoubt)

    # Faults

    def _heal(self) -> None:
        for it in self.broker.held.copy():
            self.broker.deliver(it, late=True)
        for store in self.stores:
            store.is_frozen = False

    def _thaw(self, store: Store) -> None:
        store.is_frozen = False
        self._tell(f"{store.name} wakes up")

    def _set_trap(self, number: int) -> None:
        """Something happens at the next end of a transaction: few steps are as delicate."""
        self._trap = number % 6 + 1

    def _spring(self) -> None:
        broker, trap = self.broker, self._trap
        ends = [it for it in broker.network if it.kind in {COMMIT, ABORT}]
        if trap < 4:
            harmful = self._harmful()
            if harmful and (len(broker.undecided) > 1 or trap == 1):
                broker.deliver(harmful[0], late=True)
            elif ends and not broker.held:
                self._hold(1)
                return
            else:
                return
        elif trap == 4 and any(it.state is PREPARED for it in broker.transactions.values()):
            self._lose_marker(0)
        elif trap > 4 and ends:
            for store in self.stores:
                store.is_frozen |= store.name == ends[0].by
            self._help_early(trap)
        else:
            return
        self._trap = 0

    def _hold(self, number: int) -> None:
        """Mostly the end of a transaction; another copy of it mostly goes on."""
        network = self.broker.network
        ends = [it for it in network if it.kind in {COMMIT, ABORT}] or network
        if ends:
            it = ends[number % len(ends)]
            if number % 4 == 0:
                network.remove(it)
            self.broker.held.append(it)
            self._tell(f"{it.kind} of {it.of.writer} is held back")

    def _harmful(self) -> list[Request]:
        """What would be applied to a transaction that it was not meant for, perhaps."""
        return [
            it
            for it in self.broker.held
            if it.of.state is OPEN and it.epoch == it.of.epoch and it not in self.broker.network
        ]

    def _release(self, number: int) -> None:
        """A late copy comes; mostly when it does harm."""
        held = self.broker.held if number % 8 == 0 else self._harmful()
        if held:
            self.broker.deliver(held[number % len(held)], late=True)

    def _lose_answer(self, number: int) -> None:
        network = [it for it in self.broker.network if self.broker.can_take(it)]
        if network:
            self.broker.deliver(network[number % len(network)], answered=False)

    def _lose_marker(self, number: int) -> None:
        ended = [it for it in self.broker.transactions.values() if it.state is PREPARED]
        if ended:
            self.broker.lose_marker(ended[number % len(ended)])

    def _freeze(self, number: int) -> None:
        busy = [it for it in self.stores if it.in_round and not it.is_frozen]
        if busy:
            store = busy[number % len(busy)]
            store.is_frozen = True
            self._tell(f"{store.name} is frozen")

    def _thaw_one(self, number: int) -> None:
        frozen = [it for it in self.stores if it.is_frozen]
        if frozen:
            self._thaw(frozen[number % len(frozen)])

    def _kill(self, number: int) -> None:
        if self._kills == _MOST_KILLS:
            return
        store = self.stores.pop(number % len(self.stores))
        self._tell(f"{store.name} is killed")
        for client in self.clients:
            client.lose(store)
        self.stores.append(Store("DE"[self._kills], self.broker, self._judge))
        self._kills += 1

    def _lose_patience(self, number: int) -> None:
        self._wait(number)

    def _stop_waiting(self, number: int) -> None:
        busy = [it for it in self.stores if it.in_round and not it.is_frozen]
        if busy:
            self._time_out(busy[number % len(busy)])

    def _help_early(self, number: int) -> None:
        store = self.stores[number % len(self.stores)]
        if not store.is_frozen:
            self._let_help(store)

    def _end_deadline(self, number: int) -> None:
        tries = [one.append for it in self.clients for one in it.tries]
        waiting = [it for it in tries if it.told is None]
        if waiting:
            waiting[number % len(waiting)].is_late = True

    def _repeat(self, number: int) -> None:
        up = [it for it in self.stores if not it.is_frozen]
        if up:
            self.clients[number % 3].repeat(up, number // 3)


_FAULTS: Sequence[Callable[[World, int], None]] = (
    World._set_trap, World._set_trap, World._set_trap, World._set_trap, World._hold,
    World._release, World._release,
    World._lose_answer, World._lose_marker, World._freeze, World._thaw_one, World._kill,
    World._lose_patience, World._stop_waiting, World._help_early, World._end_deadline,
    World._repeat,
)  # fmt: skip


def run(numbers: Sequence[int], *, tells: bool = False) -> Outcome:
    """Make the run that these numbers choose."""
    world = World(numbers, tells=tells)
    violation = None
    try:
        world.go()
    except Violation as error:
        violation = error
    return Outcome(violation, world.events, world.steps)


def numbers_of(seed: int, count: int = 120) -> list[int]:
    """The numbers of a run at random."""
    drawn = random.Random(seed).randbytes(2 * count)  # noqa: S311 - no secret
    return list(memoryview(drawn).cast("H"))
