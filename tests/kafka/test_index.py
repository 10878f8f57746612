"""The index is a copy of the log that can be lost, damaged or left half-made at any time."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from eventkit.errors import NotAnEventStore
from eventkit.events import Position
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import CatchUp, KafkaStore
from eventkit.sqlite import SqliteStore
from eventkit.store import Append
from tests.contract.domain import moves, places, versions
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import QUICK
from tests.threads import refuse

Open = Callable[[], KafkaStore]
Log = list[tuple[str, int, Position]]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def history(kafka_address: str, names: Names, tmp_path: Path) -> Log:
    """A log of 64 events that no index was made of yet."""
    settings = KafkaSettings(kafka_address, QUICK)
    with KafkaStore(settings, index=tmp_path / "writer.db", prefix=names.prefix) as store:
        appends = [Append(f"parcel-{it % 5}", moves(*"ab")) for it in range(16)]
        appends += [Append(f"van-{it % 3}", moves(*"ab")) for it in range(16)]
        store.append_each(appends)
        return log_of(store)


def log_of(store: KafkaStore) -> Log:
    return [(it.aggregate_id, it.version, it.position) for it in store.replay()]


def follows(store: KafkaStore) -> bool:
    return store._following.is_follower


def test_a_lost_index_is_built_again(open_kafka: Open, history: Log, index: Path) -> None:
    for _ in range(2):
        with open_kafka() as store:
            assert log_of(store) == history
        index.unlink()


@pytest.mark.parametrize("damage", ["not a database" * 100, ""], ids=["beginning", "all"])
def test_an_index_whose_file_is_damaged_is_built_again(
    open_kafka: Open, history: Log, index: Path, damage: str
) -> None:
    open_kafka().close()
    index.write_text(damage)
    with open_kafka() as store:
        assert log_of(store) == history


def test_an_index_of_another_log_is_built_again(
    open_kafka: Open, history: Log, index: Path
) -> None:
    open_kafka().close()
    with sqlite3.connect(index) as connection:
        connection.execute("UPDATE topics SET id = 'of another topic of the same name'")
        connection.execute("UPDATE events SET version = version + 1000")
    connection.close()
    with open_kafka() as store:
        assert log_of(store) == history


def test_a_file_of_another_program_is_no_index_and_stays_as_it_is(
    open_kafka: Open, index: Path
) -> None:
    with SqliteStore(index) as other:
        other.append("parcel-1", moves("a"))
    before = index.read_bytes()
    with pytest.raises(NotAnEventStore, match="choose another file name"):
        open_kafka()
    assert index.read_bytes() == before


def test_an_index_goes_on_where_it_was(open_kafka: Open, history: Log) -> None:
    with open_kafka() as store:
        store.append("parcel-9", moves("a"))
    with open_kafka() as store:
        assert len(log_of(store)) == len(history) + 1


def test_a_follower_killed_at_any_statement_leaves_an_index_that_goes_on(
    open_kafka: Open, history: Log, index: Path, kafka_address: str, names: Names
) -> None:
    command = [sys.executable, "-m", "tests.kafka.dying_follower"]
    arguments = [kafka_address, names.prefix, str(index)]
    for statement in (1, 5, 14, 22, 38, 45, 55, 57, 62):
        done = subprocess.run([*command, *arguments, str(statement)], check=False, timeout=SECONDS)
        assert done.returncode == -signal.SIGKILL
    with open_kafka() as store:
        assert log_of(store) == history


def test_records_that_break_the_rule_are_in_no_index(open_kafka: Open, kafka_address: str) -> None:
    with open_kafka() as store:
        done = store.append("parcel-1", moves("a"))
        (kept,) = store.get_events("parcel-1")
        topic, part, _ = done.position
        producer = Producer({"bootstrap.servers": kafka_address})
        body = store.codec.encode(kept.event)
        (new,) = new_records("parcel-1", [(kept.event_id, "ParcelMoved", body)], 0)
        for version in (1, 3):
            (headers,) = framed([new], f"rogue{version}", version, "rogue")
            producer.produce(topic, new.value, new.key, part, headers=list(headers))
        producer.produce(topic, b"noise", b"parcel-1", part)
        producer.flush(SECONDS)
        assert store.append("parcel-1", moves("b"), expected_version=1).version == 2
        assert places(store.get_events("parcel-1")) == ["a", "b"]
    with open_kafka() as store:
        assert places(store.replay()) == ["a", "b"]


def test_another_store_takes_over_when_the_follower_closes(open_kafka: Open) -> None:
    follower, other = open_kafka(), open_kafka()
    with other:
        other.append("parcel-1", moves("a"))
        follower.close()
        other.append("parcel-1", moves("b"), expected_version=1)
        assert versions(other.get_events("parcel-1")) == [1, 2]


@pytest.fixture
def other_process(kafka_address: str, names: Names, index: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open, and follows the log into the index."""
    command = [sys.executable, "-m", "tests.kafka.holding_follower"]
    with subprocess.Popen(
        [*command, kafka_address, names.prefix, str(index)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_another_process_takes_over_when_the_follower_is_killed(
    open_kafka: Open, other_process: subprocess.Popen[str]
) -> None:
    with open_kafka() as store:
        store.append("parcel-1", moves("a"))
        assert not follows(store)
        other_process.kill()
        store.append("parcel-1", moves("b"), expected_version=1)
        assert follows(store)
        assert versions(store.get_events("parcel-1")) == [1, 2]


def test_another_process_takes_over_when_the_follower_is_frozen(
    open_kafka: Open, other_process: subprocess.Popen[str]
) -> None:
    with open_kafka() as store:
        other_process.send_signal(signal.SIGSTOP)
        store.append("parcel-1", moves("a"))
        assert follows(store)
        other_process.send_signal(signal.SIGCONT)
        store.append("parcel-1", moves("b"), expected_version=1)
        other_process.communicate()
        assert other_process.returncode == 0
        store.append("parcel-1", moves("c"), expected_version=2)
        assert versions(store.get_events("parcel-1")) == [1, 2, 3]


def test_an_event_that_another_index_holds_can_be_waited_for(
    open_kafka: Open, kafka_address: str, names: Names, tmp_path: Path
) -> None:
    settings = KafkaSettings(kafka_address, QUICK)
    elsewhere = KafkaStore(settings, index=tmp_path / "elsewhere.db", prefix=names.prefix)
    with open_kafka() as store, elsewhere:
        for version in range(1, 10):
            done = store.append("parcel-1", moves("a"))
            elsewhere.wait(done.position)
            assert len(elsewhere.get_events("parcel-1")) == version


@pytest.mark.parametrize("name", ["follower", "proposals", "helper", "writer"])
def test_a_store_that_does_not_get_all_its_threads_leaves_none_behind(
    open_kafka: Open, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = set(threading.enumerate())
    refuse(monkeypatch, f"eventkit {name}")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        open_kafka()
    assert set(threading.enumerate()) <= before
    with open_kafka() as store:
        assert store.append("parcel-1", moves("a")).version == 1
        assert follows(store)


def test_a_store_without_an_index_file_keeps_one_while_it_is_open(
    history: Log, kafka_address: str, names: Names
) -> None:
    reports: list[CatchUp] = []
    settings = KafkaSettings(kafka_address, QUICK)
    store = KafkaStore(settings, prefix=names.prefix, on_catch_up=reports.append)
    with store:
        assert log_of(store) == history
        folder = store._path.parent
        assert folder.exists()
    assert not folder.exists()
    assert reports[-1].done == reports[-1].total >= len(history)
