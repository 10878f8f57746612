"""From a long run to a short one that breaks the same promise, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tests.model.world import Outcome, run

Numbers = Sequence[int]

_MOST_LINES = 120  # a run that is stuck goes on for long


def shrink(numbers: Numbers, fails: Callable[[Numbers], bool], tries: int = 400) -> list[int]:
    """Leave out what is not needed; what cannot be left out becomes the most ordinary choice.

    Args:
        numbers: of a run that fails.
        fails: whether others do.
        tries: how many others to try.
    """
    best = list(numbers)
    size = len(best) // 2
    while size and tries > 0:
        shorter = False
        for candidate in _candidates(best, size):
            tries -= 1
            if tries < 0:
                break
            if fails(candidate):
                best, shorter = candidate, True
                break
        if not shorter:
            size //= 2
    return best


def _candidates(numbers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(len(numbers) - size, -1, -size):
        yield numbers[:start] + numbers[start + size :]
    for start in range(len(numbers) - size, -1, -size):
        if any(numbers[start : start + size]):
            yield numbers[:start] + [0] * size + numbers[start + size :]


def shortest(
    numbers: Numbers, tries: int = 400, run: Callable[[Numbers], Outcome] = run
) -> tuple[list[int], Outcome]:
    """A short run that breaks the same promise, and what came of it."""
    first = run(numbers).violation
    assert first is not None

    def fails(some: Numbers) -> bool:
        found = run(some).violation
        return found is not None and found.kind == first.kind

    best = shrink(numbers, fails, tries)
    return best, run(best)


def story(outcome: Outcome) -> str:
    """The order of events, and what is wrong with it."""
    lines = [f"{at - 100:8.3f}  {text:.200}" for at, text in outcome.events[:_MOST_LINES]]
    if len(outcome.events) > _MOST_LINES:
        lines.append(f"          ... {len(outcome.events) - _MOST_LINES:,} more")
    return "\n".join([*lines, f"VIOLATION  {outcome.violation}"])
