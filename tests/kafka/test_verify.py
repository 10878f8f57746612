"""`eventkit verify` on a broker: each kind of damage is told, a healthy log has none."""

import shutil
import sqlite3
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from eventkit import Append, Repository
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records, part_of_all
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import Parcel, ParcelSent, VanLoaded, moves
from tests.kafka.clients import SECONDS, at
from tests.kafka.conftest import PARTITIONS
from tests.kafka.test_cli_topics import expire
from tests.kafka.verify_kit import APP, MOVED, Damaged, run

Open = Callable[[], KafkaStore]


@pytest.fixture
def log(
    kafka_address: str, names: Names, producer: Producer, open_kafka: Open, tmp_path: Path
) -> Damaged:
    """A healthy log: ten parcels with snapshots, an append of three events, an `append_all`."""
    with open_kafka() as store:
        for number in range(10):
            store.append(f"parcel-{number}", [ParcelSent(to="x"), *moves("a", "b")])
        store.append("van-1", [VanLoaded(parcels=[])])
        store.append_all(
            [Append("van-1", [VanLoaded(parcels=["parcel-1"])]), Append("parcel-1", moves("van"))]
        )
        repository = Repository(store, Parcel, snapshot_every=1)
        for number in range(10):
            repository.get(f"parcel-{number}")
    return Damaged(kafka_address, names, tmp_path / "index.db", producer)


def test_a_healthy_log_gives_no_finding(log: Damaged) -> None:
    told = log.verify("--index", str(log.index_file), "--snapshots", "all")
    assert (told.code, told.out) == (0, "")
    assert told.err == "33 events read, 0 finding(s)\n"
    table = run("--store", log.url, "verify")
    assert (table.code, table.out, table.err) == (0, "33 events read, 0 finding(s)\n", "")


def test_what_the_rule_rejects_is_told_with_its_place(log: Damaged) -> None:
    topic, part = log.place_of("parcel-1")
    twice = log.write("parcel-1", 4)
    gap = log.write("parcel-1", 7)
    told = log.verify()
    assert told.code == 1
    assert [(it["kind"], it["topic"], it["partition"], it["offset"]) for it in told.lines] == [
        ("double", topic, part, twice),
        ("gap", topic, part, gap),
    ]
    assert {it["aggregate_id"] for it in told.lines} == {"parcel-1"}
    assert "version 4 was rejected: it begins at version 4, the aggregate is at 4" in told.out
    assert "parcel-1" in run("--store", log.url, "verify").out


def test_an_event_id_that_is_there_twice_is_told(log: Damaged) -> None:
    event_id = uuid.uuid4()
    first = log.write("parcel-2", 4, event_id=event_id)
    log.write("parcel-2", 5, event_id=event_id)
    (found,) = log.verify().lines
    assert (found["kind"], found["offset"], found["records"]) == ("event-id", first, 2)
    assert str(event_id) in found["problem"]


def test_an_append_that_is_not_whole_is_told(log: Damaged) -> None:
    log.write("parcel-2", 4, bodies=[MOVED] * 3, parts=slice(2))
    told = log.verify()
    assert told.kinds == ["gap", "gap"]
    assert all("the append is not whole" in it["problem"] for it in told.lines)


def test_a_record_in_the_wrong_partition_is_told(log: Damaged) -> None:
    topic, part = log.place_of("parcel-new")
    log.write("parcel-new", 1, place=(topic, 1 - part))
    assert "does not belong to this partition" in log.verify().lines[0]["problem"]


def test_records_that_are_none_of_ours_are_told_and_those_of_a_sweep_are_not(
    log: Damaged,
) -> None:
    topic, part = log.place_of("parcel-1")
    sweep = [("ce_append", b"-"), ("ce_aggregateversion", b"-"), ("ce_writer", b"w")]
    log.raw(topic, part, b"-", b"", sweep)
    assert log.verify().code == 0
    found = [
        log.raw(topic, part, b"-", b"no sweep"),
        log.raw(topic, part, None, None),
        log.raw(topic, part, b"parcel-1", b"{}", [("ce_append", b"x"), ("\udcff", b"")][:1]),
    ]
    told = log.verify()
    assert told.kinds == ["stranger"] * 3
    assert [it["offset"] for it in told.lines] == found


