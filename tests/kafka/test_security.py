"""The store on a listener with TLS, passwords and permissions: what is enough, what is said."""

import logging
import traceback
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from eventkit import Event, EventStore, connect
from eventkit.errors import KafkaNotAllowed, KafkaUnavailable, StoreUnavailable
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.group import Group
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings, Setting
from eventkit.kafka.topics import Topics
from tests.kafka.clients import SECONDS, at
from tests.kafka.permissions import GUIDE, Acls, Permission, permissions
from tools.broker.cluster import Cluster as Broker

SOON = 20.0
"""Seconds within which a user is told on a busy machine, well before the time-out of 30."""
SNAPSHOTS_SAVE_TIME = {("Read", "task.snapshots"), ("Write", "task.snapshots")}


class Noted(Event):
    text: str


class Log(NamedTuple):
    """A log on the secure broker, made by somebody who may do all; it holds one event."""

    broker: Broker
    prefix: str
    acls: Acls

    def settings(self, user: str, **changes: str | None) -> tuple[str, dict[str, Setting]]:
        """The address, and the other settings to connect with; None leaves one out."""
        settings = {**self.broker.client_settings(user), **changes}
        address = settings.pop("bootstrap.servers")
        return str(address), {name: it for name, it in settings.items() if it is not None}

    def open(self, user: str, **changes: str | None) -> EventStore:
        address, settings = self.settings(user, **changes)
        quick: dict[str, Setting] = {"fetch.wait.max.ms": 10}
        url = f"kafka://{address}?prefix={self.prefix}&timeout=30"
        return connect(url, kafka=quick | settings)

    def allow(self, *roles: str) -> None:
        self.acls.give([it for role in roles for it in permissions(role)], self.prefix)


@cache
def made_at(address: str) -> str:
    """The prefix of a log; it takes a second to make, so the tests of a run share it."""
    prefix = f"{uuid.uuid4().hex}."
    Topics(Cluster(KafkaSettings(address)), Names(prefix)).create("task", 1, 1)
    with connect(f"kafka://{address}?prefix={prefix}") as store:
        store.append("task-1", [Noted(text="first")])
    return prefix


@pytest.fixture
def log(secure_broker: Broker) -> Iterator[Log]:
    quiet: dict[str, Any] = {**at(secure_broker.bootstrap), "log_level": 0}
    acls = Acls(AdminClient(quiet))
    yield Log(secure_broker, made_at(secure_broker.bootstrap), acls)
    acls.clear()


def read(log: Log) -> None:
    with log.open("reader") as store:
        assert len(store.get_events("task-1")) == 1
        assert store.get_events("task-1")[0] in list(store.replay())


def write(log: Log) -> None:
    """Append an event of a class that is new to the log."""
    name = f"Noted{uuid.uuid4().hex}"
    new = type(name, (Event,), {"__annotations__": {"text": str}, "__module__": __name__})
    with log.open("writer") as store:
        assert store.append(f"task-{name}", [new(text="first")], 0).version == 1


def work(log: Log) -> None:
    """Join the group of a projection, and read."""
    with log.open("worker") as store:
        assert len(store.get_events("task-1")) == 1
    address, settings = log.settings("worker")
    group = Group(
        KafkaSettings(address, settings),
        f"{log.prefix}open_permits.v1",
        [f"{log.prefix}task.events"],
        lambda _partition, offset: offset + 1,
    )
    try:
        deadline = monotonic() + SECONDS
        while not group.partitions():
            assert monotonic() < deadline
            sleep(0.01)
    finally:
        group.close()


def operate(log: Log) -> None:
    """Make topics that are not there, and check them."""
    address, settings = log.settings("operator")
    topics = Topics(Cluster(KafkaSettings(address, settings)), Names(log.prefix))
    assert len(topics.create("task", 1, 1)) == 3
    assert topics.check(["task"]) == []


ROLES: dict[str, Callable[[Log], None]] = {
    "Reader": read,
    "Writer": write,
    "Worker": work,
    "Operator": operate,
}


def log_for(role: str, log: Log) -> Log:
    """The log on which a role is tried: the operator's is still to be made."""
    return log._replace(prefix=f"{uuid.uuid4().hex}.") if role == "Operator" else log


EACH = [(role, it) for role in ROLES for it in permissions(role)]


@pytest.mark.parametrize("role", ROLES)
def test_the_documented_permissions_are_enough(role: str, log: Log) -> None:
    own = log_for(role, log)
    own.allow(role)
    ROLES[role](own)


@pytest.mark.parametrize(
    ("role", "missing"), [it for it in EACH if it[1][1:4:2] not in SNAPSHOTS_SAVE_TIME], ids=str
)
def test_no_documented_permission_is_needless(role: str, missing: Permission, log: Log) -> None:
    own = log_for(role, log)
    own.acls.give([it for it in permissions(role) if it != missing], own.prefix)
    began = monotonic()
    with pytest.raises((StoreUnavailable, PermissionError)) as caught:
        ROLES[role](own)
    assert "uthorization failed" in str(caught.value)
    assert monotonic() - began < SOON


@pytest.mark.parametrize("role", ["Reader", "Writer"])
def test_permissions_for_snapshots_only_save_time(role: str, log: Log) -> None:
    given = permissions(role)
    without = [it for it in given if (it.operation, it.name) not in SNAPSHOTS_SAVE_TIME]
    (describe,) = {it._replace(operation="Describe") for it in given if it not in without}
    log.acls.give([*without, describe], log.prefix)
    ROLES[role](log)


