"""Workers with different databases of read models do not share a consumer group unnoticed."""

import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventkit.errors import GroupTaken
from eventkit.kafka import neighbours
from eventkit.kafka.group import Group
from eventkit.kafka.neighbours import Neighbours
from eventkit.kafka.settings import KafkaSettings, Setting
from eventkit.projection import ReadModels, Runner
from eventkit.projection.database_id import database_id
from tests.kafka.ledger import Ledger, folded, held
from tests.kafka.test_group_workers import ACCOUNTS, PARTITIONS, Log
from tests.kafka.worker_kit import Workers, fill
from tests.projection.following import SECONDS, following, until

LOW, HIGH = "0" * 16, "f" * 16


@pytest.fixture
def log(kafka_address: str, tmp_path: Path) -> Iterator[Log]:
    log = Log(kafka_address, f"sqlite:///{tmp_path}/read-models.db", tmp_path)
    yield log
    log.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[ReadModels]:
    """Another database of read models."""
    with ReadModels(f"sqlite:///{tmp_path}/other.db") as models:
        yield models


def test_a_worker_with_another_database_refuses_to_start_and_the_first_goes_on(
    log: Log, other: ReadModels, tmp_path: Path
) -> None:
    fill(log.store, ACCOUNTS, rounds=2)
    first = log.workers.start()
    until(lambda: log.is_shared(1))
    (tmp_path / "second").mkdir()
    url = f"sqlite:///{tmp_path}/second/read-models.db"
    with Workers(f"{log.url}&index={tmp_path}/index.db", url, tmp_path / "second") as it:
        second = it.start()
        assert second.wait(SECONDS) == 3
        said = it.said(second)
    assert f"the consumer group {log.group} has a member that writes into another database" in said
    assert "client id eventkit-models-" in said
    assert "at 127.0.0.1" in said
    assert "Set group = '...'" in said
    with pytest.raises(GroupTaken), following(Runner(Ledger(), log.store, other)) as future:
        future.result(SECONDS)
    part, *_ = Runner(Ledger(), log.store, other).status().partitions
    assert "writes into another database" in (part.error or "")
    assert log.is_shared(1)
    until(log.is_current)
    assert log.workers.end(first) == [0]
    with following(Runner(Ledger(), log.store, other)):
        until(lambda: other.exists() and Runner(Ledger(), log.store, other).status().lag == 0)
    assert held(other) == folded(log.store)


def test_with_a_group_of_its_own_each_database_gets_all(log: Log, other: ReadModels) -> None:
    class Elsewhere(Ledger):
        group = "ledger-elsewhere"

    fill(log.store, ACCOUNTS, rounds=2)
    here, there = Runner(Ledger(), log.store, log.models), Runner(Elsewhere(), log.store, other)
    with following(here), following(there):
        until(lambda: log.models.exists() and here.status().lag == 0)
        until(lambda: other.exists() and there.status().lag == 0)
    assert held(other) == held(log.models) == folded(log.store)


class Member:
    """A member of a group that writes into a database."""

    def __init__(self, address: str, name: str, database: str, given: dict[str, Setting]) -> None:
        settings = KafkaSettings(address, given)
        guard = Neighbours(settings, name, database)
        topic = name.removesuffix("ledger.v1") + "account.events"
        self.group = Group(settings, name, [topic], lambda _partition, at: at + 1, guard)

    def has(self, count: int) -> bool:
        return len(self.group.partitions()) == count


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_of_two_that_join_at_once_the_lower_id_stays_and_gets_all(
    log: Log, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_AGAIN", 0.2)
    monkeypatch.setattr(Neighbours, "check_before", lambda _self, _is_over: None)
    given: dict[str, Setting] = {"group.protocol": protocol}
    name = f"{log.prefix}ledger.v1"
    high = Member(log.address, name, HIGH, dict(given))
    until(lambda: high.has(PARTITIONS))
    low = Member(log.address, name, LOW, dict(given))
    try:
        until(raises_taken(high))
        high.group.close()
        until(lambda: low.has(PARTITIONS))
    finally:
        high.group.close()
        low.group.close()


def raises_taken(member: Member) -> Callable[[], bool]:
    def taken() -> bool:
        try:
            member.group.partitions()
        except GroupTaken as error:
            return error.client_id.endswith(LOW)
        return False

    return taken


def test_members_with_the_same_database_and_those_that_tell_none_are_welcome(log: Log) -> None:
    name = f"{log.prefix}ledger.v1"
    given: dict[str, Setting] = {"client.id": "ann-models"}
    settings = KafkaSettings(log.address, given)
    untold = Group(settings, name, [f"{log.prefix}account.events"], lambda _partition, at: at + 1)
    members = [Member(log.address, name, LOW, given) for _ in range(2)]
    groups = [untold, *(member.group for member in members)]
    try:
        until(lambda: all(group.partitions() for group in groups))
    finally:
        for group in groups:
            group.close()


def test_who_may_not_look_is_told_once_and_goes_on(
    secure_broker: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings = dict(secure_broker.client_settings("stranger"))  # type: ignore[attr-defined]
    address = str(settings.pop("bootstrap.servers"))
    guard = Neighbours(KafkaSettings(address, settings), f"{uuid.uuid4().hex}.v1", LOW)
    with caplog.at_level(logging.WARNING):
        guard.check_before(lambda: False)
        guard.check_before(lambda: False)
        guard.check()
    assert caplog.text.count("nobody looks whether workers with another database") == 1


def test_a_look_whose_process_dies_is_trouble_and_no_more(log: Log) -> None:
    guard = Neighbours(KafkaSettings(log.address), f"{log.prefix}ledger.v1", LOW)
    guard.check()
    look = guard._look
    assert look is not None
    look._process.kill()
    until(look.done)
    guard.check()
    assert guard.trouble is not None
    assert "the question was cut off" in guard.trouble
    guard.check_before(lambda: False)
    assert guard.trouble is None


def test_the_id_of_a_database_stays_and_a_copy_has_another(models_url: str, tmp_path: Path) -> None:
    with ReadModels(models_url) as models:
        known = database_id(models)
        assert database_id(models) == known
    with ReadModels(models_url) as models:
        assert database_id(models) == known
    if models_url.startswith("sqlite"):
        copy = tmp_path / "copy.db"
        copy.write_bytes((tmp_path / "read-models.db").read_bytes())
        with ReadModels(f"sqlite:///{copy}") as models:
            assert database_id(models) != known


@pytest.fixture(params=["sqlite", "postgresql"])
def models_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/read-models.db"
    url: str = request.getfixturevalue("database")
    return url
