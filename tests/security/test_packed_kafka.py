"""A batch that unpacks to more than a reader takes stops it with advice, not in silence."""

from pathlib import Path

import pytest
from confluent_kafka import Producer

from eventkit import connect
from eventkit.errors import StoreUnavailable
from eventkit.kafka.names import Names
from tests.contract.domain import moves
from tests.kafka.clients import SECONDS

ZEROS = bytes(8_000_000)
SMALL = {"receive.message.max.bytes": 2_000_000, "fetch.max.bytes": 1_000_000}
LARGE = {"receive.message.max.bytes": 20_000_000}


@pytest.fixture
def url(kafka_address: str, names: Names) -> str:
    """A log with one event, and a batch of a few hundred bytes that stands for 8 MB."""
    url = f"kafka://{kafka_address}?prefix={names.prefix}"
    with connect(url) as store:
        store.append("parcel-1", moves("a"))
    largest = {"compression.type": "zstd", "message.max.bytes": 2 * len(ZEROS)}
    stranger = Producer({"bootstrap.servers": kafka_address} | largest)
    topic = names.events("parcel")
    for part in stranger.list_topics(topic, timeout=SECONDS).topics[topic].partitions:
        stranger.produce(topic, ZEROS, b"parcel-1", part)
    assert stranger.flush(SECONDS) == 0
    return url


def test_an_index_ends_with_advice(url: str, tmp_path: Path) -> None:
    advice = r"receive\.message\.max\.bytes=2000000000"
    with (
        pytest.raises(StoreUnavailable, match=advice),
        connect(url, index=tmp_path / "index.db", kafka=SMALL) as store,
    ):
        store.get_events("parcel-1")


def test_a_scan_ends_with_advice(url: str) -> None:
    with connect(url, kafka=SMALL) as store, pytest.raises(StoreUnavailable, match="unpacks"):
        list(store.replay())


def test_the_advice_helps(url: str, tmp_path: Path) -> None:
    with connect(url, index=tmp_path / "index.db", kafka=LARGE) as store:
        assert [it.version for it in store.get_events("parcel-1")] == [1]
        assert store.append("parcel-1", moves("b")).version == 2
