"""What repositories do, step by step; who follows the steps may block or await."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from eventkit.aggregate import Aggregate, Pending, pending_of, saved
from eventkit.errors import ConcurrencyError, DuplicateEventId, InvalidInput
from eventkit.events import Metadata
from eventkit.store import Append, Appended

_FIRST_PAUSE = 0.002
"""Seconds; doubled at each conflict up to `_LONGEST_PAUSE`, and spread at random."""
_LONGEST_PAUSE = 0.25


class Load(NamedTuple):
    """A step that gives an aggregate as it is now, or a new one."""

    aggregate_id: str


class Decide(NamedTuple):
    """A step that runs a command of the user on an aggregate, and gives its result."""

    command: Callable[[Any], Any]
    aggregate: Aggregate


class Pause(NamedTuple):
    """A step that waits."""

    seconds: float


Step: TypeAlias = Append | Load | Decide | Pause
"""An `Append` as a step writes it to the store, and gives the `Appended`."""

_R = TypeVar("_R")
Steps: TypeAlias = Generator[Step, Any, _R]
"""Each step is answered with what it gives, or with the error it ended in; returns the result."""


def saving(aggregate: Aggregate, metadata: Metadata | None) -> Steps[Appended | None]:
    """Append what an aggregate has recorded, if anything; see `Repository.save`.

    A save of unknown outcome may be followed by more events and another save. The order of events:

    1. the first save is recorded, and its caller is not told;
    2. more events are recorded by the aggregate, and all are saved together: that is no retry,
       and the store refuses it, naming the oldest event and the version it has: where it belongs;
    3. that one is appended alone: as it is recorded, the store compares it and writes nothing;
    4. it is forgotten, and the others are saved in the same way.
    """
    pending = pending_of(aggregate)
    if not pending:
        return None
    version = aggregate.version - len(pending)
    while True:
        try:
            done: Appended = yield _append(aggregate, version, pending, metadata)
        except DuplicateEventId as error:
            place = (error.event_id, error.aggregate_id, error.version)
            oldest = (pending[0].event_id, aggregate.aggregate_id, version + 1)
            if place != oldest or len(pending) == 1:
                raise
        else:
            _forget(aggregate, pending)
            return done
        yield _append(aggregate, version, pending[:1], metadata)
        _forget(aggregate, pending[:1])
        version, pending = version + 1, pending[1:]


def _append(
    aggregate: Aggregate, version: int, some: Sequence[Pending], metadata: Metadata | None
) -> Append:
    return Append(
        aggregate.aggregate_id,
        [item.event for item in some],
        expected_version=version,
        metadata=metadata,
        event_ids=[item.event_id for item in some],
    )


def _forget(aggregate: Aggregate, some: Sequence[Pending]) -> None:
    """Whoever saved the same aggregate meanwhile has forgotten these events already."""
    if pending_of(aggregate)[: len(some)] == some:
        saved(aggregate, len(some))


def executing(
    aggregate_id: str, command: Callable[[Any], Any], metadata: Metadata | None, attempts: int
) -> Steps[Any]:
    """Load, decide, save; on a conflict again; see `Repository.execute`.

    Raises:
        InvalidInput: less than one attempt.
    """
    if attempts < 1:
        raise InvalidInput(f"attempts is 1 or more, not {attempts}")
    pause = _FIRST_PAUSE
    for attempt in range(1, attempts + 1):
        aggregate = yield Load(aggregate_id)
        result = yield Decide(command, aggregate)
        try:
            yield from saving(aggregate, metadata)
        except ConcurrencyError:
            if attempt == attempts:
                raise
        else:
            return result
        yield Pause(pause * random.random())  # noqa: S311 - spreads the rivals
        pause = min(2 * pause, _LONGEST_PAUSE)
    raise AssertionError("unreachable")
