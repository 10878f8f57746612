"""Effects and parked events on another log: a wrong one, one that was made anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit.errors import RebuildNeeded
from eventkit.projection import DeadLetters, ReadModels, Runner
from eventkit.projection.source import Partition, SqliteSource
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Opened, actual, expected
from tests.projection.test_effects import Mailing, deposit
from tests.projection.test_parking import letters, places, poisoned

pytestmark = pytest.mark.usefixtures("no_pauses")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "other.db") as store:
        yield store


@pytest.fixture
def _with_ids(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs that can be told apart, as those on Kafka."""

    def log(self: SqliteSource, _partition: Partition) -> str:
        return "one" if self._store is store else "another"

    monkeypatch.setattr(SqliteSource, "log", log)


def opened(store: SqliteStore, *names: str) -> None:
    for name in names:
        store.append(name, [Opened(owner=name)])


@pytest.mark.usefixtures("_with_ids")
def test_a_run_on_a_wrong_log_moves_nothing(
    store: SqliteStore, other: SqliteStore, models: ReadModels
) -> None:
    mailing = Mailing()
    opened(store, "account-1")
    opened(other, "account-1", "account-2", "account-3", "account-4")
    Runner(mailing, store, models).run()
    due = deposit(store, "account-1", "account-1")
    with pytest.raises(RebuildNeeded):
        Runner(mailing, other, models).run()
    Runner(mailing, store, models).run()
    assert mailing.sent == due


def test_a_file_made_anew_skips_no_effect(
    store: SqliteStore, other: SqliteStore, models: ReadModels
) -> None:
    mailing = Mailing()
    opened(store, "account-1")
    Runner(mailing, store, models).run()
    due = deposit(store, *["account-1"] * 20)
    Runner(mailing, store, models).run()
    opened(other, "account-1")
    with pytest.raises(RebuildNeeded):
        Runner(mailing, other, models).run()
    Runner(mailing, other, models).rebuild()
    due += deposit(other, "account-1")
    Runner(mailing, other, models).run()
    assert mailing.sent == due


@pytest.mark.usefixtures("_with_ids")
def test_what_is_parked_of_a_log_that_is_gone_holds_nothing_up(
    store: SqliteStore, other: SqliteStore, models: ReadModels
) -> None:
    mailing = Mailing()
    opened(store, "account-1")
    Runner(mailing, store, models).run()
    mailing.fails_at.add(("account-1", 2))
    deposit(store, "account-1")
    Runner(mailing, store, models).run()
    assert places(models) == [("account-1", 2, "failed")]
    mailing.fails_at.clear()
    opened(other, "account-1")
    Runner(mailing, other, models).rebuild()
    due = deposit(other, "account-1")
    Runner(mailing, other, models).run()
    assert mailing.sent == due
    (letter,) = letters(models)
    assert letter.state == "discarded"
    assert letter.reason is not None
    assert "made anew" in letter.reason


def test_another_event_at_the_place_of_a_discarded_one_can_be_parked(
    store: SqliteStore, other: SqliteStore, models: ReadModels
) -> None:
    opened(store, "account-1", "account-2")
    deposit(store, "account-1")
    Runner(failing := poisoned(("account-1", 2)), store, models).run()
    (letter,) = letters(models)
    DeadLetters(failing, store, models).discard(letter.number, "a test")
    opened(other, "account-3", "account-4")
    deposit(other, "account-3")  # at the offset of the one before
    runner = Runner(poisoned(("account-3", 2)), other, models)
    runner.rebuild()
    runner.rebuild()
    assert sorted(places(models)) == [("account-1", 2, "discarded"), ("account-3", 2, "failed")]
    DeadLetters(poisoned(), other, models).retry()
    assert actual(models) == expected(other)
