"""Effects of events that the read model does not hold: they wait, or never run."""

from typing import ClassVar

import pytest

from eventkit import RecordedEvent
from eventkit.projection import DeadLetters, ReadModels, Runner, Transaction
from eventkit.projection.versions import begin_rebuild
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import actual, expected, fill
from tests.projection.test_effects import Mailing, deposit
from tests.projection.test_parking import letters

pytestmark = pytest.mark.usefixtures("no_pauses")


class Poisoned(Mailing):
    """Its handler fails at the fourth movement of an account."""

    poison: ClassVar[set[tuple[str, int]]] = {("account-1", 4)}

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        super().note(recorded, tx)
        if (recorded.aggregate_id, recorded.version) in self.poison:
            raise ValueError("no such owner")


class Mended(Poisoned):
    poison: ClassVar[set[tuple[str, int]]] = set()


@pytest.fixture
def mailing(store: SqliteStore, models: ReadModels) -> Poisoned:
    """It has run on a log with history."""
    fill(store, accounts=3, rounds=1)
    mailing = Poisoned()
    Runner(mailing, store, models).run()
    return mailing


def kinds(models: ReadModels) -> list[tuple[str, int, str]]:
    return [(it.kind, it.aggregate_version, it.state) for it in letters(models)]


@pytest.fixture
def due(mailing: Poisoned, store: SqliteStore, models: ReadModels) -> list[tuple[str, int]]:
    """What is parked: an event at which the handler failed, and one behind it."""
    first = deposit(store, "account-1", "account-2", "account-1")
    Runner(mailing, store, models).run()
    assert mailing.sent == [("account-2", 4)]
    assert kinds(models) == [
        ("effect", 4, "waiting"),
        ("effect", 5, "waiting"),
        ("handler", 4, "failed"),
        ("handler", 5, "waiting"),
    ]
    return [first[0], first[2]]


def test_a_retry_applies_the_events_and_runs_their_effects_then(
    due: list[tuple[str, int]], store: SqliteStore, models: ReadModels
) -> None:
    retried = DeadLetters(mended := Mended(), store, models).retry()
    assert (retried.failed, retried.parked, letters(models)) == ((), 0, [])
    assert mended.sent == due
    assert actual(models) == expected(store)
    due += deposit(store, "account-1")
    Runner(mended, store, models).run()
    assert mended.sent == due


@pytest.mark.usefixtures("due")
def test_a_retry_whose_handler_fails_again_runs_no_effect(
    mailing: Poisoned, store: SqliteStore, models: ReadModels
) -> None:
    before = list(mailing.sent)
    assert DeadLetters(mailing, store, models).retry().parked == 4
    assert mailing.sent == before


def test_an_event_that_is_given_up_has_no_effect_and_those_behind_it_have(
    due: list[tuple[str, int]], mailing: Poisoned, store: SqliteStore, models: ReadModels
) -> None:
    before = list(mailing.sent)
    number = next(it.number for it in letters(models) if it.kind == "handler")
    DeadLetters(mailing, store, models).discard(number, "it never happened")
    assert mailing.sent == [*before, due[1]]
    assert kinds(models) == [("effect", 4, "discarded"), ("handler", 4, "discarded")]


def test_an_event_that_was_given_up_before_its_effect_was_due_has_none(
    mailing: Poisoned, store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as late:
        late.setattr("eventkit.projection.effects.Effects.run", lambda *_: False)
        late.setattr("eventkit.projection.effects.Effects.pending", lambda *_: False)
        deposit(store, "account-1")
        after = deposit(store, "account-1")
        Runner(mailing, store, models).run()
        number = next(it.number for it in letters(models) if it.aggregate_version == 4)
        DeadLetters(mailing, store, models).discard(number, "it never happened")
    Runner(mailing, store, models).run()
    assert mailing.sent == after


def test_effects_of_what_came_before_the_parked_event_run(
    mailing: Poisoned, store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Poisoned, "poison", {("account-1", 5)})
    due = deposit(store, "account-1")
    deposit(store, "account-1")
    Runner(mailing, store, models).run()  # both in one batch
    assert mailing.sent == due
    assert kinds(models) == [("effect", 5, "waiting"), ("handler", 5, "failed")]


def test_a_retry_runs_no_effect_before_a_rebuild_is_done(
    due: list[tuple[str, int]], store: SqliteStore, models: ReadModels
) -> None:
    mended = Mended()
    begin_rebuild(mended, models)  # forgets what was parked of handlers
    assert DeadLetters(mended, store, models).retry().applied == 0
    assert mended.sent == []
    Runner(mended, store, models).run()
    assert DeadLetters(mended, store, models).retry() == (2, (), 0)
    assert mended.sent == due
