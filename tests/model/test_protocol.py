import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.model.protocol.bugs import BUGS, planted
from tests.model.protocol.world import numbers_of, run
from tests.model.shrinking import Numbers, shortest, story
from tests.model.world import Outcome

pytestmark = pytest.mark.timeout(900)  # most of it is a busy machine

RUNS = int(os.environ.get("EVENTKIT_PROTOCOL_RUNS", "3000"))
MOST = 5_000  # runs until a planted bug has to be found

# Where the search begins for what takes long to be found: a little before the run that does.
BEGIN = {
    "conflicts that are not certain": 3_700,
    "doubt: the old producer is not ended first": 16_700,
    "doubt: what stays undecided counts as aborted": 1_900,
}


def retold(numbers: Numbers) -> Outcome:
    found = run(numbers, tells=True)
    return Outcome(found.violation, found.events, found.steps)


def search(name: str) -> int:
    """The first run that breaks one of the promises that a bug is to break."""
    begin = BEGIN.get(name, 0)
    for seed in range(begin, begin + MOST):
        found = run(numbers_of(seed)).violation
        if found is not None and found.kind in BUGS[name].breaks:
            return seed
    return pytest.fail(f"not found in {MOST:,} runs")


def test_no_interleaving_breaks_a_promise() -> None:
    """EVENTKIT_PROTOCOL_RUNS says how many are tried."""
    for seed in range(RUNS):
        numbers = numbers_of(seed)
        if run(numbers).violation is not None:
            short, outcome = shortest(numbers, run=retold)
            pytest.fail(f"run {seed}, shortened to {short}:\n{story(outcome)}")


@settings(max_examples=200, derandomize=True)
@given(st.lists(st.integers(0, 65_535), max_size=150))
@example([])
def test_no_drawn_interleaving_breaks_a_promise(numbers: list[int]) -> None:
    outcome = retold(numbers)
    assert outcome.violation is None, story(outcome)


def test_runs_meet_what_the_rule_is_for() -> None:
    """Late commits that take effect, doubt, conflicts: else nothing is shown by all being well."""
    told = [text for seed in range(200) for _, text in run(numbers_of(seed), tells=True).events]
    for what in ("late: EndTxn(commit)", "late: Produce", "fenced", "is lost", "waits no longer"):
        assert any(what in text for text in told), what


def test_a_run_is_the_same_each_time() -> None:
    assert retold(numbers_of(5)) == retold(numbers_of(5))


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    with planted(name):
        search(name)


def test_the_order_of_events_is_told_and_short() -> None:
    with planted("no read back"):
        numbers = numbers_of(search("no read back"))
        short, outcome = shortest(numbers, run=retold)
    told = story(outcome)
    assert len(short) < len(numbers) // 2
    assert "client asks" in told
    assert "VIOLATION  untidy" in told
