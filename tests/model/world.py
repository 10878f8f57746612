"""The world: stores, clients and faults, and which step is next."""

from __future__ import annotations

import gc
import logging
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import eventkit.kafka.following
import eventkit.kafka.inflight
import eventkit.kafka.tails
import eventkit.kafka.view
import eventkit.kafka.writing.doubt
import eventkit.kafka.writing.helping
import eventkit.kafka.writing.numbering
import eventkit.kafka.writing.sweeping
import eventkit.kafka.writing.together
import eventkit.kafka.writing.transactions
import eventkit.kafka.writing.turns
import eventkit.kafka.writing.waitlist
import eventkit.kafka.writing.writer
from tests.model.broker import Broker, Request
from tests.model.clients import Client
from tests.model.kafka import Consumer, Producer
from tests.model.scheduler import Choices, Scheduler
from tests.model.store import HOMES, Host, Spread, Store
from tests.model.truth import Truth, Violation

_kafka: Any = eventkit.kafka
_TIMED = (
    _kafka.following, _kafka.inflight, _kafka.view, _kafka.writing.doubt, _kafka.writing.helping,
    _kafka.writing.numbering, _kafka.writing.sweeping, _kafka.writing.together,
    _kafka.writing.transactions, _kafka.writing.turns, _kafka.writing.waitlist,
    _kafka.writing.writer,
)  # fmt: skip
_ORDINARY = 61_000
"""Numbers below choose a step; those from here to 65,535 a fault."""
_MOST_STEPS = 30_000
"""After the last fault; by then all is decided and told."""


class Outcome(NamedTuple):
    """What came of a run."""

    violation: Violation | None
    events: list[tuple[float, str]]
    steps: int


