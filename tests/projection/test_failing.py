"""Handlers that raise: what is kept, and what is told."""

from collections.abc import Callable

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from eventkit import RecordedEvent
from eventkit.errors import HandlerFailed, InvalidInput
from eventkit.projection import ReadModels, Runner, Transaction
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, actual, expected, fill

POISON = 42
"""The position of the event that the handler fails on."""

Fail = Callable[[Balances, RecordedEvent, Transaction], object]


class Failing(Balances):
    """Fails on one event, in a way of its own."""

    on_failure = "stop"

    def __init__(self, fail: Fail) -> None:
        self._fail = fail

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        super().note(recorded, tx)
        if recorded.position.offset == POISON:
            self._fail(self, recorded, tx)


def raises(_self: Balances, _recorded: RecordedEvent, _tx: Transaction) -> None:
    raise ValueError("no such owner\nand more lines")


def inserts_a_row_twice(self: Balances, recorded: RecordedEvent, tx: Transaction) -> None:
    Balances.note(self, recorded, tx)


def executes_an_insert_twice(self: Balances, recorded: RecordedEvent, tx: Transaction) -> None:
    row = {"number": recorded.position.offset, "account": "x", "version": 1}
    tx.execute(insert(self.journal), row)


def swallows_the_error(self: Balances, recorded: RecordedEvent, tx: Transaction) -> None:
    try:
        Balances.note(self, recorded, tx)
        tx.flush()
    except IntegrityError:
        pass


def writes_an_unknown_column(self: Balances, _recorded: RecordedEvent, tx: Transaction) -> None:
    tx.insert(self.journal, {"nummer": 1})


@pytest.fixture(autouse=True)
def _filled(store: SqliteStore) -> None:
    fill(store, accounts=20)


@pytest.mark.parametrize(
    ("fail", "cause"),
    [
        (raises, ValueError),
        (inserts_a_row_twice, IntegrityError),
        (executes_an_insert_twice, IntegrityError),
        (swallows_the_error, IntegrityError),
        (writes_an_unknown_column, InvalidInput),
    ],
)
def test_a_handler_that_fails_stops_the_run_with_all_events_before_it_kept(
    fail: Fail, cause: type[Exception], store: SqliteStore, models: ReadModels
) -> None:
    runner = Runner(Failing(fail), store, models)
    with pytest.raises(HandlerFailed) as caught:
        runner.run()
    assert isinstance(caught.value.__cause__, cause)
    status = runner.status()
    assert (status.position, status.events, status.state) == (POISON - 1, POISON - 1, "building")
    assert actual(models) == expected(store, POISON - 1)


def test_the_error_names_the_event_and_says_what_to_do(
    store: SqliteStore, models: ReadModels
) -> None:
    with pytest.raises(HandlerFailed) as caught:
        Runner(Failing(raises), store, models).run()
    assert str(caught.value) == (
        "projection balances failed on Withdrawn, account-1 version 3 at events/0/42: "
        "ValueError: no such owner. The read model holds all events before it; mend the handler "
        "and run again."
    )
    error = caught.value
    assert (error.projection, error.event_type) == ("balances", "Withdrawn")
    assert (error.aggregate_id, error.version, error.position) == ("account-1", 3, "events/0/42")


def test_a_handler_that_fails_again_changes_nothing(store: SqliteStore, models: ReadModels) -> None:
    runner = Runner(Failing(raises), store, models)
    for _ in range(2):
        with pytest.raises(HandlerFailed):
            runner.run()
    assert runner.status().events == POISON - 1
    assert actual(models) == expected(store, POISON - 1)


def test_a_mended_handler_goes_on_where_the_broken_one_stopped(
    store: SqliteStore, models: ReadModels
) -> None:
    with pytest.raises(HandlerFailed):
        Runner(Failing(raises), store, models).run()
    assert Runner(Balances(), store, models).run() == store.last_position() - (POISON - 1)
    assert actual(models) == expected(store)


def test_a_handler_that_failed_by_chance_loses_and_doubles_nothing(
    store: SqliteStore, models: ReadModels
) -> None:
    chances = iter([ValueError("by chance")])

    def once(_self: Balances, _recorded: RecordedEvent, _tx: Transaction) -> None:
        for chance in chances:
            raise chance

    assert Runner(Failing(once), store, models).run() == store.last_position()
    assert actual(models) == expected(store)