def test_a_missing_part_of_an_append_all_is_told(log: Damaged) -> None:
    offset = log.write("parcel-3", 4, whole=("all", 0, 3))
    log.write("van-3", 1, whole=("all", 2, 3), event_type="ParcelMoved")
    log.write("parcel-4", 4, whole=("fine", 0, 2))
    log.write("van-4", 1, whole=("fine", 1, 2))
    told = log.verify()
    assert told.kinds == ["torn"]
    assert told.lines[0]["offset"] == offset
    assert "took effect for parcel-3, van-3, and without part 1 of 3" in told.out


def test_a_part_that_was_rejected_is_missing(log: Damaged) -> None:
    log.write("parcel-3", 4, whole=("all", 0, 2))
    log.write("van-1", 1, whole=("all", 1, 2))
    assert sorted(log.verify().kinds) == ["double", "torn"]


def test_a_transaction_that_is_half_decided_at_the_end_is_waited_for(log: Damaged) -> None:
    """The end of the log lies inside an append that is committed, and behind it all is well."""
    topic, part = log.place_of("parcel-5")
    slow, other = transaction(log), transaction(log)
    new = new_records("parcel-5", [(uuid.uuid4(), "ParcelMoved", MOVED) for _ in range(2)], 0)
    new = part_of_all(new, "all", 0, 2)
    first, second = framed(new, "long", 4, "slow")
    slow.produce(topic, new[0].value, new[0].key, part, headers=list(first))
    slow.flush(SECONDS)
    for number in range(PARTITIONS):
        other.produce(topic, b"", b"parcel-5", number)
        other.produce(log.names.events("van"), b"", b"parcel-5", number)
    other.flush(SECONDS)
    slow.produce(topic, new[1].value, new[1].key, part, headers=list(second))
    van = new_records("van-5", [(uuid.uuid4(), "ParcelMoved", MOVED)], 0)
    van = part_of_all(van, "all", 1, 2)
    (third,) = framed(van, "longer", 1, "slow")
    slow.produce(
        *log.place_of("van-5")[:1],
        van[0].value,
        van[0].key,
        log.place_of("van-5")[1],
        headers=list(third),
    )
    slow.commit_transaction(SECONDS)
    late = threading.Timer(1.0, other.abort_transaction)
    late.start()
    told = log.verify()
    late.join()
    assert (told.code, told.out) == (0, "")
    assert told.err == "35 events read, 0 finding(s)\n"


def test_a_transaction_that_stays_open_is_no_finding_and_is_named(
    log: Damaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.kafka.checking.verifying._DECIDED", 0.3)
    log.write("parcel-3", 4, whole=("all", 0, 2))
    hanging = transaction(log)
    hanging.produce(log.names.events("van"), b"", b"van-1", 0)
    hanging.flush(SECONDS)
    told = log.verify()
    hanging.abort_transaction(SECONDS)
    assert (told.code, told.out) == (0, "")
    assert "stays open" in told.err
    assert log.verify().kinds == ["torn"]


def transaction(log: Damaged) -> Producer:
    """A producer with an open transaction."""
    it = Producer(dict(at(log.address)) | {"transactional.id": f"test-{uuid.uuid4()}"})
    it.init_transactions(SECONDS)
    it.begin_transaction()
    return it


def test_types_that_no_class_reads_are_told_once_each_where_there_is_an_app(log: Damaged) -> None:
    for number in range(4):
        log.write("parcel-7", 4 + number, event_type="ParcelEaten")
    assert log.verify(app=False).code == 0
    told = log.verify()
    assert [(it["kind"], it["records"]) for it in told.lines] == [("type", 4)]
    assert "no event class reads the recorded type 'ParcelEaten'" in told.out


def test_bodies_that_cannot_be_read_are_told(log: Damaged) -> None:
    unknown = MOVED[:2] + bytes(8) + MOVED[10:]
    log.write("parcel-7", 4, bodies=[unknown, unknown])
    cut = log.write("parcel-7", 6, bodies=[MOVED[:-3]])
    none = log.write("parcel-7", 7, bodies=[b"{}"])
    for app in (True, False):
        told = log.verify(app=app)
        assert told.kinds == ["body", "body", "schema"]
        assert [it["offset"] for it in told.lines[:2]] == [cut, none]
        assert told.lines[2]["records"] == 2
        assert "0000000000000000, which the store does not hold" in told.lines[2]["problem"]


def test_a_topic_that_loses_history_is_told_with_what_is_in_it(log: Damaged) -> None:
    expire(log.address, log.names.events("van"))
    log.write("parcel-1", 4)
    told = log.verify()
    assert told.kinds == ["topic", "double"]
    assert "retention.ms=-1" in told.lines[0]["fix"]


def test_a_log_whose_beginning_is_gone_is_told(log: Damaged, cluster: Cluster) -> None:
    topic, part = log.place_of("parcel-1")
    gone = cluster.admin.delete_records([TopicPartition(topic, part, 3)])
    for answer in gone.values():
        answer.result(SECONDS)
    told = log.verify("--snapshots", "0")
    assert told.kinds == ["lost"]
    assert "its first 3 offsets are gone" in told.out
    assert "appends over several aggregates were not checked" in told.err


def snapshot_that_lies(log: Damaged) -> None:
    """Copy the newest snapshot of parcel-1 with another state."""
    with sqlite3.connect(log.index_file) as index:
        (state,) = index.execute(
            "SELECT state FROM snapshots WHERE aggregate_id = 'parcel-1'"
        ).fetchone()
    topic = log.names.snapshots("parcel")
    part = log.place_of("parcel-1")[1]
    consumer = Consumer(dict(at(log.address)) | {"group.id": "x", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, part, 0)])
    value = b""
    while not value:
        message = consumer.poll(SECONDS)
        assert message is not None
        if message.key() == b"parcel-1" and state in (message.value() or b""):
            value = message.value() or b""
    consumer.close()
    log.raw(topic, part, b"parcel-1", None)  # else one that is no newer changes nothing
    log.raw(topic, part, b"parcel-1", value.replace(state, state.replace(b"van", b"vat")))


