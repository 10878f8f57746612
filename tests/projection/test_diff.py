"""Comparing two versions of a read model."""

import pytest
from sqlalchemy import JSON, Column, Integer, MetaData, String, Table, Text

from eventkit import RecordedEvent
from eventkit.errors import InvalidInput, ProjectionError
from eventkit.projection import Projection, ReadModels, Runner, Transaction, on
from eventkit.projection.diff import RowDiff, TableDiff, diff
from eventkit.projection.versions_switch import switch
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Deposited, Opened, fill
from tests.projection.ledgers import Ledger, Ledger2


class Rooms(Projection):
    """Two tables; a new version changes neither rows nor columns."""

    name = "rooms"
    rooms = Table(
        "rooms",
        MetaData(),
        Column("house", String, primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("guest", String),
        Column("extras", JSON),
    )

    @on(Opened)
    def opened(self, recorded: RecordedEvent, tx: Transaction) -> None:
        house, _, number = recorded.aggregate_id.partition("-")
        row = {"house": house, "number": int(number), "guest": None, "extras": {"keys": [1]}}
        tx.insert(self.rooms, row)


class Rooms2(Rooms):
    version = 2


ALL = 30


@pytest.fixture(autouse=True)
def _filled(store: SqliteStore, models: ReadModels) -> None:
    fill(store, accounts=ALL, rounds=1)
    Runner(Rooms(), store, models).run()


def change(models: ReadModels, *statements: str) -> None:
    with models.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("sample", [None, 7, 1000])
def test_versions_of_the_same_handlers_are_equal(
    sample: int | None, store: SqliteStore, models: ReadModels
) -> None:
    Runner(Rooms2(), store, models).rebuild_beside()
    found = diff(models, "rooms", sample=sample)
    assert (found.live, found.other, found.equal, found.same_place) == (1, 2, True, True)
    (table,) = found.tables
    assert table[:3] == ("rooms", ALL, ALL)
    assert (7 <= table.compared <= 14) if sample == 7 else (table.compared == ALL)


@pytest.mark.parametrize("sample", [None, 1000])
def test_each_kind_of_difference_is_counted_and_shown(
    sample: int | None, store: SqliteStore, models: ReadModels
) -> None:
    Runner(Rooms2(), store, models).rebuild_beside()
    change(
        models,
        "DELETE FROM rooms WHERE number = 3",
        "DELETE FROM rooms__v2 WHERE number IN (4, 5)",
        "UPDATE rooms__v2 SET guest = 'bob' WHERE number = 6",
        "UPDATE rooms SET extras = '[]' WHERE number = 7",
    )
    found = diff(models, "rooms", sample=sample)
    (table,) = found.tables
    assert not found.equal
    assert table._replace(examples=()) == TableDiff(
        "rooms", ALL - 1, ALL - 2, ALL, only_live=2, only_other=1, different=2
    )
    key = [{"house": "account", "number": number} for number in range(8)]
    shown = {it.key["number"]: it for it in table.examples}
    assert shown[3] == RowDiff(key[3], 2, None)
    assert (shown[4], shown[5]) == (RowDiff(key[4], 1, None), RowDiff(key[5], 1, None))
    assert shown[6] == RowDiff(key[6], None, {"guest": (None, "bob")})
    assert set(shown[7].columns or ()) == {"extras"}


def test_examples_are_limited(store: SqliteStore, models: ReadModels) -> None:
    Runner(Rooms2(), store, models).rebuild_beside()
    change(models, "DELETE FROM rooms WHERE number < 9")
    (table,) = diff(models, "rooms", examples=2).tables
    assert (table.only_other, len(table.examples)) == (9, 2)


def test_columns_and_tables_of_one_version_are_told_and_the_others_compared(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()

    class More(Ledger2):
        factor = 1
        more = Table("more", MetaData(), Column("id", String, primary_key=True))

    Runner(More(), store, models).rebuild_beside()
    accounts, journal, more = diff(models, "ledger").tables
    assert accounts.notes == ("only version 2 has the column 'currency'",)
    assert (accounts.different, journal.equal) == (ALL, False)  # `made_by` tells them apart
    assert (more.rows_live, more.notes) == (None, ("only version 2 has this table",))


def test_a_changed_type_is_compared_by_what_it_holds(
    store: SqliteStore, models: ReadModels
) -> None:
    class Wider(Rooms):
        version = 2
        rooms = Table(
            "rooms",
            MetaData(),
            Column("house", Text, primary_key=True),
            Column("number", Integer, primary_key=True),
            Column("guest", Integer),
            Column("extras", JSON),
        )

    Runner(Wider(), store, models).rebuild_beside()
    assert diff(models, "rooms").equal


def test_rows_without_the_same_key_are_not_matched(store: SqliteStore, models: ReadModels) -> None:
    class Rekeyed(Rooms):
        version = 2
        rooms = Table(
            "rooms",
            MetaData(),
            Column("house", String),
            Column("number", Integer, primary_key=True, autoincrement=False),
            Column("guest", String),
            Column("extras", JSON),
        )

    Runner(Rekeyed(), store, models).rebuild_beside()
    (table,) = diff(models, "rooms").tables
    assert (table.rows_live, table.rows_other, table.matched, table.equal) == (
        ALL, ALL, False, False,
    )  # fmt: skip


def test_versions_at_different_places_are_told_apart(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Rooms2(), store, models).rebuild_beside()
    store.append("account-99", [Opened(owner="zoe"), Deposited(amount=1)])
    Runner(Rooms(), store, models).run()
    found = diff(models, "rooms", wait=0)
    end = store.last_position()
    assert (found.at, found.other_at) == ({"events/0": end}, {"events/0": end - 2})
    assert (found.same_place, found.tables[0].only_live) == (False, 1)


def test_after_a_switch_the_previous_version_is_compared(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Rooms2(), store, models).rebuild_beside()
    switch(models, "rooms")
    found = diff(models, "rooms")
    assert (found.live, found.other, found.equal) == (2, 1, True)


def test_one_version_has_nothing_to_be_compared_with(models: ReadModels) -> None:
    with pytest.raises(ProjectionError, match=r"no two versions to compare; it has 1 \(live\)"):
        diff(models, "rooms")


def test_numbers_that_make_no_sense_are_refused(models: ReadModels) -> None:
    with pytest.raises(InvalidInput, match="sample is a number from 1 on, not 0"):
        diff(models, "rooms", sample=0)
    with pytest.raises(InvalidInput, match="examples is a number from 0 on, not -1"):
        diff(models, "rooms", examples=-1)
