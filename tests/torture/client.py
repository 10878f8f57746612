"""A process that appends and reads at random until SIGTERM, and logs all of it.

python -m tests.torture.client URL INDEX LOG NAME SEED CALLERS
"""

import logging
import os
import random
import signal
import sys
import threading
import traceback
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from eventkit import ConcurrencyError, EventStore, OutcomeUnknown
from eventkit.errors import StoreBusy, StoreClosed, StoreUnavailable
from eventkit.ids import new_event_id
from tests.torture import bugs, failpoints
from tests.torture.domain import CATEGORY, Jotted
from tests.torture.history import History, Log, lines_of, resumed
from tests.torture.opening import opened

FEW, MANY = 6, 3_000
AGGREGATES = "EVENTKIT_TORTURE_AGGREGATES"
"""To how few all is appended; to FEW and to MANY unless given."""
PATIENCE = 90.0  # seconds for what is unknown, after the end of the run
_MOST_READ = 20

stop = threading.Event()


class Asked(NamedTuple):
    """An append, for all its attempts."""

    name: str
    aggregate: str
    expected: int | None
    tokens: tuple[str, ...]
    ids: tuple[UUID, ...] | None
    in_doubt: bool = False


class Caller:
    """One thread of a client."""

    def __init__(self, store: EventStore, log: Log, name: str, seed: str) -> None:
        self._store = store
        self._log = log
        self._name = name
        self._choose = random.Random(seed)  # noqa: S311
        self._numbers = count(1)
        self._known: dict[str, int] = {}
        self._fewest = int(os.environ.get(AGGREGATES) or 0)

    def run(self, open_: list[Asked]) -> None:
        """Finish what an earlier incarnation left open, then go on until the end."""
        try:
            for asked in open_:
                self._finish(asked)
            while not stop.is_set():
                self._finish(self._new())
        except StoreClosed:
            raise
        except BaseException:  # noqa: BLE001 - the checker shows it
            self._log.say("broken", why=traceback.format_exc())

    def _new(self) -> Asked:
        choose = self._choose
        name = f"{self._name}.{next(self._numbers)}"
        few = choose.random() < 0.5 or self._fewest
        number = choose.randrange(self._fewest or FEW) if few else choose.randrange(100, MANY)
        aggregate = f"{CATEGORY}-{number}"
        events = choose.choice([1, 1, 1, 2, 5])
        expected = None if choose.random() < 0.4 else self._version(aggregate)
        ids = None if choose.random() < 0.3 else tuple(new_event_id() for _ in range(events))
        return Asked(name, aggregate, expected, tuple(f"{name}/{it}" for it in range(events)), ids)

    def _version(self, aggregate: str) -> int:
        """The current version, or a little wrong, or as it was long since."""
        if self._choose.random() < 0.9:
            self._read(aggregate, self._known.get(aggregate, 1))
        return max(0, self._known.get(aggregate, 0) + self._choose.choice([0] * 18 + [-1, 1]))

    def _read(self, aggregate: str, first: int) -> None:
        first, began = max(1, first), monotonic()
        events = list(self._store.get_events(aggregate, from_version=first))[-_MOST_READ:]
        if events:
            self._known[aggregate] = events[-1].version
            first = events[0].version
        tokens = [it.event.token for it in events]  # type: ignore[attr-defined]
        self._log.say("read", began=began, aggregate=aggregate, first=first, tokens=tokens)

    def _finish(self, asked: Asked) -> None:
        """All attempts of one append."""
        patience = None
        while True:
            tried = self._attempt(asked)
            if tried is None:
                break
            asked = tried
            if stop.is_set():
                patience = patience or monotonic() + PATIENCE
                if monotonic() > patience:
                    break
            stop.wait(0.1)
        if self._choose.random() < 0.3:
            self._read(asked.aggregate, self._known.get(asked.aggregate, 1))

    def _attempt(self, asked: Asked) -> Asked | None:
        """One attempt; returns what to try again."""
        name, aggregate, expected, tokens, ids, in_doubt = asked
        log = self._log
        log.say(
            "invoke", op=name, aggregate=aggregate, expected=expected, tokens=tokens,
            ids=None if ids is None else [str(it) for it in ids],
        )  # fmt: skip
        events = [Jotted(token=it) for it in tokens]
        more: dict[str, Any] = {} if ids is None else {"event_ids": ids}
        try:
            done = self._store.append(aggregate, events, expected, **more)
        except ConcurrencyError as error:
            log.say("failed", op=name, actual=error.actual)
            self._known[aggregate] = error.actual
            return None
        except OutcomeUnknown as error:
            log.say("unknown", op=name, ids=[str(it) for it in error.event_ids], why=str(error))
            return asked._replace(ids=tuple(error.event_ids), in_doubt=True)
        except (StoreBusy, StoreUnavailable) as error:
            log.say("refused", op=name, why=str(error))
            return asked if in_doubt else None
        self._known[aggregate] = done.version
        log.say("done", op=name, version=done.version, ids=[str(it) for it in done.event_ids])
        return None


def main() -> None:
    url, index, path, name, seed, callers = sys.argv[1:]
    logging.basicConfig(format=f"%(asctime)s {name} %(name)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    history = History()
    for line in lines_of(Path(path)):
        history.take(line, index)
    incarnation = sum(1 for line in lines_of(Path(path)) if line["kind"] == "open")
    log = Log(Path(path), name)
    left = [
        Asked(it.name, it.aggregate, it.expected, it.tokens, tuple(map(UUID, it.ids or ())), True)
        for it in resumed(history)
    ]
    log.say("open", number=incarnation)
    bugs.plant()
    failpoints.arm(f"{name}.{incarnation}")
    with opened(url, index, log, stop) as store:
        log.say("ready")
        threads = []
        for number in range(int(callers)):
            called = f"{name}.{incarnation}.{number}"
            caller = Caller(store, log, called, f"{seed}.{called}")
            mine = left[number :: int(callers)]
            threads.append(threading.Thread(target=caller.run, args=(mine,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    log.say("closed")


if __name__ == "__main__":
    main()
