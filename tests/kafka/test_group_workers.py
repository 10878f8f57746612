"""Workers share the partitions: whatever dies, freezes or restarts, each event counts once."""

import os
import signal
import sqlite3
import subprocess
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from sqlalchemy import text

from eventkit import RecordedEvent
from eventkit.errors import ReadModelBusy, RebuildNeeded
from eventkit.kafka import neighbours
from eventkit.kafka.cluster import Cluster as Connection
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from eventkit.projection import ReadModels, Runner, effect, follower
from tests.kafka.conftest import QUICK
from tests.kafka.ledger import Ledger, folded, held
from tests.kafka.worker_kit import Workers, fill, growing, handled, is_current
from tests.projection.accounts import Deposited
from tests.projection.following import SECONDS, until
from tools.broker.cluster import Cluster

ACCOUNTS, PARTITIONS = 12, 4
SESSION = 6.0
"""Seconds, the shortest session that brokers allow."""
BRIEF = 0.2
"""Seconds for a lock that others hold for a moment only."""


class Log:
    """A log of its own on a broker, its read models, and its workers."""

    def __init__(self, address: str, models_url: str, folder: Path) -> None:
        self.address = address
        self.prefix = f"{uuid.uuid4().hex}."
        self.group = f"{self.prefix}ledger.v1"
        self._folder, self._models_url = folder, models_url
        self.store = self.open("writer.db")
        self.models = ReadModels(models_url)
        options = f"prefix={self.prefix}&session.timeout.ms={SESSION * 1000:.0f}"
        options += "&fetch.wait.max.ms=10"
        self.url = f"kafka://{address}?{options}"
        self.workers = Workers(f"{self.url}&index={folder}/index.db", models_url, folder)
        self.admin = AdminClient({"bootstrap.servers": address})

    def open(self, index: str) -> KafkaStore:
        """The store; its topics are made where they are missing."""
        settings = KafkaSettings(self.address, QUICK)
        Topics(Connection(settings), Names(self.prefix)).create("account", PARTITIONS, 1)
        return KafkaStore(settings, index=self._folder / index, prefix=self.prefix)

    def make_anew(self) -> None:
        """Delete the topic of events, and make another one of that name."""
        self.store.close()
        topic = f"{self.prefix}account.events"
        self.admin.delete_topics([topic])[topic].result(SECONDS)
        until(lambda: topic not in self.admin.list_topics(timeout=SECONDS).topics)
        self.store = self.open("writer.db")

    def close(self) -> None:
        self.workers.__exit__()
        self.models.close()
        self.store.close()

    def members(self) -> list[set[int]]:
        """The partitions of each member of the group."""
        group = self.admin.describe_consumer_groups([self.group])[self.group].result(SECONDS)
        return [{it.partition for it in one.assignment.topic_partitions} for one in group.members]

    def is_shared(self, workers: int) -> bool:
        """Whether each of so many workers has its part of the partitions."""
        found = self.members()
        return [len(it) for it in found] == [PARTITIONS // workers] * workers

    def is_current(self) -> bool:
        return is_current(self.store, self.models)

    def is_ready(self) -> bool:
        return Runner(Ledger(), self.store, self.models).status().state == "ready"

    def handled(self) -> int:
        return handled(self.store, self.models) if self.models.exists() else 0

    def is_free(self) -> bool:
        """Whether others can write: into the read models, and into the workers' index."""
        index = sqlite3.connect(self._folder / "index.db", BRIEF, isolation_level=None)
        with closing(index), closing(ReadModels(self._models_url, timeout=BRIEF)) as models:
            try:
                index.executescript("BEGIN IMMEDIATE; ROLLBACK")
                with models.writing():
                    return True
            except (sqlite3.OperationalError, ReadModelBusy):
                return False

    def committed(self) -> dict[int, int]:
        """What the group has committed, by partition."""
        asked = [ConsumerGroupTopicPartitions(self.group)]
        found = self.admin.list_consumer_group_offsets(asked)[self.group].result(SECONDS)
        return {it.partition: it.offset for it in found.topic_partitions or []}

    def ends(self) -> dict[int, int]:
        """Where the partitions end for a reader of what is committed."""
        applied = self.store._view.applied
        return {part: end for (_, part), end in applied.items() if end}


@pytest.fixture(params=["sqlite", "postgresql"])
def models_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/read-models.db"
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture
def log(kafka_address: str, tmp_path: Path) -> Iterator[Log]:
    """With read models in SQLite."""
    log = Log(kafka_address, f"sqlite:///{tmp_path}/read-models.db", tmp_path)
    yield log
    log.close()


@pytest.fixture
def breakable(broker: Cluster, models_url: str, tmp_path: Path) -> Iterator[Log]:
    """On a broker that the test may restart; once for each kind of database."""
    log = Log(broker.bootstrap, models_url, tmp_path)
    yield log
    log.close()


def freeze_between_writes(worker: subprocess.Popen[str], log: Log) -> None:
    """Freeze it while it writes nothing: SQLite's lock stays with who is frozen in a write.

    1. The signal may arrive late, in the middle of a write: the freezing is waited for.
    2. Others wait for the lock and end when they have waited too long: it is looked for briefly.
    """

    def frozen_between_writes() -> bool:
        worker.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, worker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if log.is_free():
            return True
        worker.send_signal(signal.SIGCONT)
        return False

    until(frozen_between_writes)


@pytest.mark.torture
def test_whatever_dies_or_freezes_each_event_counts_once(breakable: Log, broker: Cluster) -> None:
    log = breakable
    fill(log.store, ACCOUNTS, rounds=20)
    with growing(log.store, ACCOUNTS):
        dying, frozen = log.workers.start(), log.workers.start()
        until(lambda: log.is_shared(2))
        before = log.handled()
        until(lambda: log.handled() > before)
        dying.kill()
        until(lambda: log.is_shared(1))  # the partitions of the dead one are the other's
        third = log.workers.start()
        until(lambda: log.is_shared(2))
        freeze_between_writes(frozen, log)
        until(lambda: log.is_shared(1))
        before = log.handled()
        until(lambda: log.handled() > before)
        frozen.send_signal(signal.SIGCONT)
        until(lambda: log.is_shared(2))
        broker.restart(1)
        before = log.handled()
        until(lambda: log.handled() > before)
    until(log.is_current)
    assert log.workers.end(frozen, third) == [0, 0]
    assert held(log.models) == folded(log.store)
    assert log.handled() == len(folded(log.store)["journal"])


def test_a_group_that_is_out_of_reach_is_told_by_the_status_until_it_is_back(
    broker: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_AGAIN", 0.2)
    monkeypatch.setattr(neighbours, "_TIMEOUT", 1.0)
    monkeypatch.setattr(follower, "_TELL", 0.2)
    log = Log(broker.bootstrap, f"sqlite:///{tmp_path}/read-models.db", tmp_path)
    runner, stop = Runner(Ledger(), log.store, log.models), threading.Event()
    fill(log.store, ACCOUNTS, rounds=1)

    def told() -> list[bool]:
        parts = runner.status().partitions
        return [part.worker is not None and "out of reach" in (part.error or "") for part in parts]

    with ThreadPoolExecutor(1) as threads, closing(log):
        future = threads.submit(runner.follow, stop)
        try:
            until(log.is_current)
            broker.pause(1)
            until(lambda: all(told()))
            broker.resume(1)
            until(lambda: not any(told()))
            assert not future.done()
        finally:
            broker.resume(1)
            stop.set()
            future.result(SECONDS)


def test_those_who_work_outside_the_group_are_no_danger(log: Log) -> None:
    """Two who take the same partitions for theirs, as one does who was frozen and goes on."""
    fill(log.store, ACCOUNTS, rounds=20)
    with growing(log.store, ACCOUNTS):
        worker = log.workers.start()
        until(lambda: log.is_shared(1))
        for _ in range(20):
            Runner(Ledger(), log.store, log.models).run()
    until(log.is_current)
    assert log.workers.end(worker) == [0]
    assert held(log.models) == folded(log.store)
    assert log.handled() == len(folded(log.store)["journal"])


def test_the_offsets_of_the_group_follow_the_checkpoint_to_the_end(log: Log) -> None:
    fill(log.store, ACCOUNTS, rounds=3)
    worker = log.workers.start()
    until(lambda: log.committed() == log.ends())
    assert log.workers.end(worker) == [0]
    assert (log.committed(), log.members()) == (log.ends(), [])


def test_a_worker_that_is_told_to_stop_hands_its_partitions_over_at_once(log: Log) -> None:
    leaving, staying = log.workers.start(), log.workers.start()
    until(lambda: log.is_shared(2))
    assert log.workers.end(leaving) == [0]
    until(lambda: log.is_shared(1), SESSION / 2)
    fill(log.store, ACCOUNTS, rounds=3)
    until(log.is_current)
    assert log.workers.end(staying) == [0]
    assert held(log.models) == folded(log.store)


def test_a_topic_that_was_made_anew_is_noticed_though_the_log_is_longer(log: Log) -> None:
    fill(log.store, ACCOUNTS, rounds=1)
    Runner(Ledger(), log.store, log.models).run()
    log.make_anew()
    fill(log.store, ACCOUNTS, rounds=5)
    runner = Runner(Ledger(), log.store, log.models)
    with pytest.raises(RebuildNeeded, match="was deleted and made anew since") as refused:
        runner.run()
    status = runner.status()
    assert status.state == "outdated"
    assert str(refused.value) in {part.error for part in status.partitions}
    runner.rebuild()
    assert runner.status().state == "ready"
    assert held(log.models) == folded(log.store)


def test_a_checkpoint_beyond_the_end_of_the_log_is_told_by_the_status(log: Log) -> None:
    fill(log.store, ACCOUNTS, rounds=1)
    runner = Runner(Ledger(), log.store, log.models)
    runner.run()
    assert runner.status().state == "ready"
    with log.models.writing() as connection:
        connection.execute(text('UPDATE eventkit_checkpoints SET "offset" = 1600'))
    status = runner.status()
    assert status.state == "outdated"
    (error,) = {part.error for part in status.partitions} - {None}
    assert "its checkpoint is at 1,600 and the log of this store ends at" in str(error)


class Mails(Ledger):
    """With an effect; it has come this far, and knows the owners that it wrote to."""

    name = "mails"

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    @effect(Deposited)
    def mailed(self, recorded: RecordedEvent) -> None:
        self.sent.append((recorded.aggregate_id, recorded.version))


def test_effects_begin_at_the_end_of_a_log_made_anew_and_skip_nothing_after(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    mails = Mails()
    Runner(mails, log.store, log.models).run()
    fill(log.store, ACCOUNTS, rounds=20)
    Runner(mails, log.store, log.models).run()
    assert len(mails.sent) == 20 * ACCOUNTS
    log.make_anew()
    fill(log.store, ACCOUNTS, rounds=1)
    Runner(mails, log.store, log.models).rebuild()
    Runner(mails, log.store, log.models).run()
    assert len(mails.sent) == 20 * ACCOUNTS
    assert "is another log than before" in caplog.text
    log.store.append("account-0", [Deposited(amount=1)])
    Runner(mails, log.store, log.models).run()
    assert mails.sent[20 * ACCOUNTS :] == [("account-0", 4)]