def test_the_table_of_permissions_says_what_the_commands_give() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in GUIDE.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| `", "| trans", "| groups"))
    ]
    told = {
        (role, name.strip("`").removeprefix("transactional ids `").removeprefix("groups `"), it)
        for name, *cells in rows
        for role, cell in zip(ROLES, cells, strict=False)
        for it in (cells[0] if cell == "as reader" else cell).split(", ")
        if it
    }
    shown = {"eventkit-": "eventkit-*", "open_permits.v": "<projection>.v*"}
    assert told == {(role, shown.get(it.name, it.name), it.operation) for role, it in EACH}


def test_a_reader_may_not_append_and_is_told_at_once(log: Log) -> None:
    log.allow("Reader")
    began = monotonic()
    with (
        log.open("reader") as store,
        pytest.raises(StoreUnavailable, match=r"transactional ids.*this call wrote nothing"),
    ):
        store.append("task-1", [Noted(text="no")])
    assert monotonic() - began < SOON


def test_whoever_may_not_write_events_is_told_at_once(log: Log) -> None:
    without = [
        it for it in permissions("Writer") if (it.operation, it.name) != ("Write", "task.events")
    ]
    log.acls.give(without, log.prefix)
    with (
        log.open("writer") as store,
        pytest.raises(StoreUnavailable, match=r"permission on the topic.*kafka-acls\.sh"),
    ):
        store.append("task-1", [Noted(text="no")])
    with log.open("writer") as store:
        assert len(store.get_events("task-1")) == 1


def test_a_reader_that_may_not_end_the_transaction_of_a_dead_writer_says_so_once(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    log.allow("Reader")
    writer = f"eventkit-{uuid.uuid4()}"
    dead: dict[str, Any] = {"transactional.id": writer, "transaction.timeout.ms": 10_000}
    producer = Producer({**at(log.broker.bootstrap), **dead, "log_level": 0})
    with log.open("reader") as store:
        producer.init_transactions(SECONDS)
        producer.begin_transaction()
        frame = {"ce_append": b"1.0.1", "ce_aggregateversion": b"1", "ce_writer": writer.encode()}
        producer.produce(f"{log.prefix}task.events", b"", b"task-9", 0, headers=list(frame.items()))
        producer.flush(SECONDS)
        thread = store._with_index()._helper._thread  # type: ignore[attr-defined]
        thread.join(SECONDS)
        assert not thread.is_alive()
        assert len(store.get_events("task-1")) == 1
    producer.abort_transaction(SECONDS)
    assert caplog.text.count("this user may not end it") == 1


def test_a_stranger_is_told_which_permission_is_missing(log: Log) -> None:
    with pytest.raises(KafkaNotAllowed, match=r"describing topics.*SECURITY\.md"):
        log.open("stranger")


WRONG: dict[str, tuple[dict[str, str | None], str]] = {
    "password": ({"sasl.password": "hunter2"}, r"Check sasl\.username, sasl\.password"),
    "certificate": ({"ssl.ca.location": None}, r"certificate verify failed.*ssl\.ca\.location"),
    "plain text": (
        {"security.protocol": "PLAINTEXT"},
        r"Is security\.protocol the one of that port\? It is PLAINTEXT",
    ),
    "no login": (
        {"security.protocol": "SSL"},
        r"Is security\.protocol the one of that port\? It is SSL",
    ),
}


def test_a_worker_that_may_not_join_its_group_is_told_which_permission_is_missing(log: Log) -> None:
    some = [it for it in permissions("Worker") if it.kind != "group"]
    log.acls.give(some, log.prefix)
    with pytest.raises(StoreUnavailable, match=r"open_permits.v1 is lost: .*consumer group.*acls"):
        work(log)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_setting_that_does_not_fit_the_port_is_told(
    log: Log, wrong: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    log.allow("Writer")
    changes, message = WRONG[wrong]
    began = monotonic()
    with pytest.raises(KafkaUnavailable, match=message) as caught:
        log.open("writer", **changes)
    assert monotonic() - began < SOON
    shown = "".join([*traceback.format_exception(caught.value), repr(caught.value), caplog.text])
    _, settings = log.settings("writer", **changes)
    out, err = capfd.readouterr()
    assert str(settings["sasl.password"]) not in shown + out + err
    assert "%3|" not in out + err


def test_tls_to_a_plain_port_is_told(log: Log) -> None:
    _, settings = log.settings("writer")
    with pytest.raises(KafkaUnavailable, match=r"security\.protocol.* It is SASL_SSL"):
        connect(f"kafka://{log.broker.bootstrap}", kafka=settings)


def test_the_settings_may_come_from_a_file(log: Log, tmp_path: Path) -> None:
    log.allow("Writer")
    address, settings = log.settings("writer")
    file = tmp_path / "kafka.conf"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    with connect(f"kafka://{address}?prefix={log.prefix}&config={file}") as store:
        assert store.append(f"task-{uuid.uuid4().hex}", [Noted(text="second")]).version == 1
        assert str(settings["sasl.password"]) not in repr(store)


def test_a_password_may_come_beside_settings_in_the_url(log: Log) -> None:
    log.allow("Reader")
    address, settings = log.settings("reader")
    secret = {name: settings.pop(name) for name in list(settings) if "password" in name}
    options = "&".join(f"{name}={value}" for name, value in settings.items())
    url = f"kafka://{address}?prefix={log.prefix}&{options}"
    with connect(url, kafka=secret) as store:
        assert len(store.get_events("task-1")) == 1
