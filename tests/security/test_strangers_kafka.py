"""A stranger writes to all topics of a log: readers show what took effect, and nothing ends.

Hostile and mangled records lie between true ones, whose appends go on all the time.
"""

import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from eventkit import EventStore, Repository, connect
from eventkit.errors import StoreError
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records
from tests.contract.domain import Parcel, ParcelMoved, moves, places
from tests.kafka.clients import SECONDS
from tests.kafka.verify_kit import APP, MOVED, Damaged, run
from tests.security.strangers import KEYS, Stranger, hostile, mangled, true_record

MANGLED = 300
SEED = 20


@pytest.fixture
def log(kafka_address: str, names: Names, producer: Producer, tmp_path: Path) -> Damaged:
    return Damaged(kafka_address, names, tmp_path / "index.db", producer)


@pytest.fixture
def store(log: Damaged) -> Iterator[EventStore]:
    with connect(f"{log.url}&index={log.index_file}") as store:
        store.append("parcel-1", moves("a", "b", "c"))
        yield store


def all_strangers() -> list[Stranger]:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated
    true = true_record("parcel-1", 2, MOVED)
    return [*hostile(MOVED), *(mangled(true, chance) for _ in range(MANGLED))]


def write(log: Damaged, strangers: list[Stranger], topic: str, part: int) -> None:
    told: list[object] = []
    for number, it in enumerate(strangers):
        log.producer.produce(
            topic,
            it.value,
            it.key,
            part,
            headers=list(it.headers),
            timestamp=TIMES[number % 2],
            on_delivery=lambda error, _: told.append(error),
        )
    assert log.producer.flush(SECONDS) == 0
    assert told == [None] * len(strangers)


TIMES = (0, 1)
"""Of records, by their producer: now, and 1970; what is of the future no broker takes."""


def shown(store: EventStore) -> list[tuple[str, int]]:
    return sorted((it.aggregate_id, it.version) for it in store.replay())


def test_readers_show_what_took_effect_and_appends_go_on(store: EventStore, log: Damaged) -> None:
    topic, part = log.place_of("parcel-1")
    seen: list[int] = []
    with store.subscribe() as subscription:
        reader = threading.Thread(
            target=lambda: seen.extend(next(subscription).version for _ in range(5)), daemon=True
        )
        reader.start()
        strangers = all_strangers()
        write(log, strangers[::2], topic, part)
        assert store.append("parcel-1", moves("d"), expected_version=3).version == 4
        write(log, strangers[1::2], topic, part)
        assert store.append("parcel-1", moves("e"), expected_version=4).version == 5
        reader.join(SECONDS)
    assert seen == [1, 2, 3, 4, 5]
    true = [("parcel-1", version) for version in range(1, 6)]
    assert shown(store) == true
    assert places(store.get_events("parcel-1")) == list("abcde")
    with connect(log.url) as direct:  # without an index
        assert shown(direct) == true
        assert places(direct.get_events("parcel-1")) == list("abcde")
    with connect(f"{log.url}&index={log.index_file}.new") as fresh:
        assert shown(fresh) == true
    told = log.verify()
    assert told.code == 1
    assert set(told.kinds) <= {"stranger", "gap", "double"}
    assert len(told.lines) == len(strangers)
    table = run("--store", log.url, "verify")
    assert "\x1b" not in table.out + table.err
    assert run("--store", log.url, "doctor", "--json").code in (0, 1)


def test_a_true_record_of_a_hostile_body_is_told_and_what_follows_is_read(
    store: EventStore, log: Damaged
) -> None:
    bodies = [b"", b"\x00" * 100, MOVED[:10], MOVED[:10] + b"\xff" * 10, b"\xc3\x01" + b"\7" * 20]
    for version, body in enumerate(bodies, start=4):
        log.write("parcel-1", version, bodies=[body])
    assert store.append("parcel-2", moves("x")).version == 1
    assert places(store.get_events("parcel-1", to_version=3)) == list("abc")
    assert store.get_events("parcel-2")[0].event == ParcelMoved(place="x")
    assert store.append("parcel-1", moves("y"), expected_version=8).version == 9
    told = log.verify()
    assert sorted(told.kinds) == ["body"] * 4 + ["schema"]


def snapshots() -> list[tuple[bytes, bytes | None]]:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated
    values = [None, b"", MOVED, b"x" * 900_000, *(chance.randbytes(60) for _ in range(50))]
    return [(key, value) for key in KEYS if key for value in values[:3]] + [
        (b"parcel-1", it) for it in values
    ]


