"""What repositories do, step by step; who follows the steps may block or await."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

from eventkit.aggregate import Aggregate, pending_of, saved
from eventkit.errors import ConcurrencyError, InvalidInput
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
    """Append what an aggregate has recorded, if anything; see `Repository.save`."""
    pending = pending_of(aggregate)
    if not pending:
        return None
    done: Appended = yield Append(
        aggregate.aggregate_id,
        [item.event for item in pending],
        expected_version=aggregate.version - len(pending),
        metadata=metadata,
        event_ids=[item.event_id for item in pending],
    )
    # Whoever saved the same aggregate meanwhile has forgotten these events already.
    if pending_of(aggregate)[: len(pending)] == pending:
        saved(aggregate, len(pending))
    return done


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
