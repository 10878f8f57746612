"""Snapshots go through a topic: other indexes have them, and nothing in it makes a state wrong."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from confluent_kafka import Producer

from eventkit import Repository
from eventkit.aggregate import state_model
from eventkit.kafka.names import Names
from eventkit.kafka.rule import Progress
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.snapshots.record import Place, Placed, is_newer, read, written
from eventkit.kafka.store import KafkaStore
from eventkit.store import Snapshot
from tests.contract.domain import Parcel, moves
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import QUICK

Open = Callable[[], KafkaStore]
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(open_kafka: Open) -> Iterator[KafkaStore]:
    with open_kafka() as store:
        yield store


@pytest.fixture
def elsewhere(kafka_address: str, names: Names, tmp_path: Path) -> Iterator[KafkaStore]:
    """The same log on another host: with an index of its own."""
    settings = KafkaSettings(kafka_address, QUICK)
    with KafkaStore(settings, index=tmp_path / "elsewhere.db", prefix=names.prefix) as store:
        yield store


def snapshot_at(store: KafkaStore, aggregate_id: str, version: int) -> Snapshot:
    """Return the snapshot of a version, once it is there."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = store.snapshots.load_snapshot(aggregate_id)
        if found is not None and found.version == version:
            return found
        time.sleep(0.01)
    raise AssertionError(f"no snapshot of {aggregate_id} at {version}")


def kept(store: KafkaStore, aggregate_id: str, version: int) -> Snapshot:
    """Bring an aggregate to a version and keep a snapshot of it."""
    head = len(store.get_events(aggregate_id))
    store.append(aggregate_id, moves(*map(str, range(head + 1, version + 1))))
    Repository(store, Parcel, snapshot_every=1).get(aggregate_id)
    return snapshot_at(store, aggregate_id, version)


def test_snapshots_survive_the_loss_of_the_index(open_kafka: Open, tmp_path: Path) -> None:
    with open_kafka() as store:
        snapshots = [kept(store, f"parcel-{number}", 7) for number in range(5)]
        folded = Repository(store, Parcel).get("parcel-3")
    (tmp_path / "index.db").unlink()
    with open_kafka() as store:
        for number, snapshot in enumerate(snapshots):
            assert snapshot_at(store, f"parcel-{number}", 7) == snapshot
        assert Repository(store, Parcel, snapshot_every=1).get("parcel-3") == folded
    with open_kafka() as store:
        assert store.snapshots.load_snapshot("parcel-4") == snapshots[4]


def test_snapshots_reach_the_indexes_of_other_hosts(
    store: KafkaStore, elsewhere: KafkaStore
) -> None:
    for version in (2, 5):
        snapshot = kept(store, "parcel-1", version)
        assert snapshot_at(elsewhere, "parcel-1", version) == snapshot
    done = elsewhere.append("parcel-1", moves("6"))
    store.wait(done.position)
    assert kept(elsewhere, "parcel-1", 9) == snapshot_at(store, "parcel-1", 9)


class SnapshotTopic:
    """Writes to the topic of snapshots whatever it likes."""

    def __init__(self, store: KafkaStore, producer: Producer) -> None:
        self._layout, self._producer = store._layout, producer

    def put(self, value: bytes | None, key: str = "parcel-1", topic: str | None = None) -> None:
        usual, part = self._layout.snapshots_of("parcel-1")
        self._producer.produce(topic or usual, value, key, part)
        assert self._producer.flush(SECONDS) == 0

    def neighbour(self) -> str:
        """An aggregate whose snapshots go to the partition of those of parcel-1."""
        place = self._layout.snapshots_of
        others = (f"parcel-{number}" for number in range(2, 99))
        return next(it for it in others if place(it) == place("parcel-1"))


@pytest.fixture
def topic(store: KafkaStore, producer: Producer) -> SnapshotTopic:
    return SnapshotTopic(store, producer)


def false_state(store: KafkaStore) -> bytes:
    """A state that no history led to; whoever uses it shows it."""
    parcel = Parcel.replay_from(moves("false"), "parcel-1")
    values: dict[str, object] = {"to": "", "places": parcel.places, "delivered": True}
    return store.snapshots.encode_state(state_model(Parcel), values)


