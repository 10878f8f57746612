"""Switches while workers of both versions follow the log, and what else is in the database."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, inspect

from eventkit.errors import ProjectionBehind
from eventkit.projection import ReadModels, Runner, Versions, waiting
from eventkit.projection.definition import missing
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Deposited, fill
from tests.projection.following import until
from tests.projection.ledgers import Ledger, Ledger2, expected, held


@contextmanager
def following(store: SqliteStore, url: str) -> Iterator[list[BaseException]]:
    """Workers of both versions, each with a database connection of its own."""
    stop, failed = threading.Event(), list[BaseException]()

    def follow(projection: Ledger) -> None:
        try:
            with ReadModels(url, patience=20) as models:
                Runner(projection, store, models).follow(stop)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=follow, args=(it,)) for it in (Ledger(), Ledger2())]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert failed == []


def test_a_rebuild_while_a_worker_looks_is_not_taken_for_tables_that_are_missing(
    store: SqliteStore, models: ReadModels, models_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker reads which build there is, a rebuild replaces it, the worker looks for tables."""
    fill(store, accounts=5)
    Runner(Ledger(), store, models).run()
    look = missing
    rebuilds = [1]

    def rebuilt_meanwhile(connection: Connection, definitions: Any) -> str | None:
        if rebuilds:
            rebuilds.pop()
            with ReadModels(models_url) as others:
                Runner(Ledger(), store, others).rebuild()
        return look(connection, definitions)

    monkeypatch.setattr("eventkit.projection.builds.missing", rebuilt_meanwhile)
    assert Runner(Ledger(), store, models).run() == 0
    assert not rebuilds


def test_workers_of_both_versions_go_on_through_switches(
    store: SqliteStore, models_url: str
) -> None:
    fill(store, accounts=5)
    with ReadModels(models_url, timeout=10, patience=20) as models:
        Runner(Ledger(), store, models).run()
        Runner(Ledger2(), store, models).rebuild_beside()
        versions = Versions("ledger", models)
        with following(store, models_url) as failed:
            for turn in range(6):
                for _ in range(20):
                    store.append("account-1", [Deposited(amount=1)])
                (versions.rollback if turn else versions.switch)()
            end = store.last_position()
            until(lambda: failed or all(it.positions["events/0"] == end for it in versions.all()))
        assert [(it.version, it.role) for it in versions.all()] == [(2, "previous"), (1, "live")]
        assert (held(models), held(models, "__v2")) == (expected(store, 1), expected(store, 2))


def test_views_of_readers_follow_the_live_version(store: SqliteStore, models_url: str) -> None:
    fill(store, accounts=5)
    with ReadModels(models_url) as models:
        Runner(Ledger(), store, models).run()
        Runner(Ledger2(), store, models).rebuild_beside()
        with models.writing() as connection:
            connection.exec_driver_sql("CREATE VIEW writers AS SELECT made_by FROM accounts")
        for change, version in (("switch", 2), ("rollback", 1)):
            getattr(Versions("ledger", models), change)()
            with models.connect() as connection:
                rows = connection.exec_driver_sql("SELECT DISTINCT made_by FROM writers")
                assert rows.scalars().all() == [version]


def test_tables_refer_to_those_of_their_own_version(store: SqliteStore, models_url: str) -> None:
    fill(store, accounts=5)
    with ReadModels(models_url) as models:
        Runner(Ledger(), store, models).run()
        Runner(Ledger2(), store, models).rebuild_beside()
        for change in ("switch", "rollback"):
            getattr(Versions("ledger", models), change)()
            with models.connect() as connection:
                for suffix in ("", "__v1" if change == "switch" else "__v2"):
                    (key,) = inspect(connection).get_foreign_keys("journal" + suffix)
                    assert key["referred_table"] == "accounts" + suffix


def test_a_database_of_an_earlier_eventkit_is_brought_up_to_date(
    store: SqliteStore, models_url: str
) -> None:
    fill(store, accounts=5)
    with ReadModels(models_url) as models:
        Runner(Ledger(), store, models).run()
        with models.writing() as connection:
            for column in ("role", "names", "newest"):
                connection.exec_driver_sql(f"ALTER TABLE eventkit_projections DROP COLUMN {column}")
        assert Runner(Ledger(), store, models).status().state == "ready"
        assert [it.role for it in Versions("ledger", models).all()] == ["live"]
        store.append("account-1", [Deposited(amount=1)])
        assert Runner(Ledger(), store, models).run() == 1
        Runner(Ledger2(), store, models).rebuild_beside()
        assert Versions("ledger", models).diff().tables[0].rows_live == 5
        Versions("ledger", models).switch()
        assert (held(models), held(models, "__v1")) == (expected(store, 2), expected(store, 1))


def test_a_wait_ends_by_what_readers_read_by_then(
    store: SqliteStore, models_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch comes while it waits, and the version of before gets there alone."""
    monkeypatch.setattr(waiting, "_AGAIN", 60.0)
    fill(store, accounts=5)
    with ReadModels(models_url) as models:
        Runner(Ledger(), store, models).run()
        Runner(Ledger2(), store, models).rebuild_beside()
        done = store.append("account-1", [Deposited(amount=1)])
        looks = count()

        @contextmanager
        def connect() -> Iterator[Connection]:
            if next(looks) == 1:
                Versions("ledger", models).switch()
                Runner(Ledger(), store, models).run()
            with models.connect() as connection:
                yield connection

        wait = waiting.Waiting(models.exists, connect, "ledger", None)
        with pytest.raises(ProjectionBehind):
            wait.until(done.position, timeout=0.3)
        Runner(Ledger2(), store, models).run()
        wait.until(done.position, timeout=0)
