"""The store without an index does what every store does, and reads by scans.

Appending, and what comes of retries, is that of `KafkaStore`, on an index in a temporary folder.
"""

import time
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import pytest
from confluent_kafka import Message, Producer

from eventkit import ConcurrencyError, EventStore, Repository
from eventkit.aggregate import state_model
from eventkit.connection import connect
from eventkit.errors import InvalidInput
from eventkit.kafka.direct import DirectStore
from eventkit.kafka.names import Names
from eventkit.kafka.rule import Progress
from eventkit.kafka.scanning.scan import Scan
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.snapshots.record import Place, written
from eventkit.kafka.store import KafkaStore
from eventkit.store import Append, Snapshot
from tests.contract.domain import OpenStore, Parcel, by_aggregate, moves, places, versions
from tests.contract.reading import ReadContract
from tests.contract.replaying import EXTREMES, ReplayContract, mixed_log, peak_memory
from tests.contract.snapshots import START, SnapshotContract
from tests.contract.subscribing import first
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import QUICK

OpenDirect = Callable[[], DirectStore]


class Scanning(DirectStore):
    """Reads by scans, even when an index was made for an append."""

    def _reading(self) -> KafkaStore | None:
        return None


@pytest.fixture
def open_direct(kafka_address: str, names: Names) -> OpenDirect:
    return partial(DirectStore, KafkaSettings(kafka_address, QUICK), prefix=names.prefix)


@pytest.fixture
def open_scanning(kafka_address: str, names: Names) -> OpenDirect:
    return partial(Scanning, KafkaSettings(kafka_address, QUICK), prefix=names.prefix)


class TestScanningStore(ReadContract, ReplayContract, SnapshotContract):
    # Fewer, for each read is a scan; all filters are in test_scan.py.
    filters = EXTREMES[::6]
    histories = 8

    @pytest.fixture
    def open_store(self, open_scanning: OpenStore) -> OpenStore:
        return open_scanning

    @pytest.mark.skip(reason="it saves a snapshot of events that no log has")
    def test_a_snapshot_comes_back_as_it_was_saved(
        self, store: EventStore, open_store: OpenStore
    ) -> None: ...

    def test_a_replay_of_many_events_takes_constant_memory(self, store: EventStore) -> None:
        """An append is shown when it is whole: until then its records are kept."""
        text = "x" * 400
        for start in range(0, 15_000, 5_000):
            for part in range(start, start + 5_000, 500):
                some = range(part, part + 500)
                append = Append(f"parcel-{start % 3}", moves(*(f"{text}{it}" for it in some)))
                store.append_each([append])
        assert peak_memory(store.replay()) < 5_000_000


@pytest.fixture
def history(open_kafka: Callable[[], KafkaStore]) -> None:
    with open_kafka() as store:
        mixed_log(store)
        store.append("parcel-x", moves(*map(str, range(1, 31))))


@pytest.mark.usefixtures("history")
def test_reading_makes_no_index(open_direct: OpenDirect) -> None:
    with open_direct() as store:
        assert places(store.get_events("parcel-x", 29)) == ["29", "30"]
        assert sum(1 for _ in store.replay()) == 158
        assert store.plain_events_of("parcel-x")[0].data == {"place": "1"}
        with pytest.raises(InvalidInput):
            store.append("parcel-x", [])
        assert store._indexed is None


@pytest.mark.usefixtures("history")
def test_the_first_append_makes_an_index_and_reads_come_from_it(open_direct: OpenDirect) -> None:
    with open_direct() as store:
        event_id = uuid4()
        done = store.append("parcel-x", moves("31"), expected_version=30, event_ids=[event_id])
        with pytest.raises(ConcurrencyError):
            store.append("parcel-x", moves("32"), expected_version=30)
        again = store.append("parcel-x", moves("31"), expected_version=30, event_ids=[event_id])
        assert (again.position, again.already_recorded) == (done.position, True)
        assert versions(store.get_events("parcel-x", 30)) == [30, 31]
        assert store._indexed is not None
        folder = store._indexed._path.parent
        assert folder.exists()
    assert not folder.exists()


