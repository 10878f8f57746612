"""Events whose rows the database refuses at the commit: parked as where a handler fails."""

from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, text

from eventkit import RecordedEvent
from eventkit.errors import HandlerFailed
from eventkit.projection import DeadLetters, Projection, ReadModels, Runner, Transaction, on, worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Deposited, Opened, rows
from tests.projection.test_parking import letters, places, statements

pytestmark = pytest.mark.usefixtures("no_pauses")


def _owned() -> dict[str, Table]:
    metadata = MetaData()
    owner = ForeignKey("owners.owner", deferrable=True, initially="DEFERRED")
    return {
        "owners": Table("owners", metadata, Column("owner", String, primary_key=True)),
        "accounts": Table(
            "owned_accounts",
            metadata,
            Column("account", String, primary_key=True),
            Column("owner", String, owner, nullable=False),
            Column("deposits", Integer, nullable=False),
        ),
    }


class Owned(Projection):
    """Accounts refer to their owners, as the database sees to at the commit; some have none."""

    name = "owned"
    owners, accounts = _owned().values()
    without_owner: frozenset[str] = frozenset()

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        name = recorded.aggregate_id
        tx.insert(self.accounts, {"account": name, "owner": name, "deposits": 0})
        if name not in self.without_owner:
            tx.insert(self.owners, {"owner": name})

    @on(Deposited)
    def deposited(self, recorded: RecordedEvent, tx: Transaction) -> None:
        if recorded.aggregate_id == "account-broken":
            raise ValueError("broken")
        tx.update(self.accounts, {"account": recorded.aggregate_id}, add={"deposits": 1})


class Lacking(Owned):
    without_owner = frozenset({"account-3", "account-7"})


class Stopping(Lacking):
    on_failure = "stop"


def fill(store: SqliteStore, accounts: int) -> list[str]:
    names = [f"account-{number}" for number in range(accounts)]
    for name in names:
        store.append(name, [Opened(owner=name)])
    for name in names:
        store.append(name, [Deposited(amount=1)])
    return names


def _held(names: list[str], *but: str) -> list[tuple[Any, ...]]:
    return sorted((name, name, 1) for name in names if name not in but)


PARKED = [
    ("account-3", 1, "failed"),
    ("account-7", 1, "failed"),
    ("account-3", 2, "waiting"),
    ("account-7", 2, "waiting"),
]


@pytest.mark.parametrize("batch", [1, 3, 1_000])
def test_an_event_that_fails_at_the_commit_parks_and_others_flow(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(worker, "_FIRST", batch)
    monkeypatch.setattr(worker, "_LARGEST", batch)
    names = fill(store, accounts=20)
    assert Runner(Lacking(), store, models).run() == 36
    assert rows(models, Owned.accounts) == _held(names, "account-3", "account-7")
    assert places(models) == PARKED
    letter = letters(models)[0]
    assert letter.attempts == 3
    assert (letter.error or "").startswith("IntegrityError: ")
    assert "another exception" not in (letter.traceback or "")
    status = Runner(Lacking(), store, models).status()
    assert (status.lag, status.state, status.events) == (0, "ready", 36)


def test_one_beside_an_event_at_which_a_handler_fails(
    store: SqliteStore, models: ReadModels
) -> None:
    store.append("account-broken", [Opened(owner="x"), Deposited(amount=1)])
    names = fill(store, accounts=10)
    Runner(Lacking(), store, models).run()
    assert rows(models, Owned.accounts) == sorted(
        [*_held(names, "account-3", "account-7"), ("account-broken", "account-broken", 0)]
    )
    assert places(models) == [("account-broken", 2, "failed"), *PARKED]


def test_a_projection_that_stops_holds_all_events_before_it(
    store: SqliteStore, models: ReadModels
) -> None:
    names = fill(store, accounts=10)
    for _ in range(2):
        with pytest.raises(HandlerFailed, match="account-3 version 1") as failed:
            Runner(Stopping(), store, models).run()
    assert failed.value.position == "events/0/4"
    assert [row[0] for row in rows(models, Owned.accounts)] == names[:3]
    Runner(Owned(), store, models).run()
    assert rows(models, Owned.accounts) == _held(names)


def test_a_retry_applies_them_with_mended_code_and_notes_that_they_failed_again(
    store: SqliteStore, models: ReadModels
) -> None:
    names = fill(store, accounts=10)
    Runner(Lacking(), store, models).run()
    retried = DeadLetters(Lacking(), store, models).retry()
    assert (retried.applied, len(retried.failed)) == (0, 2)
    assert [it.attempts for it in letters(models)] == [4, 4, 0, 0]
    assert places(models) == PARKED
    assert DeadLetters(Owned(), store, models).retry().applied == 4
    assert places(models) == []
    assert rows(models, Owned.accounts) == _held(names)


def test_a_batch_whose_commit_succeeds_is_one_transaction(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=2)
    Runner(Owned(), store, models).run()
    fill_more = [f"account-{number}" for number in range(10, 30)]
    for name in fill_more:
        store.append(name, [Opened(owner=name)])
    with statements(models) as seen:
        Runner(Owned(), store, models).run()
    moved = [it for it in seen if it.startswith("UPDATE eventkit_checkpoints")]
    assert len(moved) == 1
    assert not [it for it in seen if "SAVEPOINT" in it]


TRIGGER = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.account = 'account-4' THEN RAISE EXCEPTION 'not account 4'; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER refusing AFTER INSERT ON owned_accounts
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def test_a_constraint_trigger_of_postgresql(store: SqliteStore, database: str) -> None:
    store.append("account-100", [Opened(owner="x")])
    with ReadModels(database) as models:
        Runner(Owned(), store, models).run()
        with models.writing() as connection:
            connection.execute(text(TRIGGER))
        names = fill(store, accounts=10)
        Runner(Owned(), store, models).run()
        assert places(models) == [("account-4", 1, "failed"), ("account-4", 2, "waiting")]
        assert "not account 4" in (letters(models)[0].error or "")
        held = [row for row in rows(models, Owned.accounts) if row[0] != "account-100"]
        assert held == _held(names, "account-4")
