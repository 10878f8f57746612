"""Building a read model again, whole or after an interruption."""

import pytest
from sqlalchemy import MetaData, text

from eventkit import RecordedEvent
from eventkit.errors import ReadModelError
from eventkit.projection import Progress, ReadModels, Runner, Transaction, worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, actual, expected, fill


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_FIRST", 20)
    monkeypatch.setattr(worker, "_LARGEST", 20)


def test_a_table_that_others_refer_to_is_not_made_anew_and_they_are_named(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=20)
    runner = Runner(Balances(), store, models)
    runner.run()
    with models.writing() as connection:
        key = "account VARCHAR REFERENCES accounts (account)"
        connection.execute(text(f"CREATE TABLE remarks ({key})"))
        connection.execute(text("INSERT INTO remarks VALUES ('account-3')"))
    with pytest.raises(ReadModelError, match="table 'accounts' cannot be dropped") as refused:
        runner.rebuild()
    assert "table remarks" in str(refused.value)
    assert "account" in str(refused.value).partition("depends on it: ")[2]
    assert "drop what depends on this one first, and run again" in str(refused.value)
    assert actual(models) == expected(store)
    with models.writing() as connection:
        connection.execute(text("DROP TABLE remarks"))
    runner.rebuild()
    assert actual(models) == expected(store)


class Interrupted(Balances):
    """Stands for Ctrl-C while it handles its 30th movement."""

    def __init__(self) -> None:
        self.calls = 0

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        self.calls += 1
        if self.calls == 30:
            raise KeyboardInterrupt
        super().note(recorded, tx)


def test_a_rebuilt_read_model_equals_the_one_before(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=20)
    runner = Runner(Balances(), store, models)
    runner.run()
    before = actual(models)
    assert runner.rebuild() == 184
    assert actual(models) == before == expected(store)


def test_a_rebuild_undoes_what_somebody_else_wrote_into_the_tables(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=20)
    runner = Runner(Balances(), store, models)
    runner.run()
    with models.writing() as connection:
        connection.execute(Balances.accounts.update().values(balance=0))
    assert runner.run() == 0
    assert actual(models) != expected(store)
    runner.rebuild()
    assert actual(models) == expected(store)


def test_a_first_rebuild_is_a_first_run(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=20)
    assert Runner(Balances(), store, models).rebuild() == 184
    assert actual(models) == expected(store)


def test_an_interrupted_rebuild_keeps_what_was_done_and_says_that_it_is_not_whole(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=20)
    Runner(Balances(), store, models).run()
    with pytest.raises(KeyboardInterrupt):
        Runner(Interrupted(), store, models).rebuild()
    status = Runner(Balances(), store, models).status()
    assert (status.state, status.position, status.events) == ("rebuilding", 40, 40)


def test_the_next_run_goes_on_with_an_interrupted_rebuild(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=20)
    runner = Runner(Balances(), store, models)
    runner.run()
    with pytest.raises(KeyboardInterrupt):
        Runner(Interrupted(), store, models).rebuild()
    seen: list[Progress] = []
    assert runner.run(seen.append) == 144
    assert (seen[0].done, seen[0].total, runner.status().state) == (0, 144, "ready")
    assert actual(models) == expected(store)


def test_an_interrupted_first_run_is_building_until_it_reaches_the_end(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=20)
    with pytest.raises(KeyboardInterrupt):
        Runner(Interrupted(), store, models).run()
    runner = Runner(Balances(), store, models)
    assert runner.status().state == "building"
    runner.run()
    assert runner.status().state == "ready"


def test_a_rebuild_called_again_begins_again(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=20)
    with pytest.raises(KeyboardInterrupt):
        Runner(Interrupted(), store, models).rebuild()
    assert Runner(Balances(), store, models).rebuild() == 184
    assert actual(models) == expected(store)


def test_a_read_model_that_falls_behind_stays_ready(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=20)
    runner = Runner(Balances(), store, models)
    runner.run()
    store.append("account-1", [Deposited(amount=1)])
    assert (runner.status().state, runner.status().lag) == ("ready", 1)


def test_rebuilding_one_projection_leaves_the_others_alone(
    store: SqliteStore, models: ReadModels
) -> None:
    class Others(Balances):
        name = "others"
        accounts = Balances.accounts.to_metadata(MetaData(), name="accounts2")
        journal = Balances.journal.to_metadata(MetaData(), name="journal2")

    fill(store, accounts=20)
    balances, others = Runner(Balances(), store, models), Runner(Others(), store, models)
    others.run()
    before = others.status()
    balances.rebuild()
    assert (others.status(), others.run()) == (before, 0)
