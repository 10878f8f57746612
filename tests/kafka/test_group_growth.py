"""Workers that run for long meet categories that are made later, and read them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Table
from sqlalchemy.exc import OperationalError

from eventkit.errors import CategoryAdded, ReadModelUnavailable
from eventkit.kafka import growth
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.topics import Topics
from eventkit.projection import ReadModels, Runner
from tests.kafka.impatient import OpenDepots, Openings
from tests.kafka.ledger import Ledger
from tests.kafka.test_group_workers import Log
from tests.kafka.worker_kit import Workers
from tests.projection.accounts import Opened, rows
from tests.projection.following import SECONDS, until


@pytest.fixture
def log(kafka_address: str, tmp_path: Path) -> Iterator[Log]:
    log = Log(kafka_address, f"sqlite:///{tmp_path}/read-models.db", tmp_path)
    yield log
    log.close()


def add(log: Log, category: str) -> None:
    """Make a category while workers run, and begin an aggregate in it."""
    Topics(Cluster(KafkaSettings(log.address)), Names(log.prefix)).create(category, 2, 1)
    with log.open(f"{category}.db") as store:
        store.append(f"{category}-1", [Opened(owner="ann")])


def found(models: ReadModels, table: Table) -> list[str]:
    """The accounts in a table; none where it is not made yet."""
    with suppress(OperationalError, ReadModelUnavailable):
        return [account for account, _ in rows(models, table)]
    return []


def test_a_worker_goes_on_with_a_category_that_is_made_while_it_runs(
    log: Log, tmp_path: Path
) -> None:
    log.store.append("account-1", [Opened(owner="ann")])
    url = f"{log.url}&index={tmp_path}/index.db"
    models_url = f"sqlite:///{tmp_path}/read-models.db"
    added = "the log has got more categories since the store was opened: depot"
    with Workers(url, models_url, tmp_path, app="tests.kafka.impatient") as workers:
        started = [workers.start("--follow", names=("openings", "open_depots")) for _ in range(2)]
        until(lambda: all(workers.said(it).count("following kafka://") == 2 for it in started))
        until(lambda: found(log.models, Openings.opened) == ["account-1"])
        add(log, "depot")
        until(lambda: found(log.models, Openings.opened) == ["account-1", "depot-1"])
        until(lambda: found(log.models, OpenDepots.opened) == ["depot-1"])
        log.store.append("account-2", [Opened(owner="ann")])
        until(lambda: "account-2" in found(log.models, Openings.opened))
        until(lambda: all(added in workers.said(it) for it in started))
        until(lambda: all(workers.said(it).count("following kafka://") == 4 for it in started))
        assert workers.end(*started) == [0, 0]


def test_whoever_follows_from_python_is_told_and_a_category_it_does_not_read_is_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_LOOK", 0.1)
    monkeypatch.setattr(growth, "_SETTLE", 0.1)

    class Both(Openings):
        name = "both"
        categories = ("account", "shop")

    stop = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        try:
            told = threads.submit(Runner(Both(), log.store, log.models).follow, stop)
            with ReadModels(log.models._database.url.replace("read-models", "other")) as other:
                untold = threads.submit(Runner(Ledger(), log.store, other).follow, stop)
                add(log, "shop")
                with pytest.raises(CategoryAdded, match="shop") as caught:
                    told.result(SECONDS)
                assert caught.value.categories == ("shop",)
                assert not untold.done()
                stop.set()
                untold.result(SECONDS)
        finally:
            stop.set()
