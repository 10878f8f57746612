"""Requests that arrive late, twice or unanswered: readers never show an event that lost.

librdkafka repeats a request whose connection was cut, and tells nobody. So an EndTxn that lay in
some buffer can end the transaction after the one it was meant for.
"""

import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from eventkit import ConcurrencyError, EventStore, connect
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records
from eventkit.kafka.settings import KafkaSettings, Setting
from eventkit.kafka.topics import Topics
from eventkit.kafka.writing.transactions import Transactions
from eventkit.store import Append, Appended
from tests.contract.domain import ParcelMoved, moves, places, versions
from tests.kafka.clients import SECONDS
from tests.kafka.plugin import Brokers
from tests.kafka.verify_kit import run
from tools.broker.cluster import Wanted
from tools.proxy.caught import Caught
from tools.proxy.frames import Api, Request
from tools.proxy.proxy import Proxy

_VERIFICATION = "transaction.partition.verification.enable"
HELD = "held"  # the client id of the store whose requests are caught

Open = Callable[..., EventStore]


def of_held(request: Request) -> bool:
    return request.client_id == HELD


@pytest.fixture(scope="module")
def proxy(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy before a broker that sends all its clients there."""
    with Proxy() as proxy:
        wanted = Wanted(advertised=[proxy.address])
        cluster = brokers.cluster("behind-proxy", wanted, tmp_path_factory)
        proxy.target = cluster.nodes[1].address
        yield proxy


@pytest.fixture
def names(proxy: Proxy) -> Names:
    names = Names(f"{uuid.uuid4().hex}.")
    Topics(Cluster(KafkaSettings(proxy.address)), names).create("parcel", 1, 1)
    return names


@pytest.fixture
def opened(proxy: Proxy, names: Names, tmp_path: Path) -> Iterator[Open]:
    """Opens stores of this test, each with the index of that name; closes them in the end."""
    stores: list[EventStore] = []

    def open_store(index: str, **settings: Setting) -> EventStore:
        url = f"kafka://{proxy.address}?prefix={names.prefix}"
        kafka: dict[str, Setting] = {"fetch.wait.max.ms": 10, **settings}
        stores.append(connect(url, index=tmp_path / f"{index}.db", kafka=kafka))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


class Plain(NamedTuple):
    """A committed record as any consumer of read_committed sees it."""

    version: int
    event_id: uuid.UUID


def plain(proxy: Proxy, names: Names) -> list[Plain]:
    """All committed records, up to the end of the log as it is now."""
    end = end_of(proxy, names)
    consumer = Consumer(
        {"bootstrap.servers": proxy.address, "group.id": "plain", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(names.events("parcel"), 0, 0)])
    found = []
    while True:
        message = consumer.poll(SECONDS)
        assert message is not None, "the log was not decided in time"
        if message.error() is None:
            headers: dict[str, Any] = dict(message.headers() or [])
            found.append(
                Plain(int(headers["ce_aggregateversion"]), uuid.UUID(headers["ce_id"].decode()))
            )
        elif (message.offset() or 0) >= end:
            consumer.close()
            return found


def seen_by(stores: Sequence[EventStore]) -> list[str]:
    """What `parcel-1` went through; all stores and both ways of reading must say the same."""
    events = stores[0].get_events("parcel-1")
    assert versions(events) == list(range(1, len(events) + 1))
    for store in stores:
        assert list(store.get_events("parcel-1")) == list(events)
        assert list(store.replay()) == list(events)
    return places(events)


def committed_late(proxy: Proxy, store: EventStore) -> Caught:
    """Append `a` as version 1, whose commit arrives a second time when it is released."""
    late = proxy.hold(Api.END_TXN, of_held)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(store.append, "parcel-1", moves("a"), 0)
        late.wait()
        late.cut()
        assert first.result(SECONDS).version == 1
    return late


def end_too_early(proxy: Proxy, names: Names, late: Caught) -> None:
    """Let the late EndTxn end a transaction that has no record yet; returns with its marker."""
    before = end_of(proxy, names)
    assert error_code(late.release()) == 0
    deadline = monotonic() + SECONDS
    while end_of(proxy, names) == before:
        assert monotonic() < deadline


def end_of(proxy: Proxy, names: Names) -> int:
    """The offset after the last record or marker, decided or not."""
    uncommitted = Consumer(
        {
            "bootstrap.servers": proxy.address, "group.id": "plain",
            "isolation.level": "read_uncommitted",
        }
    )  # fmt: skip
    place = TopicPartition(names.events("parcel"), 0, 0)
    try:
        return int(uncommitted.get_watermark_offsets(place, SECONDS)[1])
    finally:
        uncommitted.close()


def error_code(answer: bytes) -> int:
    """Of an answer to EndTxn: after the correlation id and the throttle time."""
    (code,) = struct.unpack_from(">h", answer, 8)
    return int(code)


@pytest.mark.parametrize("expected", [1, None])
def test_an_event_that_lost_and_is_committed_all_the_same_is_seen_by_nobody(
    proxy: Proxy, names: Names, opened: Open, expected: int | None
) -> None:
    """The order of events: the late commit of version 1 ends the transaction that lost.

    The loser produces its version 2, a rival has committed another one before it, the loser meets
    it at its read back and aborts; before the abort arrives, the old commit does.
    """
    loser, winner = opened("loser", **{"client.id": HELD}), opened("winner")
    late = committed_late(proxy, loser)
    records = proxy.hold(Api.PRODUCE, of_held)
    lost_id = uuid.uuid4()
    with ThreadPoolExecutor() as pool:
        losing = pool.submit(
            loser.append, "parcel-1", moves("lost"), expected, None, event_ids=[lost_id]
        )
        records.wait()
        won = winner.append("parcel-1", moves("won"), 1)
        abort = proxy.hold(Api.END_TXN, of_held)
        records.pass_on()
        abort.wait()
        assert error_code(late.release()) == 0
        # The torn case is reached: the broker committed what the application was about to abort.
        torn = plain(proxy, names)
        assert [it.version for it in torn] == [1, 2, 2]
        assert [it.event_id for it in torn[1:]] == [*won.event_ids, lost_id]
        abort.pass_on()
        if expected is None:
            assert losing.result(SECONDS).version == 3
        else:
            with pytest.raises(ConcurrencyError) as told:
                losing.result(SECONDS)
            assert told.value.actual >= 2
    went_on = ["lost"] if expected is None else []
    done = loser.append("parcel-1", moves("b"))
    winner.wait(done.position)
    fresh = opened("fresh")
    assert seen_by([loser, winner, fresh]) == ["a", "won", *went_on, "b"]
    verified = run("--store", f"kafka://{proxy.address}?prefix={names.prefix}", "verify", "--json")
    assert (verified.code, verified.kinds) == (1, ["double"])
    assert verified.lines[0]["aggregate_id"] == "parcel-1"


def test_an_append_beside_one_that_lost_is_recorded_once(
    proxy: Proxy, names: Names, opened: Open
) -> None:
    """The late commit takes along what did not lose, and its writer is about to propose anew.

    Nobody gave event ids, so only the writer itself can know its events again.
    """
    loser, winner = opened("loser", **{"client.id": HELD}), opened("winner")
    late = committed_late(proxy, loser)
    records = proxy.hold(Api.PRODUCE, of_held)
    with ThreadPoolExecutor() as pool:
        group = [Append("parcel-1", moves("lost")), Append("parcel-2", moves("beside"))]
        losing = pool.submit(loser.append_each, group)
        records.wait()
        winner.append("parcel-1", moves("won"), 1)
        abort = proxy.hold(Api.END_TXN, of_held)
        records.pass_on()
        abort.wait()
        assert error_code(late.release()) == 0
        assert [it.version for it in plain(proxy, names)] == [1, 2, 2, 1]
        abort.pass_on()
        told = losing.result(SECONDS)
    assert [it.version for it in told if isinstance(it, Appended)] == [3, 1]
    assert [it.already_recorded for it in told if isinstance(it, Appended)] == [False, False]
    seen = list(opened("fresh").replay())
    assert sorted((it.aggregate_id, it.version) for it in seen) == [
        ("parcel-1", 1), ("parcel-1", 2), ("parcel-1", 3), ("parcel-2", 1),
    ]  # fmt: skip
    assert list(loser.replay()) == seen


def test_a_proposal_that_is_committed_too_early_takes_effect_once(
    proxy: Proxy, names: Names, opened: Open
) -> None:
    """The late commit ends the next transaction before the application asks for it."""
    store = opened("one", **{"client.id": HELD})
    late = committed_late(proxy, store)
    commit = proxy.hold(Api.END_TXN, of_held)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(store.append, "parcel-1", moves("b"), 1)
        commit.wait()
        assert error_code(late.release()) == 0
        assert [it.version for it in plain(proxy, names)] == [1, 2]
        commit.pass_on()
        assert second.result(SECONDS).version == 2
    assert store.append("parcel-1", moves("c"), 2).version == 3
    assert seen_by([store, opened("fresh")]) == ["a", "b", "c"]


def test_a_part_of_an_append_that_is_committed_alone_is_seen_by_nobody(
    proxy: Proxy, names: Names, opened: Open
) -> None:
    """The late commit comes between the records of one append, which is then written again."""
    store = opened("one", **{"client.id": HELD, "batch.num.messages": 1, "max.in.flight": 1})
    late = committed_late(proxy, store)
    seen: list[Request] = []

    def is_second(request: Request) -> bool:
        seen.extend([request] if of_held(request) else [])
        return len(seen) == 2

    second_record = proxy.hold(Api.PRODUCE, is_second)
    with ThreadPoolExecutor() as pool:
        both = pool.submit(store.append, "parcel-1", moves("b", "c", "d"), 1)
        second_record.wait()
        assert error_code(late.release()) == 0
        assert [it.version for it in plain(proxy, names)] == [1, 2]
        second_record.pass_on()
        assert both.result(SECONDS).version == 4
    assert [it.version for it in plain(proxy, names)] == [1, 2, 2, 3, 4]
    assert seen_by([store, opened("fresh")]) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("api", [Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN, Api.END_TXN])
def test_an_append_whose_answer_is_lost_is_recorded_once(
    proxy: Proxy, names: Names, opened: Open, api: Api
) -> None:
    store = opened("one", **{"client.id": HELD})
    store.append("parcel-1", moves("a"))
    lost = proxy.lose_answer(api, of_held)
    done = store.append("parcel-1", [ParcelMoved(place=it) for it in "bc"], 1)
    lost.wait(0)
    assert done.version == 3
    assert [it.version for it in plain(proxy, names)] == [1, 2, 3]
    assert seen_by([store, opened("fresh")]) == ["a", "b", "c"]


@pytest.mark.parametrize("api", [Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN])
def test_a_copy_of_a_request_that_comes_after_its_transaction_changes_nothing(
    proxy: Proxy, names: Names, opened: Open, api: Api
) -> None:
    store = opened("one", **{"client.id": HELD})
    store.append("parcel-1", moves("a"))
    late = proxy.hold(api, of_held)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(store.append, "parcel-1", moves("b"), 1)
        late.wait()
        late.cut()
        assert first.result(SECONDS).version == 2
    late.release()
    for version, place in enumerate("cd", start=3):
        assert store.append("parcel-1", moves(place), version - 1).version == version
    assert seen_by([store, opened("fresh")]) == ["a", "b", "c", "d"]
    assert [it.version for it in plain(proxy, names)] == [1, 2, 3, 4]


@pytest.fixture
def unverified(proxy: Proxy) -> Iterator[None]:
    """A broker that takes records of transactions that have ended, as those before 3.6 did.

    They stay undecided, and `init_transactions` does not release them: so do those whose markers a
    broker lost when it was killed in the middle of a commit (KAFKA-20734).
    """
    admin = AdminClient({"bootstrap.servers": proxy.address})

    def verify(value: str) -> None:
        entry = ConfigEntry(_VERIFICATION, value, incremental_operation=AlterConfigOpType.SET)
        asked = [ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])]
        for done in admin.incremental_alter_configs(asked).values():
            done.result(SECONDS)
        wanted, deadline = ConfigResource(ResourceType.BROKER, "1"), monotonic() + SECONDS
        while monotonic() < deadline:  # the broker takes it a moment later
            (answer,) = admin.describe_configs([wanted]).values()
            if answer.result(SECONDS)[_VERIFICATION].value == value:
                return
        pytest.fail("the broker did not take the setting")

    verify("false")
    yield
    verify("true")


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was swept, as often as it was."""
    found: list[object] = []
    sweep = Transactions.sweep

    def noted(transactions: Transactions, partitions: Any, **how: Any) -> None:
        found.append(set(partitions))
        sweep(transactions, partitions, **how)

    monkeypatch.setattr(Transactions, "sweep", noted)
    return found


@pytest.mark.usefixtures("unverified")
def test_a_commit_whose_markers_are_lost_is_swept_out_and_done_again(
    proxy: Proxy, names: Names, opened: Open, swept: list[object]
) -> None:
    """The commit is answered with success, and its records stay undecided all the same."""
    store = opened("one", **{"client.id": HELD})
    late = committed_late(proxy, store)
    record = proxy.hold(Api.PRODUCE, of_held)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(store.append, "parcel-1", moves("b"), 1)
        record.wait()
        end_too_early(proxy, names, late)
        record.pass_on()
        assert second.result(SECONDS).version == 2
    assert {(names.events("parcel"), 0)} in swept
    assert [it.version for it in plain(proxy, names)] == [1, 2]
    assert seen_by([store, opened("fresh")]) == ["a", "b"]


@pytest.mark.usefixtures("unverified")
def test_a_record_that_outlives_its_dead_writer_and_its_transaction_is_swept_out(
    proxy: Proxy, names: Names, opened: Open, swept: list[object]
) -> None:
    writer_id = f"dead-{uuid.uuid4()}"
    dead = Producer(
        {
            "bootstrap.servers": proxy.address, "client.id": HELD, "linger.ms": 0,
            "transactional.id": writer_id,
        }
    )  # fmt: skip
    dead.init_transactions(SECONDS)
    errors: list[KafkaError | None] = []

    def produce(number: int) -> None:
        records = new_records("parcel-1", [(uuid.uuid4(), "ParcelMoved", b"")], 0)
        headers: Any = framed(records, str(number), 1, writer_id)[0]
        dead.begin_transaction()
        topic = names.events("parcel")
        dead.produce(topic, b"", b"parcel-1", 0, lambda it, _: errors.append(it), headers=headers)

    late = proxy.hold(Api.END_TXN, of_held)
    with ThreadPoolExecutor() as pool:
        produce(1)
        assert dead.flush(SECONDS) == 0
        aborted = pool.submit(dead.abort_transaction, SECONDS)
        late.wait()
        late.cut()
        aborted.result(SECONDS)
        record = proxy.hold(Api.PRODUCE, of_held)
        produce(2)
        record.wait()
        end_too_early(proxy, names, late)
        record.pass_on()
        assert dead.flush(SECONDS) == 0
    assert errors == [None, None]
    store = opened("one")
    assert store.append("parcel-1", moves("a"), 0).version == 1
    assert {(names.events("parcel"), 0)} in swept
    assert len(plain(proxy, names)) == 1
    assert seen_by([store, opened("fresh")]) == ["a"]
