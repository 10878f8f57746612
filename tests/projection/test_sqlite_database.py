"""Read models in a SQLite file: opening it, and what can be wrong with it."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from eventkit.errors import InvalidUrl, ReadModelBusy, ReadModelError, ReadModelUnavailable
from eventkit.projection import ReadModels, Runner
from eventkit.projection.database_id import database_id
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, Opened, actual, expected, fill


@pytest.fixture
def models_url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "read-models.db"


@pytest.fixture
def runner(store: SqliteStore, models: ReadModels) -> Runner:
    fill(store, accounts=20)
    return Runner(Balances(), store, models)


@pytest.mark.parametrize(
    "url",
    ["", "board.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?uri=true"],
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl, match=r"sqlite:///read-models\.db"):
        ReadModels(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:///board.db?timeout=1", "unknown option 'timeout'; .* take none"),
        ("sqlite:///board.db?foo=1", "unknown option 'foo'"),
        ("sqlite+aiosqlite:///board.db", "write sqlite:/// and no driver"),
        ("sqlite://host/board.db", "mind the three slashes"),
    ],
)
def test_what_a_url_says_beside_the_file_is_refused(url: str, why: str) -> None:
    with pytest.raises(InvalidUrl, match=why):
        ReadModels(url)


def test_the_name_of_the_driver_that_is_used_may_be_written(file: Path) -> None:
    assert ReadModels(f"sqlite+pysqlite:///{file}").where == str(file)


def test_nothing_is_made_before_a_projection_runs(file: Path, models: ReadModels) -> None:
    with pytest.raises(ReadModelUnavailable, match="run a projection first"), models.connect():
        pass
    assert not file.exists()


def test_tables_made_in_a_block_that_fails_are_undone(file: Path, models: ReadModels) -> None:
    def fail_on_the_way() -> None:
        with models.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE things (id)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_on_the_way()
    models.close()
    other = sqlite3.connect(file)
    assert other.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    other.close()


def test_a_locked_database_is_told_and_nothing_is_lost(
    store: SqliteStore, models: ReadModels, runner: Runner, file: Path
) -> None:
    runner.run()
    fill_more = store.append("account-1", [Deposited(amount=1)])
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ReadModelBusy, match="locked by another process") as caught:
        runner.run()
    assert caught.value.retryable
    other.execute("ROLLBACK")
    other.close()
    assert runner.run() == 1
    assert actual(models) == expected(store)
    assert fill_more.position.offset == store.last_position()


def test_a_lock_that_goes_after_the_time_out_is_waited_for(
    store: SqliteStore, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ReadModels(f"sqlite:///{file}", timeout=0.05, patience=60) as models:
        fill(store, accounts=2)
        runner = Runner(Balances(), store, models)
        runner.run()
        store.append("account-1", [Deposited(amount=1)])
        other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
        timer.start()
        assert runner.run() == 1
        timer.join()
        assert actual(models) == expected(store)
        other.close()
    assert "Trying again" in caplog.text


@pytest.mark.parametrize(
    ("pragma", "message"),
    [("query_only = ON", "read-only for this user"), ("max_page_count = 12", "is full")],
)
def test_a_database_that_cannot_be_written_is_told_and_what_was_committed_is_kept(
    pragma: str, message: str, store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    runner.run()
    fill(store, accounts=0)
    before = actual(models)
    for number in range(100, 400):
        store.append(f"account-{number}", [Opened(owner="x" * 100), Deposited(amount=1)])
    models.close()
    limit = limiting(pragma)
    event.listen(models._writer, "connect", limit)
    with pytest.raises(ReadModelUnavailable, match=message):
        runner.run()
    assert actual(models) == before
    event.remove(models._writer, "connect", limit)
    models.close()
    runner.run()
    assert actual(models) == expected(store)


def limiting(pragma: str) -> Callable[[sqlite3.Connection, object], None]:
    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA {pragma}")

    return limit


def test_a_missing_folder_is_told(store: SqliteStore, tmp_path: Path) -> None:
    with (
        ReadModels(f"sqlite:///{tmp_path}/nowhere/board.db") as models,
        pytest.raises(ReadModelUnavailable, match="does its folder exist"),
    ):
        Runner(Balances(), store, models).run()


def test_a_file_that_is_no_database_is_told(
    store: SqliteStore, models: ReadModels, file: Path
) -> None:
    file.write_text("Dear diary, " * 1000)
    with pytest.raises(ReadModelUnavailable, match="is no SQLite file"):
        Runner(Balances(), store, models).run()
    assert file.read_text().startswith("Dear diary")


def test_a_damaged_file_is_told(models: ReadModels, runner: Runner, file: Path) -> None:
    runner.run()
    models.close()
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * 4096 * 3)
    with pytest.raises(ReadModelError, match="can always be built again"):
        runner.run()


def test_an_event_store_is_no_database_for_read_models(store: SqliteStore) -> None:
    with (
        ReadModels(f"sqlite:///{store._path}") as models,
        pytest.raises(ReadModelUnavailable, match="is an event store"),
    ):
        Runner(Balances(), store, models).run()


def test_two_that_open_a_new_file_at_once_both_can(
    file: Path, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(time, "sleep", lambda _seconds: other.execute("COMMIT"))
    with models.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    other.close()


def test_a_new_file_that_stays_locked_is_told(file: Path, models: ReadModels) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ReadModelBusy), models.writing():
        pass
    other.close()


def test_read_models_say_where_they_are(models: ReadModels, file: Path) -> None:
    assert (models.where, models.dialect) == (str(file), "sqlite")
    assert repr(models) == f"ReadModels('sqlite:///{file}')"


def test_a_relative_path_names_the_file_that_it_named_at_first(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    fill(store, accounts=20)
    with ReadModels("sqlite:///board.db") as models:
        monkeypatch.chdir(tmp_path / "elsewhere")
        Runner(Balances(), store, models).run()
        assert models.exists()
        assert actual(models) == expected(store)
        assert database_id(models) == database_id(models)
        assert (models.where, "sqlite:///board.db" in repr(models)) == ("board.db", True)
    assert list((tmp_path / "elsewhere").iterdir()) == []
