"""A read model is compared with one built anew: what differs is told, what does not is not."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    delete,
    text,
    update,
)

from eventkit import Position, RecordedEvent
from eventkit.health.findings import Finding, Kind, Reading
from eventkit.projection import (
    DeadLetters,
    Projection,
    ReadModels,
    Runner,
    Transaction,
    on,
)
from eventkit.projection.verifying import ReadModelVerifier
from eventkit.projection.worker import Worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, Opened, fill


class Told:
    """What a verification says."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.remarks: list[str] = []
        self.last: Reading | None = None

    def found(self, finding: Finding) -> None:
        self.findings.append(finding)

    def read(self, now: Reading) -> None:
        self.last = now

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def verify(projection: Projection, store: SqliteStore, models: ReadModels) -> Told:
    told = Told()
    ReadModelVerifier(projection, store, models, told).run()
    return told


def problems(store: SqliteStore, models: ReadModels) -> list[str]:
    told = verify(Balances(), store, models)
    assert told.remarks == []
    assert {it.kind for it in told.findings} <= {Kind.READ_MODEL}
    return [it.problem for it in told.findings]


@pytest.fixture
def filled(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=15)
    Runner(Balances(), store, models).run()


@pytest.mark.usefixtures("filled")
def test_a_read_model_as_it_should_be(store: SqliteStore, models: ReadModels) -> None:
    told = verify(Balances(), store, models)
    assert (told.findings, told.remarks) == ([], [])
    assert told.last is not None
    assert told.last.done == told.last.total == store.last_position()


@pytest.mark.usefixtures("filled")
def test_one_that_is_behind_is_compared_with_that_part_of_the_log(
    store: SqliteStore, models: ReadModels
) -> None:
    store.append("account-1", [Deposited(amount=5)])
    assert problems(store, models) == []


@pytest.mark.usefixtures("filled")
def test_each_row_that_differs_is_told(store: SqliteStore, models: ReadModels) -> None:
    accounts = Balances.accounts
    with models.writing() as connection:
        connection.execute(
            update(accounts).where(accounts.c.account == "account-1").values(balance=7)
        )
        connection.execute(delete(accounts).where(accounts.c.account == "account-11"))
        connection.execute(accounts.insert().values(account="account-99", balance=1, movements=1))
    assert problems(store, models) == [
        "balances, table accounts: row account 'account-1': balance is 7, in a rebuild 10",
        "balances, table accounts: row account 'account-11' is missing, and in a rebuild",
        "balances, table accounts: row account 'account-99' is there, and not in a rebuild",
    ]


class Mending(Balances):
    """Fails at one account until it is mended."""

    broken = True

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        if self.broken and recorded.aggregate_id == "account-3":
            raise ValueError("not this one")
        super().opened(recorded, tx)


def test_what_is_parked_is_left_out_of_both(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=5)
    projection = Mending()
    Runner(projection, store, models).run()
    projection.broken = False
    assert verify(projection, store, models).findings == []


def _tell_of_account_3(store: SqliteStore, models: ReadModels, projection: Mending) -> Told:
    """What is told where the code cannot apply an event that it could when it was read."""
    fill(store, accounts=5)
    projection.broken = False
    Runner(projection, store, models).run()
    projection.broken = True
    return verify(projection, store, models)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("on_failure", ["park", "stop"])
def test_an_event_that_todays_code_cannot_apply_is_a_finding(
    store: SqliteStore, models: ReadModels, caplog: pytest.LogCaptureFixture, on_failure: str
) -> None:
    kind = type("Changed", (Mending,), {"on_failure": on_failure})
    told = _tell_of_account_3(store, models, kind())
    (finding,) = told.findings
    assert finding.kind is Kind.READ_MODEL
    assert finding.problem == (
        "balances: it holds Opened, account-3 version 1, which today's code cannot apply in a "
        "rebuild: ValueError: not this one"
    )
    assert (finding.aggregate_id, finding.position) == ("account-3", Position("events", 0, 4))
    assert finding.fix.startswith("mend the code")
    assert told.remarks == [
        "the read model balances: its rows, as a rebuild lacks 1 event(s) that it holds"
    ]
    assert caplog.records == []  # nothing is parked that anybody could retry


def test_what_was_retried_meanwhile_is_no_finding(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=5)
    projection = Mending()
    Runner(projection, store, models).run()
    projection.broken = False
    told = Told()
    verifier = ReadModelVerifier(projection, store, models, told)
    build = verifier._build

    def retried_meanwhile(worker: Worker, place: Any) -> None:
        build(worker, place)
        DeadLetters(projection, store, models).retry()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier, "_build", retried_meanwhile)
        verifier.run()
    assert told.findings == []
    assert told.remarks == ["the read model balances: its dead letters were retried meanwhile"]


