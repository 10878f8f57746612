"""A read model for tests of workers on Kafka: one row an account, one row an event."""

from collections import Counter
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table

from eventkit import EventStore, RecordedEvent
from eventkit.projection import Projection, ReadModels, Transaction, on
from eventkit.projection.projection import OnFailure
from tests.projection.accounts import Deposited, Opened, Withdrawn, rows, signed


class Ledger(Projection):
    """An event that counts twice shows as a wrong balance, or fails at the key of the journal."""

    name = "ledger"
    categories = ("account",)
    on_failure: ClassVar[OnFailure] = "stop"
    accounts = Table(
        "ledger_accounts",
        MetaData(),
        Column("account", String, primary_key=True),
        Column("balance", Integer, nullable=False),
    )
    journal = Table(
        "ledger_journal",
        MetaData(),
        Column("account", String, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
    )

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.insert(self.accounts, {"account": recorded.aggregate_id, "balance": 0})
        self.note(recorded, tx)

    @on(Deposited, Withdrawn)
    def moved(self, recorded: RecordedEvent, tx: Transaction) -> None:
        amount = signed(recorded.event)
        tx.update(self.accounts, {"account": recorded.aggregate_id}, add={"balance": amount})
        self.note(recorded, tx)

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.insert(
            self.journal,
            {
                "account": recorded.aggregate_id,
                "version": recorded.version,
                "partition": recorded.position.partition,
                "offset": recorded.position.offset,
            },
        )


def folded(store: EventStore) -> dict[str, list[tuple[Any, ...]]]:
    """What `Ledger` must hold: a plain fold of the log."""
    balances: Counter[str] = Counter()
    journal = []
    for recorded in store.replay(categories=["account"]):
        name, place = recorded.aggregate_id, recorded.position
        balances[name] += signed(recorded.event)
        journal.append((name, recorded.version, place.partition, place.offset))
    return {"accounts": sorted(balances.items()), "journal": sorted(journal)}


def held(models: ReadModels) -> dict[str, list[tuple[Any, ...]]]:
    """What `Ledger` holds."""
    return {
        "accounts": sorted(rows(models, Ledger.accounts)),
        "journal": sorted(rows(models, Ledger.journal)),
    }
