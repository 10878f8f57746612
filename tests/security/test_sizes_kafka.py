"""Records that the brokers would not take are refused before anything is written."""

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from eventkit import Append, Appended, EventStore, Repository, connect
from eventkit.errors import InvalidInput
from eventkit.events import Metadata
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.snapshots.writer import SnapshotWriter
from tests.contract.domain import CATEGORIES, Parcel, ParcelMoved, ParcelSent, VanLoaded, moves
from tests.kafka.clients import SECONDS, at
from tests.kafka.conftest import PARTITIONS
from tests.kafka.verify_kit import run

LARGEST = 20_000
Limit = Callable[[str, int], None]


@pytest.fixture
def limit(cluster: Cluster) -> Limit:
    """Set how large the batches of a topic may be; before a store is opened."""

    def limit(topic: str, size: int) -> None:
        entry = ConfigEntry(
            "max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET
        )
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        cluster.admin.incremental_alter_configs([resource])[resource].result(SECONDS)
        while cluster.describe([topic])[topic].settings["max.message.bytes"] != str(size):
            pass

    return limit


@pytest.fixture
def url(kafka_address: str, names: Names) -> str:
    return f"kafka://{kafka_address}?prefix={names.prefix}&fetch.wait.max.ms=10"


@pytest.fixture
def store(url: str, limit: Limit, names: Names, tmp_path: Path) -> Iterator[EventStore]:
    """A store whose parcels take little, and vans as much as usual."""
    limit(names.events("parcel"), LARGEST)
    with connect(f"{url}&index={tmp_path / 'index.db'}") as store:
        store.append("parcel-1", moves("a"))
        yield store


def ends(address: str, names: Names) -> Mapping[tuple[str, int], int]:
    """Where all topics of events end, with what is not committed or was aborted."""
    settings: dict[str, Any] = {**at(address), "group.id": "unused"}
    consumer = Consumer(settings)
    try:
        return {
            (topic, part): consumer.get_watermark_offsets(TopicPartition(topic, part), SECONDS)[1]
            for topic in map(names.events, CATEGORIES)
            for part in range(PARTITIONS)
        }
    finally:
        consumer.close()


LARGE = ParcelMoved(place="x" * LARGEST)
FULL = Metadata(extra={"note": "y" * LARGEST})


def one(store: EventStore) -> object:
    return store.append("parcel-1", [LARGE])


def last_of_several(store: EventStore) -> object:
    return store.append("parcel-1", [*moves(*"abc"), LARGE])


def metadata(store: EventStore) -> object:
    return store.append("parcel-1", moves("b"), metadata=FULL)


def together(store: EventStore) -> object:
    return store.append_all(
        [Append("van-1", [VanLoaded(parcels=["z" * 50_000])]), Append("parcel-1", [LARGE])]
    )


def in_the_other_order(store: EventStore) -> object:
    return store.append_all(
        [Append("parcel-1", [LARGE]), Append("van-1", [VanLoaded(parcels=["z" * 50_000])])]
    )


WAYS = [one, last_of_several, metadata, together, in_the_other_order]


@pytest.mark.parametrize("way", WAYS, ids=lambda it: it.__name__)
def test_what_the_topic_does_not_take_is_refused_and_nothing_is_written(
    way: Callable[[EventStore], object], store: EventStore, kafka_address: str, names: Names
) -> None:
    before = ends(kafka_address, names)
    with pytest.raises(InvalidInput, match=r"record of 2\d,\d+ bytes.* take 20,000.*max\.message"):
        way(store)
    assert ends(kafka_address, names) == before
    assert store.append("parcel-1", moves("c"), expected_version=1).version == 2


def test_one_of_many_that_is_too_large_leaves_the_others_alone(store: EventStore) -> None:
    asked = [Append(f"parcel-{it}", [LARGE] if it == 5 else moves("a")) for it in range(2, 10)]
    outcomes = store.append_each(asked)
    assert [type(it) for it in outcomes] == [
        InvalidInput if it.aggregate_id == "parcel-5" else Appended for it in asked
    ]


def test_a_record_just_as_large_as_the_topic_takes_is_written(store: EventStore) -> None:
    with pytest.raises(InvalidInput) as caught:
        one(store)
    told = int(str(caught.value).split("record of ")[1].split(" bytes")[0].replace(",", ""))
    fits = ParcelMoved(place="x" * (LARGEST - (told - LARGEST)))
    assert store.append("parcel-1", [fits, fits], expected_version=1).version == 3


def test_many_records_at_once_are_not_refused_for_the_size_of_their_batch(
    store: EventStore,
) -> None:
    many = moves(*[f"{number} {'x' * 3_000}" for number in range(100)])
    assert store.append("parcel-1", many, expected_version=1).version == 101
    outcomes: list[object] = []

    def append(number: int) -> None:
        outcomes.append(store.append(f"parcel-{number}", many[:3]).version)

    callers = [threading.Thread(target=append, args=(it,)) for it in range(2, 42)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(SECONDS)
    assert outcomes == [3] * 40


def test_a_line_that_is_too_large_is_rejected_by_its_number(
    store: EventStore, url: str, kafka_address: str, names: Names, tmp_path: Path
) -> None:
    store.append("van-1", [VanLoaded(parcels=[])])  # makes the schemas known
    line = (
        '{{"specversion":"1.0","id":"{}","source":"/x","type":"ParcelMoved","subject":"{}",'
        '"time":"2024-01-01T00:00:00Z","datacontenttype":"application/json",'
        '"data":{{"place":"{}"}}}}\n'
    )
    file = tmp_path / "lines.jsonl"
    file.write_text(line.format(uuid.uuid4(), "parcel-1", "x" * LARGEST))
    before = ends(kafka_address, names)
    told = run("--app", "tests.contract.domain", "--store", url, "import", str(file))
    assert told.code != 0
    assert "take 20,000" in told.out + told.err
    assert ends(kafka_address, names) == before


def test_a_snapshot_that_is_too_large_breaks_nothing(
    url: str, limit: Limit, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(names.snapshots("parcel"), 2_000)
    told = threading.Event()
    note = SnapshotWriter._note

    def noted(writer: SnapshotWriter, reason: str) -> None:
        note(writer, reason)
        told.set()

    monkeypatch.setattr(SnapshotWriter, "_note", noted)
    with connect(f"{url}&index={tmp_path / 'index.db'}") as store:
        repository = Repository(store, Parcel, snapshot_every=2)
        parcel = repository.get("parcel-1") if store.get_events("parcel-1") else None
        assert parcel is None
        store.append("parcel-1", [ParcelSent(to="x"), *moves("y" * 5_000, "z")])
        with repository.edit("parcel-1") as parcel:
            parcel.move("b")
        repository.get("parcel-1")
        assert told.wait(SECONDS)
        assert store.append("parcel-1", moves("c"), expected_version=4).version == 5
        assert repository.get("parcel-1").places[-2:] == ["b", "c"]
