"""Whatever is killed while versions are built, switched or dropped, readers have a whole model."""

import subprocess
import sys
from pathlib import Path

import pytest

from eventkit.projection import ReadModels, Runner
from eventkit.projection.versions_switch import drop, switch
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import fill
from tests.projection.ledgers import Ledger, Ledger2, expected, held


def run_and_die(tmp_path: Path, url: str, command: str, step: int) -> list[str]:
    """What was left after each process, and how the last process ended."""
    module = [sys.executable, "-m", "tests.projection.dying_versions"]
    arguments = [str(tmp_path / "events.db"), url, command, str(step)]
    done = subprocess.run(
        [*module, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()


@pytest.fixture(autouse=True)
def _filled(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=5)
    Runner(Ledger(), store, models).run()


@pytest.mark.parametrize("then", ["goes on", "is dropped"])
def test_a_build_beside_that_is_killed(
    then: str, store: SqliteStore, models: ReadModels, models_url: str, tmp_path: Path
) -> None:
    *deaths, end = run_and_die(tmp_path, models_url, "beside", 23)
    assert end == "ended 0"
    assert len(deaths) > 2
    assert set(deaths) <= {"live 1 whole True 1:live", "live 1 whole True 1:live 2:beside"}
    if then == "is dropped":
        assert drop(models, "ledger") == 2
        assert held(models) == expected(store, 1)
        Runner(Ledger2(), store, models).rebuild_beside()
    assert switch(models, "ledger").live == 2
    assert held(models) == expected(store, 2)


BEFORE = "live 1 whole True 1:live 2:beside"
AFTER = "live 2 whole True 1:previous 2:live"


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        ("switch", BEFORE, AFTER),
        ("rollback", AFTER, "live 1 whole True 1:live 2:previous"),
        ("drop", BEFORE, "live 1 whole True 1:live"),
    ],
    ids=["switch", "rollback", "drop"],
)
def test_a_change_that_is_killed_happened_or_did_not(
    command: str,
    before: str,
    after: str,
    store: SqliteStore,
    models: ReadModels,
    models_url: str,
    tmp_path: Path,
) -> None:
    Runner(Ledger2(), store, models).rebuild_beside()
    if before == AFTER:
        switch(models, "ledger")
    *deaths, _ = run_and_die(tmp_path, models_url, command, 5)
    told = [line for line in deaths if line.startswith("live")]
    first = told.index(after)
    assert first > 1
    assert set(told[:first]) == {before}
    if command == "switch":
        for projection in (Ledger(), Ledger2()):
            Runner(projection, store, models).run()
        assert (held(models), held(models, "__v1")) == (expected(store, 2), expected(store, 1))
