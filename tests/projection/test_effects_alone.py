"""A projection that builds nothing and has effects alone."""

from pathlib import Path

import pytest

from eventkit import RecordedEvent
from eventkit.errors import InvalidProjection, ProjectionBehind, ProjectionError, RebuildNeeded
from eventkit.health.findings import Finding, Reading
from eventkit.projection import DeadLetters, Projection, ReadModels, Runner, Versions, effect
from eventkit.projection.verifying import ReadModelVerifier
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, Withdrawn, fill
from tests.projection.following import following, until
from tests.projection.test_parking import letters, places

pytestmark = pytest.mark.usefixtures("no_pauses")


class Mails(Projection):
    name = "mails"

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.broken = False

    @effect(Deposited)
    def mailed(self, recorded: RecordedEvent) -> None:
        if self.broken:
            raise ConnectionError("no mail server")
        self.sent.append((recorded.aggregate_id, recorded.version))


class NextMails(Mails):
    version = 2


@pytest.fixture
def mails(store: SqliteStore, models: ReadModels) -> Mails:
    """It has run, on a log with history, and had one effect since."""
    fill(store, accounts=2, rounds=1)
    mails = Mails()
    runner = Runner(mails, store, models)
    assert runner.status().lag == 0  # it would begin at the end
    assert runner.run() == 0
    deposit(store)
    assert runner.run() == 1
    assert mails.sent == [("account-0", 5)]
    return mails


def deposit(store: SqliteStore) -> tuple[str, int]:
    return "account-0", store.append("account-0", [Deposited(amount=1)]).version


def test_it_runs_effects_for_what_comes_and_tells_where_they_are(
    mails: Mails, store: SqliteStore, models: ReadModels
) -> None:
    runner = Runner(mails, store, models)
    due = deposit(store)
    store.append("account-1", [Withdrawn(amount=1)])
    status = runner.status()
    assert (status.state, status.lag, status.events) == ("ready", 2, 1)
    assert status.lag_seconds > 0
    assert runner.run() == 1
    status = runner.status()
    assert (status.state, status.lag, status.events) == ("ready", 0, 2)
    assert status.position == status.end == store.last_position()
    assert mails.sent[1:] == [due]


def test_it_follows_and_is_waited_for(mails: Mails, store: SqliteStore, models: ReadModels) -> None:
    with following(Runner(mails, store, models)):
        due = deposit(store)
        until(lambda: due in mails.sent)
    position = store.append("account-0", [Deposited(amount=1)]).position
    with pytest.raises(ProjectionBehind):
        models.wait(Mails, position, timeout=0)
    Runner(mails, store, models).run()
    models.wait(Mails, position, timeout=0)


def test_a_wait_is_for_the_effect_and_not_for_the_log_to_be_read(
    mails: Mails, store: SqliteStore, models: ReadModels
) -> None:
    class Looking(Mails):
        @effect(Withdrawn)
        def looked(self, recorded: RecordedEvent) -> None:
            with pytest.raises(ProjectionBehind):
                models.wait(Mails, recorded.position, timeout=0)
            self.sent.append((recorded.aggregate_id, recorded.version))

    looking = Looking()
    store.append("account-0", [Withdrawn(amount=1)])
    Runner(looking, store, models).run()
    assert (len(looking.sent), letters(models)) == (1, [])
    assert len(mails.sent) == 1


def test_an_effect_that_fails_parks_and_is_retried_and_discarded(
    mails: Mails, store: SqliteStore, models: ReadModels
) -> None:
    first, second = deposit(store), deposit(store)
    mails.broken = True
    assert Runner(mails, store, models).run() == 0
    assert places(models) == [(*first, "failed"), (*second, "waiting")]
    status = Runner(mails, store, models).status()
    assert (status.lag, status.parked, status.events) == (0, 2, 1)
    dead_letters = DeadLetters(mails, store, models)
    assert dead_letters.retry().parked == 2
    mails.broken = False
    assert dead_letters.discard(letters(models)[0].number, "told by phone") == (1, (), 0)
    assert mails.sent[1:] == [second]


def test_a_rebuild_runs_no_effect_again_and_lets_them_go_on(
    mails: Mails, store: SqliteStore, models: ReadModels
) -> None:
    due = deposit(store)
    again = Mails()
    assert Runner(again, store, models).rebuild() == 1
    assert again.sent == [due]
    assert Runner(again, store, models).status().state == "ready"
    assert Runner(mails, store, models).run() == 0


