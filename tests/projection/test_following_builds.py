"""Who follows a quiet log notices that its tables were made anew, or got another role."""

import threading
import time

import pytest

from eventkit import RecordedEvent
from eventkit.projection import ReadModels, Runner, Transaction, Versions, follower, reports
from eventkit.projection.versions import begin_rebuild
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Balances, actual, expected, fill
from tests.projection.following import following, until


class Next(Balances):
    version = 2


@pytest.fixture
def patient(models_url: str) -> ReadModels:
    return ReadModels(models_url, timeout=30)


def test_a_rebuild_that_died_is_gone_on_with_though_nothing_new_comes(
    store: SqliteStore, patient: ReadModels
) -> None:
    fill(store, accounts=5)
    runner = Runner(Balances(), store, patient)
    with patient, following(runner):
        until(lambda: runner.status().state == "ready")
        begin_rebuild(Balances(), patient)
        until(lambda: runner.status().state == "ready", 10)
        assert actual(patient) == expected(store)


def test_a_rebuild_is_ready_where_the_log_ends_now_and_not_where_it_did_when_the_worker_came(
    store: SqliteStore, patient: ReadModels
) -> None:
    slow, go_on = threading.Event(), threading.Event()

    class Slow(Balances):
        def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
            if slow.is_set():
                go_on.wait(30)
            super().note(recorded, tx)

    runner = Runner(Slow(), store, patient)
    with patient, following(runner):
        until(lambda: patient.exists() and runner.status().state == "ready")  # of an empty log
        fill(store, accounts=5)
        until(lambda: runner.status().lag == 0)
        slow.set()
        number = runner.status().events
        begin_rebuild(Slow(), patient)
        try:
            until(lambda: runner.status().partitions[0].worker is None, 10)
            assert runner.status().state == "rebuilding"
        finally:
            go_on.set()
        until(lambda: runner.status().state == "ready", 10)
        assert runner.status().events == number
        assert actual(patient) == expected(store)


def test_the_status_names_the_worker_after_a_switch_too(
    store: SqliteStore, patient: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_CURRENT", 0.5)
    monkeypatch.setattr(follower, "_TELL", 0.1)
    fill(store, accounts=2)
    with patient:
        Runner(Balances(), store, patient).run()
        Runner(Next(), store, patient).rebuild_beside()
        runner = Runner(Next(), store, patient)
        with following(runner):
            until(lambda: runner.status().partitions[0].worker)
            Versions("balances", patient).switch(timeout=30)
            time.sleep(2 * 0.5)  # what was reported before the switch tells no more
            until(lambda: runner.status().partitions[0].worker, 10)