class Greatest(Balances):
    """Asks for what SQLite does not have."""

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.scalar(text("SELECT greatest(1, 2)"))
        super().note(recorded, tx)


@pytest.mark.usefixtures("no_pauses")
def test_handlers_for_postgresql_alone_are_no_finding(store: SqliteStore, database: str) -> None:
    fill(store, accounts=2)
    with ReadModels(database) as models:
        Runner(Greatest(), store, models).run()
        told = verify(Greatest(), store, models)
    assert told.findings == []
    (remark,) = told.remarks
    assert remark.startswith(
        "the read model balances: it cannot be built in a file of SQLite: at Deposited, account-0 "
        "version 2: OperationalError: "
    )


class Moments(Projection):
    """Keys that databases order by rules of their own, and values that they keep in their way."""

    name = "moments"
    moments = Table(
        "moments",
        MetaData(),
        Column("owner", String, primary_key=True),
        Column("at", DateTime(timezone=True), nullable=False),
        Column("amount", Numeric(12, 2), nullable=False),
        Column("left_on", Integer),
    )

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        event = recorded.event
        assert isinstance(event, Opened)
        at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC) + timedelta(hours=recorded.version)
        tx.insert(self.moments, {"owner": event.owner, "at": at, "amount": "1.10", "left_on": None})


def test_databases_that_order_and_keep_things_differently(
    store: SqliteStore, models: ReadModels
) -> None:
    owners = ["a", "B", "ä", "Z", "z", "_", "-", "\U0001f600", "\uffff", "é", "a b", "ab"]
    for number, owner in enumerate(owners):
        store.append(f"account-{number}", [Opened(owner=owner)])
    Runner(Moments(), store, models).run()
    told = verify(Moments(), store, models)
    assert (told.findings, told.remarks) == ([], [])
    moments = Moments.moments
    elsewhere = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    with models.writing() as connection:
        connection.execute(update(moments).where(moments.c.owner == "ä").values(at=elsewhere))
    (finding,) = verify(Moments(), store, models).findings
    assert "row owner 'ä': at is " in finding.problem


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DROP TABLE journal", "its table 'journal' is missing in the database"),
        (
            "ALTER TABLE accounts DROP COLUMN movements",
            "its table 'accounts' has no column 'movements' in the database",
        ),
        (
            'UPDATE eventkit_checkpoints SET "offset" = 1600',
            "its checkpoint is at 1,600 and the log of this store ends at ",
        ),
        (
            "UPDATE eventkit_checkpoints SET topic = 'orders.events'",
            "it was built from orders.events/0, which it does not read in this store",
        ),
        ("DROP TABLE eventkit_checkpoints", "it cannot be read: "),
    ],
)
@pytest.mark.usefixtures("filled")
def test_one_that_cannot_be_compared_because_it_is_damaged_is_a_finding(
    store: SqliteStore, models: ReadModels, statement: str, problem: str
) -> None:
    with models.writing() as connection:
        connection.execute(text(statement))
    told = verify(Balances(), store, models)
    assert told.remarks == []
    (finding,) = told.findings
    assert finding.kind is Kind.READ_MODEL
    assert finding.problem.startswith(f"balances: {problem}")
    assert "eventkit projection rebuild balances" in finding.fix
    assert not {"SELECT", "sqlalche.me", "\n"} & {*finding.problem.split()}
    Runner(Balances(), store, models).rebuild()
    assert problems(store, models) == []


def test_a_value_that_no_handler_can_have_written_is_a_finding(
    store: SqliteStore, tmp_path: Path
) -> None:
    store.append("account-1", [Opened(owner="ann")])
    with ReadModels(f"sqlite:///{tmp_path / 'loose.db'}") as models:  # keeps values of any type
        Runner(Moments(), store, models).run()
        with models.writing() as connection:
            connection.execute(text("UPDATE moments SET at = 'yesterday'"))
        (finding,) = verify(Moments(), store, models).findings
    assert finding.problem.startswith(
        "moments: its table 'moments' holds a value that its column cannot have: "
    )


class Newer(Balances):
    version = 2


@pytest.mark.usefixtures("filled")
def test_code_of_another_version_compares_nothing(store: SqliteStore, models: ReadModels) -> None:
    told = verify(Newer(), store, models)
    assert told.findings == []
    assert told.remarks == ["the read model balances: its code is of version 2, the live one of 1"]


class Keyless(Projection):
    name = "keyless"
    rows = Table("keyless", MetaData(), Column("owner", String))

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        tx.insert(self.rows, {"owner": recorded.aggregate_id})


def test_rows_without_a_key_are_not_compared(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=2)
    Runner(Keyless(), store, models).run()
    told = verify(Keyless(), store, models)
    assert told.findings == []
    assert "have no key by which to compare them" in told.remarks[0]
