"""`projection rebuild --workers N`: processes share the partitions, and one declares it ready."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from eventkit.projection import Runner, Versions
from tests.kafka.ledger import Ledger, folded, held
from tests.kafka.ledger_next import NextLedger
from tests.kafka.test_group_workers import ACCOUNTS, Log, log
from tests.kafka.worker_kit import Workers, fill, growing
from tests.projection.following import SECONDS

__all__ = ["log"]


def rebuilt(workers: Workers, *arguments: str) -> list[dict[str, Any]]:
    """What each process of a rebuild says, the one that runs alone at the end as the last one."""
    process = workers.start("--workers", "2", "--json", *arguments, command="rebuild")
    assert process.wait(SECONDS) == 0, workers.said(process)
    return [json.loads(line) for line in workers.said(process).splitlines()]


def test_workers_share_a_rebuild_of_a_damaged_read_model(log: Log) -> None:
    fill(log.store, ACCOUNTS, rounds=10)
    Runner(Ledger(), log.store, log.models).run()
    with log.models.writing() as connection:
        connection.execute(delete(Ledger.accounts))
    *shared, last = rebuilt(log.workers)
    assert len(shared) == 2
    assert all(one["handled"] > 0 for one in shared)
    assert sum(one["handled"] for one in shared) == ACCOUNTS * 21
    assert (last["handled"], last["state"], last["events"]) == (0, "ready", ACCOUNTS * 21)
    assert held(log.models) == folded(log.store)


def test_a_log_that_grows_meanwhile_does_not_keep_it_from_being_ready(log: Log) -> None:
    fill(log.store, ACCOUNTS, rounds=3)
    Runner(Ledger(), log.store, log.models).run()
    with growing(log.store, ACCOUNTS):
        *shared, last = rebuilt(log.workers)
    assert last["state"] == "ready"
    assert sum(one["handled"] for one in [*shared, last]) == last["events"]
    Runner(Ledger(), log.store, log.models).run()
    assert held(log.models) == folded(log.store)


def test_workers_share_a_rebuild_beside_the_live_one(log: Log, tmp_path: Path) -> None:
    fill(log.store, ACCOUNTS, rounds=3)
    Runner(Ledger(), log.store, log.models).run()
    whole = held(log.models)
    folder = tmp_path / "next"
    folder.mkdir()
    url = f"{log.url}&index={folder}/index.db"
    models = f"sqlite:///{tmp_path}/read-models.db"
    with Workers(url, models, folder, "tests.kafka.ledger_next") as workers:
        *shared, last = rebuilt(workers, "--beside")
    assert sum(one["handled"] for one in shared) == ACCOUNTS * 7
    assert (last["version"], last["state"]) == (2, "ready")
    versions = Versions("ledger", log.models)
    assert [(it.version, it.role) for it in versions.all()] == [(2, "beside"), (1, "live")]
    assert versions.diff(wait=0).equal
    assert held(log.models) == whole
    versions.switch(timeout=30)
    assert Runner(NextLedger(), log.store, log.models).status().lag == 0