def test_hostile_snapshots_change_nothing(store: EventStore, log: Damaged) -> None:
    repository = Repository(store, Parcel, snapshot_every=1)
    assert repository.get("parcel-1").places == list("abc")
    topic, part = log.names.snapshots("parcel"), log.place_of("parcel-1")[1]
    for key, value in snapshots():
        log.producer.produce(topic, value, key, part)
    assert log.producer.flush(SECONDS) == 0
    store.append("parcel-1", moves("d"))
    for url in (f"{log.url}&index={log.index_file}", f"{log.url}&index={log.index_file}.new"):
        with connect(url) as again:
            assert Repository(again, Parcel, snapshot_every=1).get("parcel-1").places[-1] == "d"
    with connect(log.url) as direct:
        assert Repository(direct, Parcel).get("parcel-1").places == list("abcd")
    assert log.verify("--snapshots", "all").code in (0, 1)


REGISTRY: dict[str, tuple[bytes | None, bytes | None]] = {
    "no key": (None, b"x"),
    "no text": (b"\xff\xfe", b"\xff"),
    "a large key": (b"k" * 500_000, b"x"),
    "an empty name": (b"topic:", b"{}"),
    "a name with a quote": (b"topic:'; DROP TABLE topics; --.events", b"{}"),
    "a path": (b"topic:../../etc.events", b"{}"),
    "a name with an escape": (b"topic:\x1b[31m.events", b"{}"),
    "another log": (b"topic:elsewhere.events", b'{"partitions":1,"topic_id":"x","format":1}'),
    "garbage of another log": (b"topic:elsewhere.events", b"[" * 100_000),
}


@pytest.mark.usefixtures("store")
def test_what_strangers_write_to_the_registry_is_passed_over(log: Damaged) -> None:
    for key, value in REGISTRY.values():
        log.raw(log.names.registry, 0, key, value)
    with connect(log.url) as direct:
        assert places(direct.get_events("parcel-1")) == list("abc")


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"partitions":1e999,"topic_id":"\x1b[31m","format":1}', b"7",
     b'{"partitions":999999999,"topic_id":"x","format":1}'],
)  # fmt: skip
def test_a_damaged_record_of_a_topic_is_refused_in_one_line(text: bytes, log: Damaged) -> None:
    log.raw(log.names.registry, 0, f"topic:{log.names.events('parcel')}".encode(), text)
    with pytest.raises(StoreError) as caught:
        connect(log.url)
    assert str(caught.value).replace("\n", "").isprintable()
    for command in ("verify", "doctor"):
        told = run(*APP, "--store", log.url, command)
        assert told.code in (1, 3)
        assert "\x1b" not in told.out + told.err


def test_a_changed_schema_is_refused_and_told(store: EventStore, log: Damaged) -> None:
    texts = store._topics.registry  # type: ignore[attr-defined]
    texts.refresh()
    (key,) = [it for it in texts.texts if not it.startswith("topic:")]
    other = '{"type":"record","name":"ParcelMoved","fields":[{"name":"place","type":"bytes"}]}'
    log.raw(log.names.registry, 0, key.encode(), other.encode())
    with connect(log.url) as direct:
        with pytest.raises(Exception, match=r"ParcelMoved"):
            list(direct.get_events("parcel-1"))
        with pytest.raises(Exception, match=r"it was changed"):
            list(direct.plain_events_of("parcel-1"))  # type: ignore[attr-defined]
    assert "body" in log.verify(app=False).kinds


def test_a_flood_of_open_appends_holds_nobody_up(store: EventStore, log: Damaged) -> None:
    """More first parts of appends, each of a writer of its own, than readers keep open."""
    topic, part = log.place_of("parcel-1")
    (new,) = new_records("parcel-9", [(it, "ParcelMoved", MOVED) for it in [uuid.uuid4()]], 0)
    for number in range(5_000):
        headers = dict(framed([new, new], f"{number}", 1, f"w{number}")[0])
        while log.producer.poll(0):
            pass
        log.producer.produce(topic, new.value, new.key, part, headers=list(headers.items()))
    assert log.producer.flush(SECONDS) == 0
    assert store.append("parcel-1", moves("d"), expected_version=3).version == 4
    with connect(log.url) as direct:
        assert shown(direct) == [("parcel-1", version) for version in range(1, 5)]
