"""Read models in PostgreSQL: reaching it, losing it, and what can be wrong with it."""

import threading
import time
from datetime import datetime
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Connection, DateTime, MetaData, String, Table, event, make_url, text

from eventkit import RecordedEvent
from eventkit.errors import (
    CheckpointMoved,
    HandlerFailed,
    InvalidUrl,
    ReadModelBusy,
    ReadModelUnavailable,
)
from eventkit.projection import Projection, ReadModels, Runner, Transaction, on, worker
from eventkit.projection.source import Partition, SqliteSource
from eventkit.projection.worker import Worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, Opened, actual, expected, fill, rows
from tests.projection.following import following, until
from tests.projection.plugin import Database
from tools.postgres.server import Server

ONLY = Partition("events", 0)


@pytest.fixture
def models_url(database: str) -> str:
    return database


@pytest.fixture
def runner(store: SqliteStore, models: ReadModels) -> Runner:
    fill(store, accounts=20)
    return Runner(Balances(), store, models)


def other(models_url: str) -> psycopg.Connection[Any]:
    """A connection of somebody else."""
    return psycopg.connect(models_url, connect_timeout=10)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://ann:secret@localhost", "names no database"),
        ("postgresql+asyncpg://ann:secret@localhost/board", "psycopg alone"),
        ("postgresql://ann:secret@localhost:port/board", "write sqlite"),
    ],
)
def test_a_url_of_no_database_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(InvalidUrl, match=reason) as caught:
        ReadModels(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"password": "wrong-secret"}, "does not let this user in"),
        ({"username": "nobody-here"}, "does not let this user in"),
        ({"database": "nowhere"}, "does not exist. Make it: createdb"),
        ({"port": 1}, "is the server up"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_without_the_password(
    change: dict[str, Any], message: str, store: SqliteStore, models_url: str
) -> None:
    url = make_url(models_url).set(**change)
    with (
        ReadModels(url.render_as_string(hide_password=False)) as models,
        pytest.raises(ReadModelUnavailable, match=message) as caught,
    ):
        Runner(Balances(), store, models).run()
    assert models.where in str(caught.value)
    assert str(url.password) not in f"{caught.value} {models!r}".replace("eventkit@", "")


def test_a_secret_in_the_query_is_not_shown() -> None:
    models = ReadModels("postgresql://ann@localhost/board?password=secret")
    assert "secret" not in f"{models!r} {models.where}"


def test_a_locked_table_is_told_and_nothing_is_lost(
    store: SqliteStore, models: ReadModels, runner: Runner, models_url: str
) -> None:
    runner.run()
    store.append("account-1", [Deposited(amount=1)])
    with other(models_url) as holder:
        holder.execute("LOCK TABLE accounts")
        with pytest.raises(ReadModelBusy, match="locked for longer") as caught:
            runner.run()
        assert caught.value.retryable
    assert runner.run() == 1
    assert actual(models) == expected(store)


def test_a_worker_waits_for_a_lock_that_goes_away(
    store: SqliteStore, models_url: str, models: ReadModels, runner: Runner
) -> None:
    runner.run()
    store.append("account-1", [Deposited(amount=1)])
    with ReadModels(models_url, timeout=0.2) as patient, other(models_url) as holder:
        holder.execute("LOCK TABLE accounts")
        release = threading.Timer(1, holder.commit)
        release.start()
        assert Runner(Balances(), store, patient).run() == 1
        release.join()
    assert actual(models) == expected(store)


def test_a_user_who_may_not_make_tables_is_told(
    store: SqliteStore, models_url: str, postgres: str
) -> None:
    name = f"reader_{make_url(models_url).database}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'".encode())
        try:
            url = make_url(models_url).set(username=name, password="x")  # noqa: S106
            with (
                ReadModels(url.render_as_string(hide_password=False)) as models,
                pytest.raises(ReadModelUnavailable, match="Let the user create"),
            ):
                Runner(Balances(), store, models).run()
        finally:
            admin.execute(f"DROP ROLE {name}".encode())


def test_a_statement_that_hangs_is_stopped(store: SqliteStore, models_url: str) -> None:
    class Hangs(Balances):
        def note(self, _recorded: RecordedEvent, tx: Transaction) -> None:
            tx.execute(text("SELECT pg_sleep(60)"))

    fill(store, accounts=1)
    url = f"{models_url}?options=-c%20statement_timeout=300ms"
    with (
        ReadModels(url) as models,
        pytest.raises(ReadModelUnavailable, match="statement that took too long"),
    ):
        Runner(Hangs(), store, models).run()


def test_a_row_that_postgresql_refuses_is_the_events_fault(
    store: SqliteStore, models: ReadModels
) -> None:
    class Zero(Balances):
        on_failure = "stop"

        def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
            account = "\0" if recorded.aggregate_id == "account-7" else recorded.aggregate_id
            tx.insert(self.accounts, {"account": account, "balance": 0, "movements": 0})

    fill(store, accounts=200, rounds=0)
    with pytest.raises(HandlerFailed) as caught:
        Runner(Zero(), store, models).run()
    assert caught.value.aggregate_id == "account-7"
    assert len(rows(models, Balances.accounts)) == 7


def moment_of(recorded: RecordedEvent) -> datetime:
    assert recorded.metadata.timestamp is not None
    return recorded.metadata.timestamp


