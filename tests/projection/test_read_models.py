"""The database of the read models, whatever its kind: readers, writers, errors."""

import os
import re

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import DBAPIError

from eventkit.errors import InvalidUrl, ReadModelUnavailable
from eventkit.projection import ReadModels, Runner
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, actual, expected, fill


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


def test_a_database_that_cannot_hold_read_models_is_refused() -> None:
    with pytest.raises(InvalidUrl, match="read models live in SQLite or PostgreSQL"):
        ReadModels("mysql://localhost/board")


def test_readers_go_on_while_a_batch_is_written(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    runner.run()
    with models.writing() as connection:
        connection.execute(Balances.accounts.delete())
        assert actual(models) == expected(store)


def test_a_reader_sees_one_state_for_as_long_as_it_reads(
    models: ReadModels, runner: Runner
) -> None:
    runner.run()
    with models.connect() as connection:
        first = connection.execute(select(Balances.accounts)).all()
        with models.writing() as writer:
            writer.execute(Balances.accounts.delete())
        assert connection.execute(select(Balances.accounts)).all() == first


def test_a_reader_cannot_write(models: ReadModels, runner: Runner) -> None:
    runner.run()
    with pytest.raises(ReadModelUnavailable, match="read-only"), models.connect() as connection:
        connection.execute(Balances.accounts.delete())


def test_an_error_in_the_block_undoes_what_was_written(
    store: SqliteStore, models: ReadModels, runner: Runner
) -> None:
    def fail_on_the_way() -> None:
        with models.writing() as connection:
            connection.execute(Balances.accounts.delete())
            connection.exec_driver_sql("SELECT * FROM nowhere")

    runner.run()
    with pytest.raises(DBAPIError):
        fail_on_the_way()
    assert actual(models) == expected(store)


def test_tables_made_in_a_block_that_fails_are_undone(models: ReadModels) -> None:
    def fail_on_the_way() -> None:
        with models.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE things (id INTEGER)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_on_the_way()
    with models.writing() as connection:
        assert inspect(connection).get_table_names() == []


def test_before_a_projection_runs_there_is_nothing_to_read(models: ReadModels) -> None:
    with pytest.raises(ReadModelUnavailable, match="run a projection first"), models.connect():
        pass
    assert not models.exists()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_uses_no_connection_of_its_parent(
    store: SqliteStore, models_url: str, models: ReadModels, runner: Runner
) -> None:
    """On PostgreSQL it makes its own; a SQLite file that is open cannot be opened there again."""
    runner.run()
    child = os.fork()
    if child == 0:
        try:
            with models.writing() as connection:
                connection.execute(Balances.accounts.delete())
        except ReadModelUnavailable as error:
            os._exit(3 if "the process that this one was forked from" in str(error) else 1)
        except BaseException:  # noqa: BLE001 - the exit code tells
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with models.connect() as connection:
        is_empty = not connection.execute(select(Balances.accounts)).all()
    assert (code, is_empty) == ((3, False) if models_url.startswith("sqlite") else (0, True))
    runner.rebuild()
    assert actual(models) == expected(store)


@pytest.mark.parametrize("user", ["ann", "ann@home"])
def test_a_password_with_an_at_sign_in_it_is_not_shown_in_part(user: str) -> None:
    with pytest.raises(InvalidUrl, match="@ is written %40") as caught:
        ReadModels(f"postgresql://{user}:sec@ret@localhost:1/db")
    assert not {"sec", "ret"} & set(re.findall(r"\w+", f"{caught.value} {caught.value.url}"))