def test_a_snapshot_that_differs_from_a_replay_is_told(log: Damaged) -> None:
    snapshot_that_lies(log)
    assert log.verify(app=False).code == log.verify("--snapshots", "0").code == 0
    told = log.verify("--snapshots", "all")
    assert told.kinds == ["snapshot"]
    assert told.lines[0]["aggregate_id"] == "parcel-1"
    assert "the snapshot of version 4 differs from a replay in places" in told.out


DIFFERENCES = [
    ("DELETE FROM events WHERE aggregate_id = 'parcel-1' AND version = 2", "it lacks an event"),
    ("UPDATE events SET event_type = 'X' WHERE aggregate_id = 'van-1'", "another event"),
    ("UPDATE events SET data = x'00' WHERE aggregate_id = 'van-1'", "another event"),
    (
        "INSERT INTO events SELECT min(position) + 1, x'01', 'van-9', 1, event_type, timestamp,"  # noqa: ISC004
        " workspace_id, metadata, data FROM events WHERE aggregate_id = 'van-1'",
        "it holds an event that never took effect",
    ),
    ("UPDATE partitions SET decided = 1000, resume = 1000", "the log was cut off"),
    ("UPDATE log SET cluster = 'other'", "the index of another log"),
]


def test_an_index_that_differs_from_the_log_is_told(log: Damaged, tmp_path: Path) -> None:
    for number, (statement, problem) in enumerate(DIFFERENCES):
        copy = tmp_path / f"copy{number}.db"
        shutil.copy(log.index_file, copy)
        index = sqlite3.connect(copy)
        with index:
            assert index.execute(statement).rowcount > 0
        index.close()
        told = log.verify("--index", str(copy))
        assert (told.code, set(told.kinds)) == (1, {"index"}), statement
        assert problem in told.lines[0]["problem"]
        assert f"rm {copy}*" in told.lines[0]["fix"]


def test_an_index_that_is_behind_is_no_finding(log: Damaged, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(log.index_file, copy)
    log.write("parcel-8", 4, bodies=[MOVED] * 2)
    assert log.verify("--index", str(copy)).code == 0


def test_wrong_usage_and_stores_that_cannot_be_used_are_told(log: Damaged) -> None:
    assert log.verify("--snapshots", "many").code == 2
    assert log.verify("--index", "nosuch.db").code == 2
    nothing = run(*APP, "--store", log.url.replace("prefix=", "prefix=no"), "verify")
    assert (nothing.code, "topics create" in nothing.err) == (3, True)
