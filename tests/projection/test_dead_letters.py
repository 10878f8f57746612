"""Parked events: tried again in order, or given up, while workers run."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from eventkit import RecordedEvent
from eventkit.errors import (
    CheckpointMoved,
    DeadLetterNotFound,
    InvalidInput,
    ProjectionError,
)
from eventkit.projection import (
    DeadLetters,
    Projection,
    ReadModels,
    Runner,
    Transaction,
    effect,
    on,
    worker,
)
from eventkit.projection import dead_letters_retry as retrying
from eventkit.projection import failures as failing
from eventkit.projection.dead_letters import EventsMissing
from eventkit.projection.partition import Partition
from eventkit.projection.source import SqliteSource
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, Deposited, Opened, actual, expected, fill
from tests.projection.test_parking import Poisoned, letters, places, poisoned, versions

pytestmark = pytest.mark.usefixtures("no_pauses")

ONLY = Partition("events", 0)


@pytest.fixture
def patient(models_url: str) -> Iterator[ReadModels]:
    """The database for those who wait for each other."""
    with ReadModels(models_url, timeout=30) as models:
        yield models


@pytest.fixture
def parked(store: SqliteStore, models: ReadModels) -> list[int]:
    """Account 3 with seven parked events, account 4 with six; the numbers of the letters."""
    fill(store, accounts=10)
    Runner(poisoned(("account-3", 3), ("account-4", 4)), store, models).run()
    numbers = {(it.aggregate_id, it.aggregate_version): it.number for it in letters(models)}
    assert len(numbers) == 13
    return [numbers[key] for key in sorted(numbers)]


@pytest.mark.usefixtures("parked")
def test_a_retry_with_mended_code_applies_all_in_order(
    store: SqliteStore, models: ReadModels
) -> None:
    done = DeadLetters(Balances(), store, models).retry()
    assert done == (13, (), 0)
    assert actual(models) == expected(store)
    assert letters(models) == []
    assert Runner(Balances(), store, models).status().events == store.last_position()


@pytest.mark.usefixtures("parked")
def test_the_order_within_an_aggregate_is_that_of_its_versions(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    class Seeing(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            seen.append((recorded.aggregate_id, recorded.version))
            super().note(recorded, tx)

    monkeypatch.setattr(retrying, "_IN_ONE_TRANSACTION", 2)
    DeadLetters(Seeing(), store, models).retry()
    assert seen == [
        *(("account-3", version) for version in range(3, 10)),
        *(("account-4", version) for version in range(4, 10)),
    ]


@pytest.mark.usefixtures("parked")
def test_a_retry_may_be_of_some_aggregates(store: SqliteStore, models: ReadModels) -> None:
    done = DeadLetters(Balances(), store, models).retry(["account-4", "account-5"])
    assert done == (6, (), 7)
    assert {it[0] for it in places(models)} == {"account-3"}


@pytest.mark.usefixtures("parked")
def test_what_fails_again_stays_with_its_new_error_and_what_is_behind_it(
    store: SqliteStore, models: ReadModels
) -> None:
    class Halfway(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            if (recorded.aggregate_id, recorded.version) == ("account-3", 5):
                raise KeyError("another reason")

    done = DeadLetters(Halfway(), store, models).retry()
    assert (done.applied, [it.aggregate_version for it in done.failed]) == (2 + 6, [5])
    (failed, *waiting) = letters(models)
    assert (failed.aggregate_version, failed.state, failed.attempts) == (5, "failed", 1)
    assert failed.error == "KeyError: 'another reason'"
    assert {it.state for it in waiting} == {"waiting"}
    assert versions(models, "account-3") == [2, 3, 4]
    DeadLetters(Balances(), store, models).retry()
    assert actual(models) == expected(store)


@pytest.mark.usefixtures("parked")
def test_after_a_retry_new_events_flow_to_a_worker_that_ran_all_the_time(
    store: SqliteStore, models: ReadModels
) -> None:
    running = worker.Worker(Balances(), SqliteSource(store), models)
    store.append("account-3", [Deposited(amount=1)])
    running.step(ONLY)
    assert len(letters(models)) == 14
    DeadLetters(Balances(), store, models).retry()
    store.append("account-3", [Deposited(amount=2)])
    running.step(ONLY)
    assert letters(models) == []
    assert actual(models) == expected(store)


def while_retrying(store: SqliteStore, models: ReadModels, meanwhile: Callable[[], object]) -> None:
    """Retry; when its first event is handled, with the lock held, let the other one begin."""
    begun = threading.Event()

    class Slow(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            begun.set()
            waiting.join(0.3)  # not to its end: it waits for this transaction
            super().note(recorded, tx)

    def other() -> None:
        assert begun.wait(30)
        meanwhile()

    with ThreadPoolExecutor(1) as threads:
        waiting = threading.Thread(target=lambda: None)
        waiting.start()
        future = threads.submit(other)
        DeadLetters(Slow(), store, models).retry(["account-3"])
        future.result(30)


@pytest.mark.usefixtures("parked")
def test_a_worker_that_meets_a_retry_waits_for_it_and_goes_on_behind(
    store: SqliteStore, patient: ReadModels
) -> None:
    running = worker.Worker(Balances(), SqliteSource(store), patient)
    store.append("account-3", [Deposited(amount=1)])
    while_retrying(store, patient, lambda: running.step(ONLY))
    assert {it[0] for it in places(patient)} == {"account-4"}
    assert versions(patient, "account-3") == list(range(2, 11))


@pytest.mark.usefixtures("parked")
def test_two_retries_apply_each_event_once(store: SqliteStore, patient: ReadModels) -> None:
    other = DeadLetters(Balances(), store, patient)
    while_retrying(store, patient, lambda: other.retry(["account-3"]))
    assert versions(patient, "account-3") == list(range(2, 10))


def test_workers_and_retries_side_by_side_count_each_event_once_in_order(
    store: SqliteStore, models_url: str
) -> None:
    """The handler fails now and then; what it notes in the journal must come in order."""
    failed: set[tuple[str, int]] = set()
    order: list[tuple[str, int]] = []

    class Moody(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            place = (recorded.aggregate_id, recorded.version)
            if recorded.version % 7 == 0 and place not in failed:
                failed.add(place)
                raise ValueError(place)
            order.append(place)

    stop = threading.Event()
    names = [f"account-{number}" for number in range(4)]
    with (
        ReadModels(models_url, timeout=30) as ours,
        ReadModels(models_url, timeout=30) as others,
        pytest.MonkeyPatch.context() as patch,
        ThreadPoolExecutor(1) as threads,
    ):
        patch.setattr(failing, "_PAUSES", ())
        following = threads.submit(Runner(Moody(), store, ours).follow, stop)
        try:
            for name in names:
                store.append(name, [Opened(owner=name)])
            for amount in range(60):
                for name in names:
                    store.append(name, [Deposited(amount=amount)])
                if amount % 10 == 9 and others.exists():
                    DeadLetters(Moody(), store, others).retry()
        finally:
            stop.set()
            following.result(60)
        Runner(Moody(), store, ours).run()
        for _ in range(len(failed) + 8):  # each may meet the next event that fails
            DeadLetters(Moody(), store, ours).retry()
        assert letters(ours) == []
        assert len(failed) == 4 * 8
        assert actual(ours) == expected(store)


@pytest.mark.usefixtures("parked")
def test_a_retry_overtaken_by_a_rebuild_writes_nothing(
    store: SqliteStore, models: ReadModels
) -> None:
    overtaken = retrying.HandlerRetry(Balances(), SqliteSource(store), models)
    Runner(Poisoned(), store, models).rebuild()
    before = actual(models)
    with pytest.raises(CheckpointMoved, match="made anew"):
        overtaken.retry("account-3")
    assert (actual(models), len(letters(models))) == (before, 7)


@pytest.mark.usefixtures("parked")
def test_an_event_that_todays_code_does_not_handle_needs_nothing(
    store: SqliteStore, models: ReadModels
) -> None:
    class Openings(Projection):
        name = "balances"
        accounts, journal = Balances.accounts, Balances.journal

        @on(Opened)
        def opened(self, recorded: RecordedEvent, tx: Transaction) -> None: ...

    before = actual(models)
    assert DeadLetters(Openings(), store, models).retry().applied == 13
    assert actual(models) == before


def gone(store: SqliteStore, *places: tuple[str, int]) -> None:
    """Take events out of the log, behind its guards."""
    with closing(sqlite3.connect(store._path, isolation_level=None)) as connection:
        guards = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in guards.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for place in places:
            connection.execute("DELETE FROM events WHERE (aggregate_id, version) = (?, ?)", place)


@pytest.mark.usefixtures("parked")
def test_an_event_that_is_not_in_the_log_holds_back_its_own_aggregate_alone(
    store: SqliteStore, models: ReadModels
) -> None:
    gone(store, ("account-3", 5))
    dead_letters = DeadLetters(Balances(), store, models)
    with pytest.raises(EventsMissing, match=r"discard \d+ --reason") as caught:
        dead_letters.retry()
    assert caught.value.retried == (2 + 6, (), 5)
    (missing,) = caught.value.missing
    assert (missing.aggregate_id, missing.aggregate_version) == ("account-3", 5)
    assert places(models) == [("account-3", version, "waiting") for version in range(5, 10)]
    assert versions(models, "account-3") == [2, 3, 4]
    assert dead_letters.discard(missing.number, "it is gone") == (4, (), 0)
    assert versions(models, "account-3") == [2, 3, 4, *range(6, 10)]


def test_where_the_events_of_many_are_missing_a_few_are_named(
    store: SqliteStore, models: ReadModels
) -> None:
    fill(store, accounts=9)
    Runner(poisoned(*((f"account-{it}", 9) for it in range(9))), store, models).run()
    gone(store, *((f"account-{it}", 9) for it in range(9)))
    with pytest.raises(EventsMissing, match="and the events of 4 aggregates more") as caught:
        DeadLetters(Balances(), store, models).retry()
    assert (str(caught.value).count("--reason"), len(caught.value.missing)) == (5, 9)


def test_effects_are_retried_while_the_tables_are_of_another_version(
    store: SqliteStore, models: ReadModels
) -> None:
    sent: list[int] = []
    broken = [True]

    class Sending(Balances):
        @effect(Deposited)
        def send(self, recorded: RecordedEvent) -> None:
            if broken:
                raise ValueError
            sent.append(recorded.version)

    class Second(Sending):
        version = 2

    Runner(Sending(), store, models).run()
    fill(store, accounts=1)
    Runner(Sending(), store, models).run()
    broken.clear()
    assert DeadLetters(Second(), store, models).retry().parked == 0
    assert sent == [2, 4, 6, 8]


def test_without_parked_events_a_retry_does_nothing(store: SqliteStore, models: ReadModels) -> None:
    assert DeadLetters(Balances(), store, models).retry() == (0, (), 0)
    Runner(Balances(), store, models).run()
    assert DeadLetters(Balances(), store, models).retry() == (0, (), 0)


def test_a_discarded_event_is_left_out_and_those_behind_it_are_applied(
    store: SqliteStore, models: ReadModels, parked: list[int]
) -> None:
    dead_letters = DeadLetters(Balances(), store, models)
    assert dead_letters.discard(parked[0], "sent by mistake") == (6, (), 6)
    assert versions(models, "account-3") == [2, *range(4, 10)]
    (record,) = [it for it in dead_letters.all() if it.state == "discarded"]
    assert (record.aggregate_version, record.reason) == (3, "sent by mistake")
    assert "ValueError" in (record.error or "")


def test_an_event_discarded_from_the_middle_waits_no_more_and_moves_no_other(
    store: SqliteStore, models: ReadModels, parked: list[int]
) -> None:
    dead_letters = DeadLetters(Balances(), store, models)
    assert dead_letters.discard(parked[2], "sent by mistake").applied == 0
    assert versions(models, "account-3") == [2]
    dead_letters.retry()
    assert versions(models, "account-3") == [2, 3, 4, *range(6, 10)]


def test_a_rebuild_leaves_out_what_was_discarded(
    store: SqliteStore, models: ReadModels, parked: list[int]
) -> None:
    dead_letters = DeadLetters(Balances(), store, models)
    dead_letters.discard(parked[0], "sent by mistake")
    dead_letters.retry()
    before = actual(models)
    Runner(Balances(), store, models).rebuild()
    assert actual(models) == before
    assert versions(models, "account-3") == [2, *range(4, 10)]
    assert [it.state for it in dead_letters.all()] == ["discarded"]
    Runner(Poisoned(), store, models).rebuild()  # which would fail at it
    assert versions(models, "account-3") == [2, *range(4, 10)]


@pytest.mark.parametrize("how", ["rebuild", "rebuild_beside"])
def test_a_new_version_leaves_out_what_was_discarded_and_parks_its_own(
    store: SqliteStore, models: ReadModels, parked: list[int], how: str
) -> None:
    class Second(Balances):
        version = 2

        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            if (recorded.aggregate_id, recorded.version) in {("account-3", 3), ("account-6", 5)}:
                raise ValueError
            super().note(recorded, tx)

    DeadLetters(Balances(), store, models).discard(parked[0], "sent by mistake")
    getattr(Runner(Second(), store, models), how)()
    found = [it for it in letters(models) if it.version == 2]
    assert [it.aggregate_version for it in found if it.aggregate_id == "account-6"] == [
        *range(5, 10)
    ]
    assert [it.state for it in found if it.aggregate_id == "account-3"] == ["discarded"]
    assert {it.aggregate_id for it in found} == {"account-3", "account-6"}
    firsts = [it.state for it in letters(models) if it.version == 1]
    assert firsts.count("discarded") == 1
    assert len(firsts) == (1 if how == "rebuild" else 7)


def test_a_discard_of_the_old_version_while_the_new_one_is_built_is_the_old_ones(
    store: SqliteStore, models: ReadModels, parked: list[int]
) -> None:
    class Second(Balances):
        version = 2

    Runner(Second(), store, models).rebuild_beside()
    DeadLetters(Balances(), store, models).discard(parked[0], "sent by mistake")
    assert [it for it in letters(models) if it.version == 2] == []


def test_a_letter_is_discarded_with_a_reason_once_and_by_its_own_code(
    store: SqliteStore, models: ReadModels, parked: list[int]
) -> None:
    class Second(Balances):
        version = 2

    dead_letters = DeadLetters(Balances(), store, models)
    with pytest.raises(InvalidInput, match="a reason"):
        dead_letters.discard(parked[0], " \n")
    with pytest.raises(ProjectionError, match="of balances version 1, this code is balances vers"):
        DeadLetters(Second(), store, models).discard(parked[0], "x")
    dead_letters.discard(parked[0], "x")
    with pytest.raises(DeadLetterNotFound, match="discarded already: x"):
        dead_letters.discard(parked[0], "x")
    with pytest.raises(DeadLetterNotFound, match="there is none"):
        dead_letters.discard(parked[1], "x")


def test_a_worker_that_is_stopped_between_two_attempts_leaves_the_event_for_later(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()

    class Stopping(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            super().note(recorded, tx)
            if recorded.position.offset == 42:
                stop.set()
                raise ValueError

    monkeypatch.setattr(failing, "_PAUSES", (30, 30))
    fill(store, accounts=20)
    Runner(Stopping(), store, models).follow(stop)
    assert actual(models) == expected(store, 41)
    assert letters(models) == []
    Runner(Balances(), store, models).run()
    assert actual(models) == expected(store)
