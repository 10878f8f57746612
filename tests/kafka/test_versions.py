"""Versions of a read model beside each other, and resets, with a log of several partitions."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit import Position
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from eventkit.projection import ReadModels, Runner, Versions
from tests.kafka.conftest import QUICK
from tests.kafka.ledger import Ledger, folded, held
from tests.kafka.worker_kit import fill
from tests.projection.accounts import Deposited


@pytest.fixture
def store(kafka_address: str, cluster: Cluster, tmp_path: Path) -> Iterator[KafkaStore]:
    prefix = f"{uuid.uuid4().hex}."
    Topics(cluster, Names(prefix)).create("account", 3, 1)
    settings = KafkaSettings(kafka_address, QUICK)
    with KafkaStore(settings, index=tmp_path / "index.db", prefix=prefix) as store:
        fill(store, 12, 4)
        yield store


@pytest.fixture
def models(tmp_path: Path) -> Iterator[ReadModels]:
    with ReadModels(f"sqlite:///{tmp_path}/read-models.db") as models:
        yield models


class Ledger2(Ledger):
    version = 2


def test_a_version_is_built_beside_compared_and_switched_to(
    store: KafkaStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    Runner(Ledger2(), store, models).rebuild_beside()
    versions = Versions("ledger", models)
    found = versions.diff()
    assert (found.equal, found.same_place, len(found.at)) == (True, True, 3)
    versions.switch()
    store.append("account-1", [Deposited(amount=7)])
    assert Runner(Ledger2(), store, models).run() == 1
    assert held(models) == folded(store)
    assert versions.rollback().behind > 0
    assert Runner(Ledger(), store, models).run() == 1
    assert held(models) == folded(store)


def test_a_reset_puts_each_partition_to_its_place(store: KafkaStore, models: ReadModels) -> None:
    runner = Runner(Ledger(), store, models)
    runner.run()
    whole = held(models)
    events = [it for it in store.replay() if it.position.partition == 0]
    place = events[len(events) // 2].position
    runner.reset([place])
    status = {it.partition: it for it in runner.status().partitions}
    assert [status[number].lag > 0 for number in range(3)] == [True, False, False]
    runner.reset(events[-1].metadata.timestamp)
    runner.run()
    assert held(models) == whole
    runner.reset([Position(place.topic, 0, 0)])
    runner.run()
    assert held(models) == whole