@pytest.mark.usefixtures("history")
def test_a_subscription_goes_on_in_an_index(
    open_direct: OpenDirect, open_kafka: Callable[[], KafkaStore]
) -> None:
    with open_direct() as store, open_kafka() as other, store.subscribe() as subscription:
        found = first(subscription, 158)
        assert by_aggregate(found) == by_aggregate(store.replay())
        other.append("parcel-x", moves("31"))
        assert places(first(subscription, 1)) == ["31"]
        known = subscription.positions
        store.append("parcel-x", moves("32"))
        assert places(first(store.subscribe(known), 1)) == ["32"]


@pytest.mark.usefixtures("history")
def test_without_an_index_a_url_opens_this_store(kafka_address: str, names: Names) -> None:
    with connect(f"kafka://{kafka_address}?prefix={names.prefix}") as store:
        assert isinstance(store, DirectStore)
        assert len(store.get_events("parcel-x")) == 30


def loaded(store: DirectStore, version: int) -> Snapshot:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = store.snapshots.load_snapshot("parcel-x")
        if found is not None and found.version == version:
            return found
        time.sleep(0.01)
    raise AssertionError(f"no snapshot at {version}")


@pytest.mark.usefixtures("history")
def test_reading_begins_behind_the_snapshot_of_another_process(
    open_direct: OpenDirect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_direct() as store:
        folded = Repository(store, Parcel, snapshot_every=10).get("parcel-x")
    with open_direct() as store:
        loaded(store, 30)
        offsets: list[int] = []
        messages = Scan._messages

        def spy(scan: Scan, consumer: object, partition: object, start: int, end: int) -> object:
            for batch in messages(scan, consumer, partition, start, end):  # type: ignore[arg-type]
                offsets.extend([_offset(it) for it in batch[0]])
                yield batch

        monkeypatch.setattr(Scan, "_messages", spy)
        assert store.get_events("parcel-x", 31) == []
        assert offsets == []
        assert [len(store.get_events("parcel-x", it)) for it in (28, 2)] == [3, 29]
        assert len(offsets) >= 29
        assert Repository(store, Parcel, snapshot_every=10).get("parcel-x") == folded


def _offset(message: Message) -> int:
    return message.offset() or 0


FALSE: dict[str, Callable[[Snapshot, Place], tuple[Snapshot, Place]]] = {
    "another topic id": lambda it, at: (it, at._replace(topic_id="older")),
    "another version": lambda it, at: (
        Snapshot(it.aggregate_id, 40, it.state, it.timestamp, it.fold), at,
    ),
    "ahead of the log": lambda it, at: (it, at._replace(progress=Progress(90_000, 90_000))),
    "another offset": lambda it, at: (it, at._replace(offset=at.offset - 1)),
}  # fmt: skip


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("change", FALSE.values(), ids=FALSE.keys())
def test_what_is_no_snapshot_of_this_log_is_ignored(
    open_direct: OpenDirect,
    producer: Producer,
    change: Callable[[Snapshot, Place], tuple[Snapshot, Place]],
) -> None:
    with open_direct() as store:
        whole = Repository(store, Parcel, snapshot_every=20).get("parcel-x")
        good = loaded(store, 30)
    with open_direct() as store:
        assert loaded(store, 30) == good
        last = store.get_events("parcel-x")[-1].position
        state = store.snapshots.encode_state(
            state_model(Parcel), {"to": "nowhere", "places": [], "delivered": True}
        )
        end = last.offset + 1
        at = Place(store._layout.log_id.topics[last.topic], last.offset, Progress(end, end))
        wrong, place = change(Snapshot("parcel-x", 30, state, START, good.fold), at)
        topic, part = store._layout.snapshots_of("parcel-x")
        for value in (b"garbage", written(wrong, place), None, written(wrong, place), b""):
            producer.produce(topic, value, "parcel-x", part)
        assert producer.flush(SECONDS) == 0
        assert store.snapshots.load_snapshot("parcel-x") is None
        assert Repository(store, Parcel, snapshot_every=20).get("parcel-x") == whole