class Fault(NamedTuple):
    """A record that is wrong in one way; it begins as one that would be taken."""

    snapshot: Snapshot
    place: Place
    key: str = "parcel-1"
    category: str = "parcel"
    damage: Callable[[bytes], bytes | None] = bytes

    def moved(self, **place: Any) -> Self:
        return self._replace(place=self.place._replace(**place))

    def at_version(self, version: int) -> Self:
        return self._replace(snapshot=replace(self.snapshot, version=version))


FAULTS: dict[str, Callable[[Fault], Fault]] = {
    "another topic id": lambda it: it.moved(topic_id="of an older topic"),
    "ahead of the log": lambda it: it.at_version(9).moved(
        offset=it.place.offset + 500, progress=Progress(10_000, 10_000)
    ),
    "another offset": lambda it: it.moved(offset=it.place.offset - 1),
    "another version": lambda it: it.at_version(5),
    "another key": lambda it: it._replace(key="parcel-x"),
    "another category": lambda it: it._replace(category="van"),
    "garbage": lambda it: it._replace(damage=lambda _: b"\xff" * 100),
    "cut": lambda it: it._replace(damage=lambda value: value[:-2]),
    "empty": lambda it: it._replace(damage=lambda _: b""),
    "tombstone": lambda it: it._replace(damage=lambda _: None),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_what_is_no_snapshot_of_this_log_is_ignored(
    store: KafkaStore,
    elsewhere: KafkaStore,
    topic: SnapshotTopic,
    fault: Callable[[Fault], Fault],
) -> None:
    good = kept(store, "parcel-1", 3)
    position = store.get_events("parcel-1")[-1].position
    snapshot_at(elsewhere, "parcel-1", 3)
    done = store.append("parcel-1", moves("4"))
    elsewhere.wait(done.position)
    topic_id = store._layout.log_id.topics[position.topic]
    wrong = Snapshot("parcel-1", 4, false_state(store), START, good.fold)
    end = done.position.offset + 1
    at = Place(topic_id, done.position.offset, Progress(end, end))
    it = fault(Fault(wrong, at))
    value = it.damage(written(it.snapshot, it.place))
    topic.put(value, it.key, store._layout.names.snapshots(it.category))
    neighbour = topic.neighbour()
    kept(store, neighbour, 2)
    snapshot_at(elsewhere, neighbour, 2)  # it stands after the fault, so that was read
    whole = Parcel.replay_from(elsewhere.get_events("parcel-1"))
    assert whole.places == ["1", "2", "3", "4"]
    for other in (store, elsewhere):
        assert Repository(other, Parcel, snapshot_every=100).get("parcel-1") == whole
        found = Repository(other, Parcel, snapshot_every=1).get("parcel-1")
        assert found == whole
        assert snapshot_at(other, "parcel-1", 4).state != wrong.state


def test_an_older_snapshot_that_comes_late_does_not_hide_a_newer_one(
    store: KafkaStore, elsewhere: KafkaStore, topic: SnapshotTopic
) -> None:
    kept(store, "parcel-1", 2)
    position = store.get_events("parcel-1")[-1].position
    topic_id = store._layout.log_id.topics[position.topic]
    newer = kept(store, "parcel-1", 6)
    assert snapshot_at(elsewhere, "parcel-1", 6) == newer
    older = Snapshot("parcel-1", 2, newer.state, START, newer.fold)
    end = position.offset + 1
    topic.put(written(older, Place(topic_id, position.offset, Progress(end, end))))
    neighbour = topic.neighbour()
    kept(store, neighbour, 2)
    snapshot_at(elsewhere, neighbour, 2)
    assert elsewhere.snapshots.load_snapshot("parcel-1") == newer


def test_a_snapshot_comes_back_from_its_record_as_it_was() -> None:
    snapshot = Snapshot("parcel-1", 3, b"\xc3\x01" + bytes(20), START, "fold")
    placed = Placed(snapshot, Place("id", 7, Progress(5, 9)))
    assert read(b"parcel-1", written(*placed)) == placed


@pytest.mark.parametrize(
    ("version", "fold", "newer"), [(4, "f", True), (3, "f", False), (2, "f", False), (2, "g", True)]
)
def test_which_of_two_snapshots_is_taken(version: int, fold: str, *, newer: bool) -> None:
    first = Snapshot("parcel-1", 3, b"", START, "f")
    assert is_newer(Snapshot("parcel-1", version, b"", START, fold), first) is newer
    assert is_newer(first, None)
