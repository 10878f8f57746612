"""Damage in the index or in the log: rows park, records that are none of ours stop nobody."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Producer

from eventkit.kafka.direct import DirectStore
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.projection import DeadLetters, ReadModels, Runner
from tests.kafka.conftest import QUICK
from tests.kafka.ledger import folded, held
from tests.kafka.test_dead_letters import POISONED, Everything, models, store, without
from tests.kafka.worker_kit import fill
from tests.projection.accounts import Closed, Deposited, Opened, Withdrawn
from tests.projection.test_parking import letters

__all__ = ["models", "store"]

CLASSES = (Opened, Deposited, Withdrawn, Closed)
HALF_TEXT = "metadata = CAST(x'7b22ff' AS TEXT)"
DAMAGE = f"data = CAST(data || x'00' AS BLOB), event_id = x'00', {HALF_TEXT}"


@pytest.fixture(params=["index", "none"])
def reading(
    request: pytest.FixtureRequest, store: KafkaStore, kafka_address: str
) -> Iterator[tuple[KafkaStore | DirectStore, Path]]:
    """A store that has an index file or makes one for itself, and that file."""
    if request.param == "index":
        yield store, store._path
        return
    settings = KafkaSettings(kafka_address, QUICK)
    with DirectStore(settings, prefix=store._names.prefix) as direct:
        direct.types.bind_all(CLASSES)  # other tests have classes of the same names
        yield direct, direct._with_index()._path


def test_a_row_of_the_index_that_is_damaged_waits_with_its_aggregate(
    store: KafkaStore, reading: tuple[KafkaStore | DirectStore, Path], models: ReadModels
) -> None:
    direct, index = reading
    fill(store, accounts=5, rounds=2)
    direct.wait(store.append(POISONED, [Deposited(amount=7)]).position, 30)
    (bad,) = store.get_events(POISONED, 4, 4)
    whole = folded(store)
    change = f"UPDATE events SET {DAMAGE} WHERE aggregate_id = ? AND version = 4"  # noqa: S608
    with closing(sqlite3.connect(index, timeout=30)) as connection:
        assert connection.execute(change, (POISONED,)).rowcount == 1
        connection.commit()
    runner = Runner(Everything(), direct, models)
    runner.run()
    assert (runner.status().lag, runner.status().parked) == (0, 3)
    first, *behind = letters(models)
    assert (first.aggregate_id, first.aggregate_version, first.position, first.event_id) == (
        POISONED, 4, bad.position, None,
    )  # fmt: skip
    assert "the row is damaged" in (first.error or "")
    assert [it.state for it in behind] == ["waiting"] * 2
    assert without(held(models)["accounts"]) == without(whole["accounts"])
    dead_letters = DeadLetters(Everything(), direct, models)
    assert dead_letters.retry().applied == 0
    assert dead_letters.discard(first.number, "lost") == (2, (), 0)
    assert [it for it in whole["journal"] if it not in held(models)["journal"]] == [
        (POISONED, 4, bad.position.partition, bad.position.offset)
    ]


def test_a_record_with_damaged_headers_is_no_event_for_any_reader_and_stops_no_worker(
    store: KafkaStore, models: ReadModels, kafka_address: str
) -> None:
    """The rule of the log judges a record before anybody reads it: there is nothing to park."""
    fill(store, accounts=3, rounds=1)
    (last,) = store.get_events("account-1", 3, 3)
    new = new_records("account-1", [(uuid.uuid4(), "Deposited", b"")], 0)
    ((*headers,),) = framed(new, uuid.uuid4().hex, 4, "rogue")
    broken: list[tuple[str, str | bytes | None]]
    broken = [(name, b"no id" if name == "ce_id" else value) for name, value in headers]
    producer = Producer({"bootstrap.servers": kafka_address})
    topic, partition, _ = last.position
    producer.produce(topic, b"no body", b"account-1", partition, headers=broken)
    assert producer.flush(30) == 0
    after = store.append("account-1", [Deposited(amount=5)])
    assert after.version == 4
    settings = KafkaSettings(kafka_address, QUICK)
    with DirectStore(settings, prefix=store._names.prefix) as direct:
        direct.types.bind_all(CLASSES)  # other tests have classes of the same names
        assert [it.version for it in direct.get_events("account-1")] == [1, 2, 3, 4]
        runner = Runner(Everything(), direct, models)
        runner.run()
        assert (runner.status().lag, letters(models)) == (0, [])
    assert held(models) == folded(store)