def test_another_version_takes_over_by_a_rebuild(
    mails: Mails, store: SqliteStore, models: ReadModels
) -> None:
    due, newer = deposit(store), NextMails()
    with pytest.raises(RebuildNeeded, match="version 1, this code is version 2"):
        Runner(newer, store, models).run()
    Runner(newer, store, models).rebuild()
    assert newer.sent == [due]
    with pytest.raises(RebuildNeeded):
        Runner(mails, store, models).run()


def test_another_version_takes_over_by_a_switch_and_gives_back_by_a_rollback(
    mails: Mails, store: SqliteStore, models: ReadModels
) -> None:
    newer, versions = NextMails(), Versions("mails", models)
    Runner(newer, store, models).rebuild_beside()
    first = deposit(store)
    Runner(newer, store, models).run()
    Runner(mails, store, models).run()
    assert (newer.sent, mails.sent[1:]) == ([], [first])
    assert versions.diff(wait=0).equal
    versions.switch(timeout=10)
    found = [(it.version, it.role, it.state, it.tables) for it in versions.all()]
    assert found == [(2, "live", "ready", ()), (1, "previous", "ready", ())]
    second = deposit(store)
    Runner(mails, store, models).run()
    Runner(newer, store, models).run()
    assert (newer.sent, mails.sent[1:]) == ([second], [first])
    versions.rollback(timeout=10)
    third = deposit(store)
    Runner(newer, store, models).run()
    Runner(mails, store, models).run()
    assert (newer.sent, mails.sent[1:]) == ([second], [first, third])
    assert versions.drop(timeout=10) == 2
    fourth = deposit(store)
    Runner(mails, store, models).run()
    assert mails.sent[1:] == [first, third, fourth]


def test_a_switch_does_not_ask_a_version_without_tables_to_catch_up(
    mails: Mails, store: SqliteStore, models: ReadModels
) -> None:
    newer = NextMails()
    Runner(newer, store, models).rebuild_beside()
    store.append("account-1", [Withdrawn(amount=1)] * 1_001)
    Runner(mails, store, models).run()
    switched = Versions("mails", models).switch(timeout=10)
    assert (switched.live, switched.behind) == (2, 0)


def test_a_reset_is_refused(mails: Mails, store: SqliteStore, models: ReadModels) -> None:
    with pytest.raises(ProjectionError, match="there is nothing to reset, and effects never run"):
        Runner(mails, store, models).reset()
    assert Runner(mails, store, models).status().lag == 0


def test_a_verification_says_that_there_is_nothing_to_compare(
    mails: Mails, store: SqliteStore, models: ReadModels, tmp_path: Path
) -> None:
    class Listener:
        told: list[str] = []  # noqa: RUF012 - of this test alone

        def found(self, finding: Finding) -> None:
            self.told.append(str(finding))

        def read(self, _reading: Reading) -> None: ...

        def remark(self, text: str) -> None:
            self.told.append(text)

    ReadModelVerifier(mails, store, models, Listener()).run()
    assert Listener.told == ["mails has effects and no tables: nothing to compare"]
    assert len(mails.sent) == 1
    assert list(tmp_path.glob("eventkit-verify-*")) == []


def test_tables_may_come_and_go(mails: Mails, store: SqliteStore, models: ReadModels) -> None:
    class Grown(Balances):
        name = "mails"

    with pytest.raises(RebuildNeeded, match="its table 'accounts' is new"):
        Runner(Grown(), store, models).run()
    assert Runner(Grown(), store, models).rebuild() == store.last_position()
    with pytest.raises(RebuildNeeded, match="is not in the code any more"):
        Runner(mails, store, models).run()
    due = deposit(store)
    Runner(mails, store, models).rebuild()
    assert mails.sent[1:] == [due]


def test_without_effects_a_table_is_needed_still() -> None:
    with pytest.raises(InvalidProjection, match="without tables it may have methods with @effect"):
        type("Nothing", (Projection,), {"name": "nothing"})
    half = {"name": "half", "accounts": Balances.accounts, "mailed": Mails.mailed}
    with pytest.raises(InvalidProjection, match="handles no event"):
        type("Half", (Projection,), half)
