"""Two versions of a projection, whose rows tell which version wrote them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    func,
    select,
)

from eventkit import EventStore, RecordedEvent
from eventkit.projection import Projection, ReadModels, Transaction, on
from tests.projection.accounts import Closed, Deposited, Opened, Withdrawn, signed


def tables(*more: Column[Any]) -> dict[str, Table]:
    """The tables of a ledger: one row an account, and one an event, which refers to it."""
    metadata = MetaData()
    accounts = Table(
        "accounts",
        metadata,
        Column("account", String, primary_key=True),
        Column("total", Integer, nullable=False),
        Column("made_by", Integer, nullable=False, index=True),
        *more,
    )
    journal = Table(
        "journal",
        metadata,
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("account", ForeignKey("accounts.account"), nullable=False),
        Column("made_by", Integer, nullable=False),
        Index("journal_by_account", "account"),
    )
    return {"accounts": accounts, "journal": journal}


class Ledger(Projection):
    """Version 1: amounts as they are."""

    name = "ledger"
    accounts, journal = tables().values()
    factor = 1

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        row = {"account": recorded.aggregate_id, "total": 0, "made_by": self.version}
        tx.insert(self.accounts, row)
        self.note(recorded, tx)

    @on(Deposited, Withdrawn, Closed)
    def moved(self, recorded: RecordedEvent, tx: Transaction) -> None:
        row = {"account": recorded.aggregate_id, "made_by": self.version}
        tx.update(self.accounts, row, add={"total": self.factor * signed(recorded.event)})
        self.note(recorded, tx)

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        row = {"number": recorded.position.offset, "account": recorded.aggregate_id}
        tx.insert(self.journal, row | {"made_by": self.version})


class Ledger2(Ledger):
    """Version 2: in cents, with a column more."""

    version = 2
    accounts, journal = tables(Column("currency", String, server_default="EUR")).values()
    factor = 100


class Ledger3(Ledger):
    """Version 3: as the first one."""

    version = 3
    accounts, journal = tables().values()


def expected(store: EventStore, version: int, position: int | None = None) -> dict[str, Any]:
    """What the ledger of a version must hold at a position: a plain fold of the log."""
    factor = 100 if version == 2 else 1
    totals: dict[str, int] = {}
    journal = []
    for recorded in store.replay():
        if position is not None and recorded.position.offset > position:
            break
        name = recorded.aggregate_id
        totals[name] = totals.get(name, 0) + factor * signed(recorded.event)
        journal.append((recorded.position.offset, name, version))
    return {
        "accounts": sorted((name, total, version) for name, total in totals.items()),
        "journal": journal,
    }


def held(models: ReadModels, suffix: str = "") -> dict[str, Any]:
    """What the tables with this suffix hold; none is what readers read."""
    with models.connect() as connection:
        return held_in(connection, suffix)


def held_in(connection: Connection, suffix: str = "") -> dict[str, Any]:
    """As `held`, within a transaction."""
    found = {}
    for name, columns in {
        "accounts": ("account", "total", "made_by"),
        "journal": ("number", "account", "made_by"),
    }.items():
        table = Table(name + suffix, MetaData(), *(Column(column) for column in columns))
        rows = connection.execute(select(table).order_by(table.c[columns[0]])).all()
        found[name] = sorted(tuple(row) for row in rows)
    return found


def glance(connection: Connection) -> tuple[set[int], int, int]:
    """Who wrote the accounts and the journal, their sum, and how long the journal is."""
    accounts, journal = (Table(name, MetaData(), Column("made_by"), Column("total"))
                         for name in ("accounts", "journal"))  # fmt: skip
    writers = set(connection.execute(select(accounts.c.made_by).distinct()).scalars())
    total = connection.execute(select(func.sum(accounts.c.total))).scalar() or 0
    writers |= set(connection.execute(select(journal.c.made_by).distinct()).scalars())
    count = connection.execute(select(func.count()).select_from(journal)).scalar() or 0
    return writers, total, count