def test_moments_are_utc_whatever_the_server_thinks(store: SqliteStore, models_url: str) -> None:
    class Moments(Projection):
        name = "moments"
        moments = Table(
            "moments",
            MetaData(),
            Column("account", String, primary_key=True),
            Column("zoned", DateTime(timezone=True)),
            Column("naive", DateTime),
        )

        @on(Opened)
        def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
            at = moment_of(recorded)
            row = {"account": recorded.aggregate_id, "zoned": at.replace(tzinfo=None), "naive": at}
            tx.insert(self.moments, row)

    fill(store, accounts=200, rounds=0)
    with ReadModels(f"{models_url}?options=-c%20timezone=Asia/Tokyo") as models:
        Runner(Moments(), store, models).run()
        moments = {r.aggregate_id: moment_of(r) for r in store.replay(event_types=[Opened])}
        for account, zoned, naive in rows(models, Moments.moments):
            assert (zoned, naive) == (moments[account], moments[account].replace(tzinfo=None))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_that_restarts_costs_no_event_and_doubles_none(
    end: str, store: SqliteStore, breakable_postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 50)
    monkeypatch.setattr(worker, "_LARGEST", 50)
    fill(store, accounts=100)
    with Database(breakable_postgres.url) as database, ReadModels(database.url) as models:
        batches = 0

        def restart(_connection: Connection) -> None:
            nonlocal batches
            batches += 1
            if batches in {4, 9}:  # the first few are of making the tables
                getattr(breakable_postgres, end)()
                breakable_postgres.start()

        event.listen(models._writer, "begin", restart)
        Runner(Balances(), store, models).run()
        assert batches > 20
        assert actual(models) == expected(store)


def test_a_follower_outlives_a_server_that_is_away_for_a_while(
    store: SqliteStore, breakable_postgres: Server
) -> None:
    fill(store, accounts=10)
    with Database(breakable_postgres.url) as database, ReadModels(database.url) as models:
        runner = Runner(Balances(), store, models)
        runner.run()
        with following(runner):
            breakable_postgres.stop()
            store.append("account-1", [Deposited(amount=1)])
            time.sleep(0.5)  # long enough for a few attempts; none can be awaited
            breakable_postgres.start()
            until(lambda: actual(models) == expected(store))


@pytest.mark.parametrize("after", [True, False])
def test_a_commit_whose_answer_is_lost_counts_once(
    after: bool,  # noqa: FBT001
    store: SqliteStore,
    models_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 10)
    monkeypatch.setattr(worker, "_LONGEST", 60)  # the next batch is larger on a slow machine too
    fill(store, accounts=20)
    with ReadModels(models_url) as models:
        one = Worker(Balances(), SqliteSource(store), models)
        one.step(ONLY)
        lose_at_next_commit(models, after=after)
        assert one.step(ONLY) == 20
        assert actual(models) == expected(store, 30)
        assert Runner(Balances(), store, models).status().events == 30


@pytest.mark.parametrize("after", [True, False])
def test_a_lost_answer_does_not_hide_the_event_that_failed(
    after: bool,  # noqa: FBT001
    store: SqliteStore,
    models_url: str,
) -> None:
    class Fails(Balances):
        on_failure = "stop"

        def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
            if recorded.aggregate_id == "account-7":
                raise ZeroDivisionError
            super().opened(recorded, tx)

        opened = on(Opened)(opened)

    fill(store, accounts=20)
    with ReadModels(models_url) as models:
        failing = Worker(Fails(), SqliteSource(store), models)
        lose_at_next_commit(models, after=after)
        with pytest.raises(HandlerFailed) as caught:
            failing.step(ONLY)
        assert caught.value.aggregate_id == "account-7"
        assert actual(models) == expected(store, 7)


def lose_at_next_commit(models: ReadModels, *, after: bool) -> None:
    """Lose the session at the next commit: after it, so that its answer is lost, or before."""
    left = [1]

    def at_commit(connection: Connection) -> None:
        if not left:
            return
        left.pop()
        driver = connection.connection.driver_connection
        assert driver is not None
        if after:
            driver.commit()
        driver.close()

    event.listen(models._writer, "commit", at_commit)


def test_of_two_workers_in_one_batch_the_later_waits_and_writes_nothing(
    store: SqliteStore, models_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST", 10)
    fill(store, accounts=20)
    within, go_on = threading.Event(), threading.Event()

    class Slow(Balances):
        def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().opened(recorded, tx)
            within.set()
            assert go_on.wait(20)

        opened = on(Opened)(opened)

    with ReadModels(models_url) as models:
        first, second = (
            Worker(projection, SqliteSource(store), models) for projection in (Slow(), Balances())
        )
        slow = threading.Thread(target=first.step, args=(ONLY,))
        slow.start()
        assert within.wait(20)
        threading.Timer(0.5, go_on.set).start()
        with pytest.raises(CheckpointMoved) as caught:
            second.step(ONLY)
        slow.join(20)
        assert caught.value.actual == 10
        assert actual(models) == expected(store, 10)


def test_workers_that_begin_at_once_make_the_tables_once(
    store: SqliteStore, models_url: str
) -> None:
    fill(store, accounts=5)
    failures: list[BaseException] = []

    def begin() -> None:
        try:
            with ReadModels(models_url) as models:
                Worker(Balances(), SqliteSource(store), models)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
