"""Subscriptions on Kafka: they show what the rule accepts, whoever follows the log."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from eventkit.errors import InvalidInput, StoreUnavailable
from eventkit.kafka import pages
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from tests.contract.domain import by_aggregate, moves, places
from tests.contract.subscribing import first
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import QUICK

Open = Callable[[], KafkaStore]


@pytest.fixture
def follower(kafka_address: str, names: Names, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that follows the log into the index of this test."""
    command = [sys.executable, "-m", "tests.kafka.holding_follower"]
    with subprocess.Popen(
        [*command, kafka_address, names.prefix, str(tmp_path / "index.db")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_subscription_goes_on_when_who_followed_the_log_is_gone(
    open_kafka: Open, follower: subprocess.Popen[str], how: signal.Signals
) -> None:
    with open_kafka() as store, store.subscribe() as subscription:
        assert not store._following.is_follower
        store.append("parcel-1", moves("a"))
        assert places(first(subscription, 1)) == ["a"]
        follower.send_signal(how)
        for place in "bcd":
            store.append("parcel-1", moves(place))
        assert places(first(subscription, 3)) == ["b", "c", "d"]
        assert store._following.is_follower


def test_what_breaks_the_rule_is_not_shown(open_kafka: Open, kafka_address: str) -> None:
    with open_kafka() as store, store.subscribe() as subscription:
        topic, part, _ = store.append("parcel-1", moves("a")).position
        (kept,) = first(subscription, 1)
        producer = Producer({"bootstrap.servers": kafka_address})
        body = store.codec.encode(kept.event)
        (new,) = new_records("parcel-1", [(kept.event_id, "ParcelMoved", body)], 0)
        for version in (1, 3):
            (headers,) = framed([new], f"rogue{version}", version, "rogue")
            producer.produce(topic, new.value, new.key, part, headers=list(headers))
        producer.produce(topic, b"noise", b"parcel-1", part)
        assert producer.flush(SECONDS) == 0
        store.append("parcel-1", moves("b"), expected_version=1)
        assert places(first(subscription, 1)) == ["b"]


def test_the_positions_of_a_subscription_hold_in_another_index(
    open_kafka: Open, tmp_path: Path
) -> None:
    with open_kafka() as store:
        for number in range(40):
            store.append(f"parcel-{number % 7}", moves(str(number)))
            store.append(f"van-{number % 3}", moves(str(number)))
        whole = by_aggregate(store.replay())
        with store.subscribe() as subscription:
            found = first(subscription, 33)
            positions = subscription.positions
    (tmp_path / "index.db").unlink()
    with open_kafka() as store, store.subscribe(positions) as subscription:
        found += first(subscription, 80 - 33)
    assert by_aggregate(found) == whole


def test_who_waits_is_told_that_the_log_is_not_followed_any_more(open_kafka: Open) -> None:
    with open_kafka() as store, store.subscribe() as subscription:
        timer = threading.Timer(0.1, lambda: store._view.fail(OSError("gone")))
        timer.start()
        with pytest.raises(StoreUnavailable, match="gone"):
            first(subscription, 1)
        timer.join()


def test_a_place_in_the_index_is_one_also_where_a_broker_tells_less(
    open_kafka: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_old(partitions: Iterable[tuple[str, int]], *, committed: bool) -> dict[Any, int]:
        assert committed
        return dict.fromkeys(partitions, 0)  # as one that was frozen, and takes itself for leader

    with open_kafka() as store:
        last = store.append("parcel-1", moves("a", "b")).position
        monkeypatch.setattr(store.pages, "_ends", of_old)
        monkeypatch.setattr(pages, "_DOUBT", 0.2)
        behind = dict.fromkeys(store.pages.partitions(), 0)
        monkeypatch.setattr(store.pages._view, "applied", behind)
        assert store.subscribe(last).positions == [last]
        with pytest.raises(InvalidInput, match="the log ends before"):
            store.subscribe(last._replace(offset=last.offset + 5))


def test_brokers_that_tell_an_older_end_for_a_moment_are_asked_again(
    open_kafka: Open,
    kafka_address: str,
    names: Names,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = KafkaSettings(kafka_address, QUICK)
    with open_kafka() as store:
        last = store.append("parcel-1", moves("a", "b")).position
    with KafkaStore(settings, index=tmp_path / "other.db", prefix=names.prefix) as store:
        ask, told = store.pages._ends, iter([0, 0, 0])

        def of_old_at_first(partitions: Iterable[Any], *, committed: bool) -> dict[Any, int]:
            now = ask(partitions, committed=committed)
            return {it: next(told, end) for it, end in now.items()}

        monkeypatch.setattr(store.pages, "_ends", of_old_at_first)
        behind = dict.fromkeys(store.pages.partitions(), 0)
        monkeypatch.setattr(store.pages._view, "applied", behind)
        monkeypatch.setattr(store.pages, "end", lambda _: -1)
        assert store.subscribe(last).positions == [last]
        assert next(told, None) is None
