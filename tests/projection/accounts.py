"""An example for all tests of projections: accounts, and read models of them."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    select,
)

from eventkit import Append, Event, EventStore, RecordedEvent
from eventkit.projection import Projection, ReadModels, Transaction, on


class Opened(Event):
    owner: str


class Deposited(Event):
    amount: int


class Withdrawn(Event):
    amount: int


class Closed(Event):
    pass


def signed(event: Event) -> int:
    """What the event adds to a balance."""
    match event:
        case Deposited(amount=amount):
            return amount
        case Withdrawn(amount=amount):
            return -amount
        case _:
            return 0


class Balances(Projection):
    """One row an account, and one row an event, so that a doubled event shows in both."""

    name = "balances"
    accounts = Table(
        "accounts",
        MetaData(),
        Column("account", String, primary_key=True),
        Column("balance", Integer, nullable=False),
        Column("movements", Integer, nullable=False),
    )
    journal = Table(
        "journal",
        MetaData(),
        Column("number", BigInteger, primary_key=True),
        Column("account", String, nullable=False),
        Column("version", Integer, nullable=False),
    )

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        row = {"account": recorded.aggregate_id, "balance": 0, "movements": 0}
        tx.insert(self.accounts, row)

    @on(Deposited, Withdrawn)
    def moved(self, recorded: RecordedEvent, tx: Transaction) -> None:
        amount = signed(recorded.event)
        tx.update(
            self.accounts,
            {"account": recorded.aggregate_id},
            add={"balance": amount, "movements": 1},
        )
        self.note(recorded, tx)

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.insert(
            self.journal,
            {
                "number": recorded.position.offset,
                "account": recorded.aggregate_id,
                "version": recorded.version,
            },
        )

    @on(Closed)
    def closed(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.delete(self.accounts, {"account": recorded.aggregate_id})


def fill(store: EventStore, accounts: int, rounds: int = 4) -> None:
    """Open accounts and move money on each in turn, so that their events lie among each other."""
    names = [f"account-{number}" for number in range(accounts)]
    _append(store, (Append(name, [Opened(owner=name)]) for name in names))
    for amount in range(1, rounds + 1):
        _append(store, (Append(name, [Deposited(amount=2 * amount)]) for name in names))
        _append(store, (Append(name, [Withdrawn(amount=amount)]) for name in names))
    _append(store, (Append(name, [Closed()]) for name in names[::5]))


def _append(store: EventStore, appends: Iterable[Append]) -> None:
    for outcome in store.append_each(list(appends)):
        if isinstance(outcome, Exception):
            raise outcome


def expected(store: EventStore, position: int | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """What `Balances` must hold: a plain fold of the log, or of its beginning."""
    balance: Counter[str] = Counter()
    movements: Counter[str] = Counter()
    open_accounts: set[str] = set()
    journal = []
    for recorded in islice(store.replay(), position):
        name = recorded.aggregate_id
        match recorded.event:
            case Opened():
                open_accounts.add(name)
            case Closed():
                open_accounts.discard(name)
            case event:
                balance[name] += signed(event)
                movements[name] += 1
                journal.append((recorded.position.offset, name, recorded.version))
    accounts = sorted((name, balance[name], movements[name]) for name in open_accounts)
    return {"accounts": accounts, "journal": journal}


def actual(models: ReadModels) -> dict[str, list[tuple[Any, ...]]]:
    """What `Balances` holds."""
    return {table.name: rows(models, table) for table in (Balances.accounts, Balances.journal)}


def rows(models: ReadModels, table: Table) -> list[tuple[Any, ...]]:
    """The rows of a table in the order of its primary key."""
    with models.connect() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key))
        return [tuple(row) for row in found]