class World:
    """Makes a run from numbers."""

    patience = 10_000.0
    """Seconds until most clients give up; some do so after a few."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.choices = Choices(numbers)
        self.scheduler = Scheduler()
        self.broker = Broker(self.scheduler, HOMES)
        self.truth = Truth(self.broker)
        self.stores: list[Store] = []
        self._later = random.Random(2)  # noqa: S311 - no secret
        self._steps = 0
        self._restarts = 0
        self._trap = 0

    def run(self) -> Outcome:
        violation = None
        with _replaced(self.scheduler, self.truth), _no_collector():
            try:
                self._set_up()
                self._go()
                self.truth.check_the_end(self.clients, {it.host for it in self.stores})
            except Violation as error:
                violation = error
            finally:
                for store in self.stores:
                    self.scheduler.end(store.process)
        return Outcome(violation, self.scheduler.events, self._steps)

    def _set_up(self) -> None:
        shape = self.choices.next()
        hosts = [Host("one", self._is_behind), Host("other", self._is_behind)]
        for number in range(2 + shape % 2):
            host = hosts[0] if shape & 4 else hosts[number % 2]
            self._open(f"{'ABC'[number]}", host)
        self.clients = [
            Client(number, self.truth, self.scheduler, self.choices, self.patience)
            for number in range(3)
        ]

    def _open(self, name: str, host: Host) -> None:
        store = Store(name, host, self.scheduler, self.broker, self.choices)
        store.view.failed = partial(self._cannot_follow, store)
        self.stores.append(store)

    def _cannot_follow(self, store: Store, error: BaseException) -> None:
        if store.is_up:  # else it is killed, and that is how a tail ends
            self.truth.found.append(Violation("crash", f"{store.name} cannot follow: {error}"))

    def _is_behind(self, what: str) -> None:
        self.truth.found.append(Violation("behind", f"an event appears at {what}"))

    # Steps

    def _go(self) -> None:
        left = _MOST_STEPS
        while not self._is_done():
            self._steps += 1
            if self.choices.are_over:
                left -= 1
                if not left:
                    waiting = [it.title() for it in self.clients if not it.is_done]
                    raise Violation("stuck", f"after the last fault, {waiting or 'readers'} wait")
                self._heal()
                self._step(self._later.getrandbits(16))
            else:
                number = self.choices.next()
                if number >= _ORDINARY:
                    self._fault(number - _ORDINARY)
                else:
                    self._step(number)
                if self._trap:
                    self._spring()
            self.scheduler.tick()

    def _step(self, number: int) -> None:
        """One of those who can do something does it."""
        broker, network = self.broker, self._network()
        unmarked = broker.unmarked() if broker.ended else ()
        ready = self.scheduler.ready()
        free = [it for it in self.clients if it.is_free]
        possible = len(network) + len(unmarked) + len(ready) + len(free)
        if not possible:
            self.scheduler.skip()
            return
        picked = number % possible - len(ready)
        if picked < 0:
            self.scheduler.resume(ready[picked])
        elif picked < len(network):
            broker.deliver(network[picked])
        elif (picked := picked - len(network)) < len(unmarked):
            broker.mark(*unmarked[picked])
        else:
            up = [it for it in self.stores if it.is_up and not it.process.is_frozen]
            free[picked - len(unmarked)].ask(up)
        if self.truth.found:
            raise self.truth.found[0]

    def _network(self) -> Sequence[Request]:
        """The requests that can arrive."""
        return self.broker.network

    def _is_done(self) -> bool:
        for it in self.clients:
            if not it.is_done:
                return False
        return self._all_is_read()

    def _all_is_read(self) -> bool:
        ends = {it: len(log.entries) for it, log in self.broker.logs.items()}
        return (
            not self.broker.network
            and not any(log.undecided for log in self.broker.logs.values())
            and all(it.view.has_applied(ends) for it in self.stores if it.is_up)
        )

    # Faults

    def _heal(self) -> None:
        """What is frozen wakes up, what was held back comes."""
        if self.broker.held:
            self.broker.deliver(self.broker.held[0], late=True)
        for store in self.stores:
            if store.process.is_frozen:
                self._thaw(store)

    def _fault(self, number: int) -> None:
        faults: Sequence[Callable[[int], None]] = (
            self._set_trap, self._set_trap, self._set_trap, self._release, self._release,
            self._release, self._freeze, self._wake, self._kill, self._lose_answer,
            self._let_time_pass, self._ask_again, self._hold,
        )  # fmt: skip
        number, kind = divmod(number, len(faults))
        faults[kind](number)

    def _set_trap(self, number: int) -> None:
        """Something happens at the next end of a transaction: few steps are as delicate."""
        self._trap = number % 6 + 1

    def _spring(self) -> None:
        broker, trap = self.broker, self._trap
        ends = [it for it in broker.network if it.name.startswith("EndTxn")]
        proposed = {writer for log in broker.logs.values() for writer in log.undecided}
        if trap == 1 and broker.ended:
            broker.lose_markers(broker.ended[0])
        elif trap in {2, 3} and ends:
            broker.hold(ends[0])
        elif trap > 3 and proposed:
            for store in self.stores:
                if store.name in proposed:
                    self._stop(store)
            if trap > 4:
                self._let_time_pass(2)
        else:
            return
        self._trap = 0

    def _hold(self, number: int) -> None:
        network = self.broker.network
        if network:
            self.broker.hold(network[number % len(network)])

    def _release(self, number: int) -> None:
        """A late copy comes; mostly when it does harm."""
        open_ = {it.writer for it in self.broker.transactions.values() if it.state == "ongoing"}
        held = [it for it in self.broker.held if it.writer in open_ or number % 5 == 0]
        if held:
            self.broker.deliver(held[number % len(held)], late=True)

    def _freeze(self, number: int) -> None:
        awake = [it for it in self.stores if it.is_up and not it.process.is_frozen]
        if awake:
            self._stop(awake[number % len(awake)])

    def _stop(self, store: Store) -> None:
        if store.is_up and not store.process.is_frozen:
            store.process.is_frozen = True
            self.scheduler.note(f"{store.name} is frozen")

    def _wake(self, number: int) -> None:
        frozen = [it for it in self.stores if it.is_up and it.process.is_frozen]
        if frozen:
            self._thaw(frozen[number % len(frozen)])

    def _thaw(self, store: Store) -> None:
        store.process.is_frozen = False
        self.scheduler.note(f"{store.name} wakes up")

    def _kill(self, number: int) -> None:
        if self._restarts == 2:
            return
        up = [it for it in self.stores if it.is_up]
        store = up[number % len(up)]
        self.scheduler.note(f"{store.name} is killed")
        self.scheduler.end(store.process)
        self._restarts += 1
        for client in self.clients:
            client.lose(store)
        self._open(f"{'DE'[self._restarts - 1]}", store.host)

    def _lose_answer(self, number: int) -> None:
        network = self.broker.network
        if network:
            self.broker.deliver(network[number % len(network)], answered=False)

    def _let_time_pass(self, number: int) -> None:
        seconds = (0.05, 0.6, 2.5, 5.0, 12.0)[number % 5]
        self.scheduler.now += seconds
        self.scheduler.events.append((self.scheduler.now, f"{seconds:g} s pass"))
        for it in self.broker.overdue():
            self.broker.fence(it, f"the transaction of {it.writer} is too old")

    def _ask_again(self, number: int) -> None:
        """A client does not wait: it sends the same events again, through another store."""
        busy = [it for it in self.clients if it.can_ask_again]
        up = [it for it in self.stores if it.is_up and not it.process.is_frozen]
        if busy and up:
            busy[number % len(busy)].ask_again(up[number // 7 % len(up)])


@contextmanager
def _no_collector() -> Iterator[None]:
    """What a run makes lives as long as the run: to look for garbage in between costs a fifth."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Crashes:
    """The log of the writer: an error that it did not expect."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def exception(self, text: str) -> None:
        self._truth.found.append(Violation("crash", f"{text}: {traceback.format_exc()}"))


@contextmanager
def _replaced(scheduler: Scheduler, truth: Truth) -> Iterator[None]:
    """The broker, time and chance of the model in the place of the real ones."""
    spread = Spread()
    replaced: list[tuple[Any, str, Any]] = [(it, "monotonic", scheduler.monotonic) for it in _TIMED]
    writing = _kafka.writing
    replaced += [
        (_kafka.following, "sleep", scheduler.sleep),
        (writing.writer, "sleep", scheduler.sleep),
        (writing.doubt, "sleep", scheduler.sleep),
        (writing.doubt, "random", spread),
        (writing.together, "random", spread),
        (writing.turns, "random", spread),
        (writing.helping, "_random", spread),
        (writing.together, "time", scheduler.monotonic),
        (writing.transactions, "Producer", Producer),
        (writing.sweeping, "Consumer", Consumer),
        (_kafka.tails, "Consumer", Consumer),
        (writing.writer, "log", _Both(logging.getLogger("eventkit.kafka"), _Crashes(truth))),
    ]
    before = [(holder, name, getattr(holder, name)) for holder, name, _ in replaced]
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        for holder, name, value in replaced:
            setattr(holder, name, value)
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)
        logging.disable(level)


class _Both:
    """A log of which some calls go elsewhere."""

    def __init__(self, first: object, second: object) -> None:
        self._first = first
        self._second = second

    def __getattr__(self, name: str) -> Any:
        return getattr(self._second, name, None) or getattr(self._first, name)


def run(numbers: Sequence[int]) -> Outcome:
    """Make the run that these numbers choose."""
    return World(numbers).run()


def numbers_of(seed: int, count: int = 250) -> list[int]:
    """The numbers of a run at random."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [chance.randrange(65_536) for _ in range(count)]
