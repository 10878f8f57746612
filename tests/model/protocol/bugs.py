"""Faults put into the protocol, one at a time, each of which this model has to find in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import PartitionRule
from tests.model.protocol import world
from tests.model.protocol.store import Append, InDoubt, Steps, Store, always


class _TakesAll(PartitionRule):
    """Every record that is committed takes effect."""

    def feed(self, record: LogRecord) -> Sequence[LogRecord]:
        accepted = super().feed(record)
        return accepted or tuple(it for _, some in self.take_rejected() for it in some)


def _no(*_: object) -> bool:
    return False


def _yes(*_: object) -> bool:
    return True


_commits = Store._commits


def _tell_at_once(self: Store, proposals: Sequence[Append]) -> None:
    _commits(self, proposals)
    for it in proposals:
        if it.last_offset >= 0:
            it.tell(it.last, it.last_offset)


def _heads_first(self: Store) -> Steps:
    self._note_heads()
    yield always
    self._note_base()


def _read_before_ending(self: Store) -> Steps:
    yield self._has_read(len(self.broker.log))
    yield from self._open()


def _end_without_reading(self: Store) -> Steps:
    yield from self._open()


def _give_back_at_once(self: Store, doubtful: Sequence[Append]) -> Steps:
    """In doubt, nothing is asked: it is as if the transaction had failed."""
    self.epoch = -1
    self.give_back(doubtful)
    yield always


_look_up = Store._look_up


def _look_up_given(self: Store, it: Append) -> tuple[int, int] | None:
    return _look_up(self, it) if it.given else None


def _look_up_proposed(self: Store, it: Append) -> tuple[int, int] | None:
    return _look_up(self, it) if it.first else None


def _give_up_first(self: Store, it: Append) -> tuple[int, int] | None:
    return None if it.is_late else _look_up(self, it)


def _do_not_sweep(self: Store) -> Steps:
    """What is not read in time is proposed again, and not swept out."""
    yield from self._open()
    try:
        yield self._has_read(len(self.broker.log))
    except InDoubt:
        self.give_back(list(self.in_flight.values()))


class Bug(NamedTuple):
    """What to put in the place of what, and which promises that breaks."""

    replaced: Sequence[tuple[str, Any]]
    breaks: set[str]


BUGS: dict[str, Bug] = {
    "no read back": Bug([("_lost", _no)], {"untidy"}),
    "acknowledged before the verdict": Bug([("_commits", _tell_at_once)], {"lost"}),
    "heads before base": Bug([("_base", _heads_first)], {"untidy"}),
    "no rule": Bug([("rule", _TakesAll)], {"other view", "lost"}),
    "doubt: nothing is asked": Bug([("_resolve", _give_back_at_once)], {"twice", "untidy"}),
    "doubt: the log is not read to its end": Bug(
        [("_end_and_read", _end_without_reading)], {"twice", "untidy", "refused"},
    ),
    "doubt: what stays undecided counts as aborted": Bug(
        [("_end_and_read", _do_not_sweep)], {"twice", "untidy", "refused"},
    ),
    "ids of what was proposed are not looked up": Bug([("_look_up", _look_up_given)], {"twice"}),
    "ids of retries are not looked up": Bug([("_look_up", _look_up_proposed)], {"twice"}),
    "doubt: the old producer is not ended first": Bug(
        [("_end_and_read", _read_before_ending)], {"twice", "untidy", "refused"},
    ),
    "conflicts that are not certain": Bug([("_is_fresh", _yes)], {"no conflict"}),
    "given up before it is looked up": Bug([("_look_up", _give_up_first)], {"refused"}),
}  # fmt: skip


@contextmanager
def planted(name: str) -> Iterator[None]:
    with ExitStack() as stack:
        for what, fault in BUGS[name].replaced:
            if what == "rule":
                stack.enter_context(patch.dict(world.rules, {"of stores": fault}))
            else:
                stack.enter_context(patch.object(Store, what, fault))
        yield
