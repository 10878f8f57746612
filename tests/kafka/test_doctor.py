"""`eventkit doctor` on brokers: what is not as it should be is told with what mends it."""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from tests.contract.domain import moves
from tests.kafka.clients import SECONDS, at
from tests.kafka.permissions import Acls, permissions
from tests.kafka.test_cli_topics import expire
from tests.kafka.verify_kit import Told, run
from tools.broker.cluster import Cluster as Broker


@pytest.fixture
def url(kafka_address: str, cluster: Cluster) -> str:
    """A log that is as it should be."""
    prefix = f"{uuid.uuid4().hex}."
    Topics(cluster, Names(prefix)).create("parcel", 2, 1)
    return f"kafka://{kafka_address}?prefix={prefix}"


def prefix_of(url: str) -> str:
    return url.partition("prefix=")[2]


def doctor(url: str, *arguments: str) -> Told:
    return run("--store", url, "doctor", "--json", *arguments)


def wrong(told: Told) -> list[dict[str, Any]]:
    return [it for it in told.lines if it["state"] != "ok"]


def test_a_sound_log_gives_no_finding(url: str, kafka_address: str, tmp_path: Path) -> None:
    topic = f"{prefix_of(url)}parcel.events"
    before = ends(kafka_address, topic)
    told = doctor(url, "--index", str(tmp_path / "index.db"))
    assert (told.code, wrong(told)) == (0, [])
    looked_at = " ".join(it["what"] for it in told.lines)
    for what in ("broker 1", "client", "topic", "replicas", "clocks", "permission for trans",
                 "transactions", "index", "disk space"):  # fmt: skip
        assert what in looked_at
    assert ends(kafka_address, topic) == before == [0, 0]
    assert not (tmp_path / "index.db").exists()
    assert "2 partition(s), as recorded" in told.out


def ends(address: str, topic: str) -> list[int]:
    from eventkit.kafka.ends import Ends  # noqa: PLC0415

    found = Ends(Cluster(KafkaSettings(address)))([(topic, 0), (topic, 1)], committed=False)
    return [found[topic, part] for part in (0, 1)]


def test_a_topic_that_loses_history_cannot_be_used(url: str, kafka_address: str) -> None:
    expire(kafka_address, f"{prefix_of(url)}parcel.events")
    told = doctor(url)
    assert told.code == 3
    assert [it["what"] for it in wrong(told)] == [f"topic {prefix_of(url)}parcel.events"]
    assert "retention.ms=-1" in wrong(told)[0]["fix"]


