"""The rig finds what it is there for: each planted bug breaks the promise that it must break.

Each run is short and sharp: few aggregates, and failpoints only at the step where the bug shows.
`make torture` runs all of them; one is in every run of the tests, which takes long enough.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.torture.bugs import BUGS
from tests.torture.rig import Plan, run

pytestmark = [
    pytest.mark.usefixtures("kafka_address"),  # no Kafka here: said as everywhere else
    pytest.mark.timeout(400),
]

TORN = "a plain consumer sees nothing that did not take effect"
LOST = "what was acknowledged is there, at its version"
SKIPPED = "a subscription shows each event once, in order"
FOLD = "rows are the fold of what the checkpoint names"

SHARP: dict[str, Any] = {
    "seconds": 10.0, "clients": 3, "holds": False, "failpoints": False, "faults": (),
    "aggregates": 3, "workers": 0, "postgres": False,
}  # fmt: skip
MODELS: dict[str, Any] = {
    **SHARP, "clients": 2, "callers": 2, "aggregates": 20, "workers": 2, "failpoints": True,
}  # fmt: skip
CROWDED: dict[str, Any] = {
    "clients": 6, "callers": 4, "aggregates": 40, "workers": 1, "failpoints": False,
}  # fmt: skip

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    # The rule of the log keeps the library's readers right; others see what was committed.
    "no-read-back": (TORN, SHARP | {"seconds": 5.0}),
    "early-ack": (LOST, SHARP | {"seconds": 5.0}),
    "ack-at-commit": ("what was acknowledged can be read at once", SHARP | {"seconds": 5.0}),
    # Only what is committed against its writer's will breaks the rule.
    "no-rule": (
        "all readers see the same",
        SHARP | {"holds": True, "failpoints": True, "steps": "abort: before"},
    ),
    "stale-heads": (TORN, SHARP),
    "no-look-up": (
        "each event once",
        SHARP | {"failpoints": True, "steps": "acknowledge: in the index"},
    ),
    "error-is-refusal": (
        "what was refused is not there",
        SHARP | {"failpoints": True, "steps": "commit: after"},
    ),
    "index-apart": (
        "all readers see the same",
        SHARP | {"seconds": 15.0, "failpoints": True, "steps": "follower: in the"},
    ),
    "holds-nothing-back": (SKIPPED, MODELS | CROWDED),
    "checkpoint-before": (FOLD, MODELS | {"steps": "projection: checkpoint moved"}),
    "checkpoint-after": (FOLD, MODELS | {"steps": "projection: before the checkpoint"}),
}
SEEDS = (1, 2, 3)
ALWAYS = ("no-read-back",)
CALM = ("no-rule", "index-apart", "error-is-refusal", "holds-nothing-back", "checkpoint-after")
"""Those whose plan is run without them too."""


def found(folder: Path, bug: str, plan: dict[str, Any], seed: int = 1) -> set[str]:
    """The promises that a run finds broken."""
    result = run(Plan(folder, bug=bug, seed=seed, **plan), print)
    return {it.promise for it in result.violations}


def test_each_bug_has_its_promise() -> None:
    assert CASES.keys() == BUGS.keys()


@pytest.mark.parametrize(
    "bug", [it if it in ALWAYS else pytest.param(it, marks=pytest.mark.torture) for it in CASES]
)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str) -> None:
    promise, plan = CASES[bug]
    broken: set[str] = set()
    for seed in SEEDS:  # on a busy machine too little happens in some runs
        folder = tmp_path / str(seed)
        folder.mkdir()
        broken |= found(folder, bug, plan, seed)
        if promise in broken:
            return
    pytest.fail(f"found only {broken or 'nothing'}")


@pytest.mark.torture
@pytest.mark.parametrize("bug", CALM)
def test_without_the_bug_the_same_run_finds_nothing(tmp_path: Path, bug: str) -> None:
    _, plan = CASES[bug]
    assert found(tmp_path, "", plan) == set()
