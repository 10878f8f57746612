"""A poison event on Kafka: its aggregate waits in order, all others flow, a retry makes it good."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit import Event, RecordedEvent
from eventkit.events import EventTypes
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from eventkit.projection import DeadLetters, ReadModels, Runner, Transaction, effect, on
from eventkit.projection import failures as failing
from tests.kafka.conftest import QUICK
from tests.kafka.ledger import Ledger, folded, held
from tests.kafka.worker_kit import fill
from tests.projection.accounts import Closed, Deposited, Opened, Withdrawn
from tests.projection.following import following, until
from tests.projection.test_parking import letters

POISONED = "account-3"


@pytest.fixture
def store(kafka_address: str, cluster: Cluster, tmp_path: Path) -> Iterator[KafkaStore]:
    prefix = f"{uuid.uuid4().hex}."
    Topics(cluster, Names(prefix)).create("account", 2, 1)
    settings = KafkaSettings(kafka_address, QUICK)
    with KafkaStore(settings, index=tmp_path / "index.db", prefix=prefix) as store:
        yield store


@pytest.fixture(params=["sqlite", "postgresql"])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReadModels]:
    url = f"sqlite:///{tmp_path}/read-models.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("database")
    with ReadModels(url) as models:
        yield models


class Poisoned(Ledger):
    """Fails at one event until it is mended; notes the mails that go out."""

    on_failure = "park"

    def __init__(self) -> None:
        self.mended = False
        self.mailed: list[tuple[str, int]] = []

    def note(self, recorded: RecordedEvent, tx: Transaction) -> None:
        super().note(recorded, tx)
        if not self.mended and (recorded.aggregate_id, recorded.version) == (POISONED, 4):
            raise ValueError("no such account")

    @effect(Deposited)
    def mail(self, recorded: RecordedEvent) -> None:
        self.mailed.append((recorded.aggregate_id, recorded.version))


def test_a_poison_event_waits_with_its_aggregate_until_a_retry_applies_them_in_order(
    store: KafkaStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "_PAUSES", (0.01, 0.01))
    projection = Poisoned()
    runner = Runner(projection, store, models)
    fill(store, accounts=8, rounds=3)
    with following(runner):
        until(lambda: models.exists() and runner.status().lag == 0)
        last = store.append(POISONED, [Deposited(amount=7)])
        other = store.append("account-4", [Deposited(amount=7)])
        until(lambda: runner.status().lag == 0 and runner.status().parked == 5 + 1)

        effects = [it for it in letters(models) if it.kind == "effect"]
        assert [(it.aggregate_version, it.state) for it in effects] == [(last.version, "waiting")]
        waiting = [it for it in letters(models) if it.kind == "handler"]
        assert [(it.aggregate_id, it.aggregate_version) for it in waiting] == [
            (POISONED, version) for version in range(4, last.version + 1)
        ]
        assert [it.state for it in waiting] == ["failed", *["waiting"] * 4]
        now, whole = held(models), folded(store)
        for table in ("accounts", "journal"):
            assert without(now[table]) == without(whole[table])

        projection.mended = True
        done = DeadLetters(projection, store, models).retry()
        assert done == (5 + 1, (), 0)
        assert held(models) == whole
        after = store.append(POISONED, [Deposited(amount=8)])
        until(lambda: runner.status().lag == 0)
        until(lambda: (POISONED, after.version) in projection.mailed)
        assert held(models) == folded(store)
    mailed = [(POISONED, last.version), ("account-4", other.version), (POISONED, after.version)]
    assert sorted(projection.mailed) == sorted(mailed)

    before = held(models)
    runner.rebuild()
    assert held(models) == before
    assert letters(models) == []
    assert len(projection.mailed) == 3


class Everything(Ledger):
    """Asks for all types there are, so also for one whose class is missing."""

    on_failure = "park"

    @on(Event)
    def any(self, recorded: RecordedEvent, tx: Transaction) -> None:
        """Nothing more to do."""


def test_an_event_without_a_class_waits_with_its_aggregate_until_the_class_is_there(
    store: KafkaStore, models: ReadModels, kafka_address: str, tmp_path: Path
) -> None:
    fill(store, accounts=3, rounds=1)
    store.append(POISONED, [Opened(owner="x"), Closed(), Deposited(amount=3)])
    types = EventTypes()
    types.bind_all([Opened, Deposited, Withdrawn])
    settings = KafkaSettings(kafka_address, QUICK)
    prefix, index = store._names.prefix, tmp_path / "index.db"
    with KafkaStore(settings, index=index, prefix=prefix, types=types) as narrow:
        runner = Runner(Everything(), narrow, models)
        with following(runner):
            until(lambda: models.exists() and runner.status().lag == 0)
            last = store.append(POISONED, [Deposited(amount=4)])
            until(lambda: runner.status().parked == 3)
        found = [(it.aggregate_version, it.state, it.event_type) for it in letters(models)]
        assert found == [
            (2, "failed", "Closed"), (3, "waiting", "Deposited"), (4, "waiting", "Deposited"),
        ]  # fmt: skip
        assert letters(models)[-1].position == last.position
        assert without(held(models)["accounts"]) == without(folded(store)["accounts"])
        assert DeadLetters(Everything(), narrow, models).retry().applied == 0
    assert DeadLetters(Everything(), store, models).retry() == (3, (), 0)
    whole = folded(store)
    assert held(models)["accounts"] == whole["accounts"]


def without(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The rows of all other accounts."""
    return [row for row in rows if row[0] != POISONED]