def test_a_transaction_that_stays_open_is_told_with_its_place(
    url: str, kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.kafka.checking.stalled._WATCHED", 0.5)
    topic, writer = f"{prefix_of(url)}parcel.events", f"eventkit-{uuid.uuid4()}"
    hanging = Producer(dict(at(kafka_address)) | {"transactional.id": writer})
    hanging.init_transactions(SECONDS)
    hanging.begin_transaction()
    headers: Any = [("ce_append", b"a.0.1"), ("ce_aggregateversion", b"1"), ("ce_writer", writer)]
    hanging.produce(topic, b"", b"parcel-1", 1, headers=headers)
    hanging.flush(SECONDS)
    told = doctor(url)
    monkeypatch.setattr("eventkit.kafka.checking.checkup._FOREVER", 0.0)
    long = doctor(url)
    hanging.abort_transaction(SECONDS)
    assert (told.code, long.code) == (1, 1)
    (found,) = wrong(told)
    assert (found["state"], found["what"]) == ("warning", f"transactions in {topic}/1")
    assert writer in found["told"]
    assert f"abort --topic {topic} --partition 1 --start-offset 0" in found["fix"]
    assert wrong(long)[0]["state"] == "problem"
    assert doctor(url).code == 0


def test_an_address_that_does_not_answer_is_told(url: str, kafka_address: str) -> None:
    told = doctor(url.replace(kafka_address, f"{kafka_address},127.0.0.1:1"))
    assert told.code == 1
    assert [it["what"] for it in wrong(told)] == ["bootstrap address 127.0.0.1:1"]
    assert "refused" in wrong(told)[0]["told"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nosuch.invalid:9092"])
def test_without_a_broker_the_store_cannot_be_used(address: str) -> None:
    told = doctor(f"kafka://{address}")
    assert told.code == 3
    assert [it["what"] for it in wrong(told)] == ["brokers"]


def test_without_topics_the_store_cannot_be_used(kafka_address: str) -> None:
    told = doctor(f"kafka://{kafka_address}?prefix=no{uuid.uuid4().hex}.")
    assert told.code == 3
    assert "topics create CATEGORY" in wrong(told)[0]["fix"]


def test_an_index_is_looked_at(
    open_kafka: Callable[[], KafkaStore], names: Names, url: str, kafka_address: str, tmp_path: Path
) -> None:
    with open_kafka() as store:
        store.append("parcel-1", moves("a"))
    file = str(tmp_path / "index.db")
    own = doctor(f"kafka://{kafka_address}?prefix={names.prefix}", "--index", file)
    # The marker that ended the transaction stands behind the event, and may come after the close.
    assert re.search(r"it is of this log, and [01] offsets behind its end", own.out)
    other = doctor(url, "--index", file)
    assert (other.code, wrong(other)[0]["state"]) == (1, "warning")
    assert "it is of another log" in wrong(other)[0]["told"]
    (tmp_path / "text").write_text("no database" * 1000)
    damaged = doctor(url, "--index", str(tmp_path / "text"))
    assert damaged.code == 3
    nowhere = doctor(url, "--index", str(tmp_path / "no" / "index.db"))
    assert (nowhere.code, "mkdir -p" in wrong(nowhere)[0]["fix"]) == (3, True)


def test_a_clock_that_is_behind_is_told(
    url: str, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer.produce(f"{prefix_of(url)}parcel.events", b"", b"x", 0)
    producer.flush(SECONDS)
    assert doctor(url).code == 0
    now = time.time
    monkeypatch.setattr("eventkit.kafka.checking.checkup.time.time", lambda: now() - 60)
    told = doctor(url)
    assert (told.code, [it["what"] for it in wrong(told)]) == (1, ["clocks"])


def test_a_replica_that_is_away_is_told(three_brokers: Broker) -> None:
    prefix = f"{uuid.uuid4().hex}."
    topics = Topics(Cluster(KafkaSettings(three_brokers.bootstrap)), Names(prefix))
    topics.create("parcel", 1, 3)
    url = f"kafka://{three_brokers.bootstrap}?prefix={prefix}"
    assert doctor(url).code == 0
    three_brokers.kill(2)
    deadline = time.monotonic() + SECONDS
    told = doctor(url)
    while "2 of 3 in sync" not in told.out:
        assert time.monotonic() < deadline
        told = doctor(url)
    assert told.code == 1
    assert any("start broker 2 again" in it["fix"] for it in wrong(told))


@pytest.fixture
def secure(
    secure_broker: Broker, tmp_path: Path
) -> Iterator[tuple[Callable[..., Told], Acls, str]]:
    """Calls the doctor as a user, and gives permissions."""
    prefix = f"{uuid.uuid4().hex}."
    Topics(Cluster(KafkaSettings(secure_broker.bootstrap)), Names(prefix)).create("task", 1, 1)
    quiet: dict[str, Any] = {**at(secure_broker.bootstrap), "log_level": 0}
    acls = Acls(AdminClient(quiet))

    def as_user(user: str, *arguments: str, **changes: str) -> Told:
        settings = secure_broker.client_settings(user) | changes
        address = settings.pop("bootstrap.servers")
        file = tmp_path / f"{user}.conf"
        file.write_text("\n".join(f"{name}={value}" for name, value in settings.items()))
        return doctor(f"kafka://{address}?prefix={prefix}&config={file}", *arguments)

    yield as_user, acls, prefix
    acls.clear()


def test_permissions_are_told_with_the_command_that_gives_them(
    secure: tuple[Callable[..., Told], Acls, str],
) -> None:
    as_user, acls, prefix = secure
    acls.give(permissions("Writer"), prefix)
    assert as_user("writer").code == 0
    acls.give(permissions("Reader"), prefix)
    assert as_user("reader", "--role", "reader").code == 0
    lacking = as_user("reader")
    assert lacking.code == 1
    states = {it["what"].removeprefix("permissions on "): it["state"] for it in wrong(lacking)}
    assert states == {
        f"{prefix}eventkit.schemas": "problem",
        f"{prefix}task.events": "problem",
        f"{prefix}task.snapshots": "warning",
        "permission for transactions": "problem",
    }
    assert "--allow-principal User:reader --operation Write --topic" in wrong(lacking)[0]["fix"]
    assert as_user("stranger").code == 3


def test_a_wrong_password_is_told_and_not_shown(
    secure: tuple[Callable[..., Told], Acls, str],
) -> None:
    told = secure[0]("writer", **{"sasl.password": "hunter2"})
    assert told.code == 3
    assert "hunter2" not in told.out + told.err
    assert "sasl.password" in wrong(told)[0]["told"]
