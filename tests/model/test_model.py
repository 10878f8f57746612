import os
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.model.bugs import BUGS, planted
from tests.model.outages import COUNT, Outages
from tests.model.shrinking import shortest, shrink, story
from tests.model.world import Outcome, numbers_of, run

pytestmark = pytest.mark.timeout(900)  # most of it is a busy machine

RUNS = int(os.environ.get("EVENTKIT_MODEL_RUNS", "300"))
PIECES = 3
MOST = 1_000  # runs until a planted bug has to be found

# Where the search for a bug begins: a little before the run that finds it, to be quick. What these
# numbers choose changes with the code; then the search takes longer, or these are found anew.
BEGIN = {
    "no read back": 0,
    "no rule": 250,
    "acknowledged before the verdict": 0,
    "heads before base": 320,
    "doubt without ending the old producer first": 870,
    "no wait for markers of an abort": 440,
    "taken back twice": 50,
    "appends without ids of their own": 20,
    "no event is held back": 0,
}
IN_AN_OUTAGE = {"earlier attempts are not asked for": 100}


def through_outages(numbers: Sequence[int]) -> Outcome:
    return Outages(numbers).run()


def search(name: str) -> int:
    """The first run that breaks one of the promises that a bug is to break."""
    is_away = name in IN_AN_OUTAGE
    begin = (IN_AN_OUTAGE if is_away else BEGIN)[name]
    for seed in range(begin, begin + MOST):
        numbers = numbers_of(seed, COUNT) if is_away else numbers_of(seed)
        found = (through_outages if is_away else run)(numbers).violation
        if found is not None and found.kind in BUGS[name].breaks:
            return seed
    return pytest.fail(f"not found in {MOST:,} runs")


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_interleaving_breaks_a_promise(piece: int) -> None:
    """EVENTKIT_MODEL_RUNS says how many are tried."""
    for seed in range(piece, RUNS, PIECES):
        numbers = numbers_of(seed)
        if run(numbers).violation is not None:
            short, outcome = shortest(numbers)
            pytest.fail(f"run {seed}, shortened to {short}:\n{story(outcome)}")


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_outage_breaks_a_promise(piece: int) -> None:
    for seed in range(piece, RUNS, PIECES):
        outcome = through_outages(numbers_of(seed, COUNT))
        assert outcome.violation is None, f"run {seed}:\n{story(outcome)}"


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.integers(0, 65_535), max_size=300))
@example([])
def test_no_drawn_interleaving_breaks_a_promise(numbers: list[int]) -> None:
    outcome = run(numbers)
    assert outcome.violation is None, story(outcome)


def test_a_run_is_the_same_each_time() -> None:
    assert run(numbers_of(5)).events == run(numbers_of(5)).events


@pytest.mark.parametrize("name", [*BEGIN, *IN_AN_OUTAGE])
def test_a_planted_bug_is_found(name: str) -> None:
    with planted(name):
        search(name)


def test_the_order_of_events_is_told_and_short(capsys: pytest.CaptureFixture[str]) -> None:
    with planted("acknowledged before the verdict"):
        numbers = numbers_of(search("acknowledged before the verdict"))
        short, outcome = shortest(numbers)
    print(story(outcome))  # noqa: T201 - it is what a reader gets
    told = capsys.readouterr().out
    assert len(short) < len(numbers) // 2
    assert "client asks" in told
    assert "VIOLATION  lost" in told


def test_shrinking_keeps_what_is_needed() -> None:
    assert shrink([9, 3, 9, 9, 7, 9], lambda it: 3 in it and 7 in it) == [3, 7]
