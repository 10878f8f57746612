"""The writer of snapshots costs nobody anything, whatever fails."""

import threading
from datetime import UTC, datetime
from queue import SimpleQueue

import pytest

from eventkit.codec import AvroSchema
from eventkit.errors import StoreUnavailable
from eventkit.kafka.rule import Progress
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.snapshots.record import Place, Placed
from eventkit.kafka.snapshots.writer import SnapshotWriter
from eventkit.store import Snapshot
from tests.threads import refuse

SECONDS = 10.0
NAME = "eventkit snapshots"
STATE = b"\xc3\x01" + bytes(8)
PLACED = Placed(
    Snapshot("task-1", 1, STATE, datetime.now(UTC), "fold"), Place("id-1", 0, Progress(1, 1))
)


def test_a_thread_that_cannot_be_started_is_tried_again_with_the_next_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: SimpleQueue[AvroSchema] = SimpleQueue()

    def ensure(schema: AvroSchema) -> None:
        taken.put(schema)
        raise StoreUnavailable("there is no Kafka")

    writer = SnapshotWriter(KafkaSettings("localhost:1"), lambda _: ("task.snapshots", 0), ensure)
    refuse(monkeypatch, NAME)
    writer.put(PLACED)
    assert writer.failed == 1
    assert taken.empty()
    writer.put(PLACED)
    taken.get(timeout=SECONDS)
    writer.close()
    assert NAME not in {it.name for it in threading.enumerate()}
    assert taken.empty()


def test_a_writer_whose_thread_could_not_be_started_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SnapshotWriter(KafkaSettings("localhost:1"), lambda _: ("", 0), lambda _: None)
    refuse(monkeypatch, NAME)
    writer.put(PLACED)
    writer.close()
