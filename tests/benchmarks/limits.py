"""The limits: the same bytes with SQLite or confluent-kafka, and fastavro, and nothing else."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import fastavro
from confluent_kafka import Producer

from eventkit.codec import AvroCodec
from eventkit.events import Event, EventTypes
from eventkit.ids import new_event_id
from tests.benchmarks.callers import Pace
from tests.benchmarks.kafka_log import PARTITIONS, Log
from tests.benchmarks.spending import Watch
from tests.benchmarks.subjects import ItemNoted, ItemOpened

KAFKA = "confluent-kafka, fastavro"
SQLITE = "sqlite3, fastavro"

_OPENED = {"title": "a story of some length, as they are", "owner": "ann", "rank": 1}
_TABLE = (
    "CREATE TABLE events (position INTEGER PRIMARY KEY, event_id BLOB NOT NULL UNIQUE, "
    "aggregate_id TEXT NOT NULL, version INTEGER NOT NULL, data BLOB NOT NULL, "
    "UNIQUE (aggregate_id, version)) STRICT"
)
_INSERT = "INSERT INTO events (event_id, aggregate_id, version, data) VALUES (?, ?, ?, ?)"


def parsed(cls: type[Event]) -> Any:
    """The schema of an event class, as fastavro wants it."""
    codec = AvroCodec(EventTypes(), lambda _: None)
    return fastavro.parse_schema(json.loads(codec.schema_of(cls).json))


def encoded(schema: Any, values: dict[str, object]) -> bytes:
    """A body as the store writes it: ten bytes that name the schema, then the values."""
    out = io.BytesIO(b"\xc3\x01--------")
    out.seek(10)
    fastavro.schemaless_writer(out, schema, values)
    return out.getvalue()


def kafka_groups(log: Log) -> Callable[[int, int, Watch], Pace]:
    """One transaction after the other, each with one event of each of so many callers.

    That is what group commit makes of callers that wait: no faster way is known to serve them by
    transactions of one producer. Nothing is checked, nothing is read back.
    """
    settings: dict[str, Any] = {
        "bootstrap.servers": log.address, "transactional.id": f"raw-{log.prefix}",
        "linger.ms": 0, "retry.backoff.ms": 2,
    }  # fmt: skip
    producer, schema = Producer(settings), parsed(ItemOpened)
    producer.init_transactions()

    def group(number: int, callers: int) -> None:
        producer.begin_transaction()
        for caller in range(callers):
            headers: Any = [("ce_id", str(new_event_id())), ("ce_type", b"ItemOpened")]
            key = f"raw-{number}-{caller}".encode()
            part = (number + caller) % PARTITIONS
            producer.produce(log.events, encoded(schema, _OPENED), key, part, headers=headers)
        producer.commit_transaction()

    return lambda callers, calls, watch: _groups(callers, calls, group, watch)


def sqlite_groups(folder: Path, callers: int, calls: int, watch: Watch) -> Pace:
    """The same with SQLite: a synced transaction with one row for each caller."""
    with closing(_file(folder / "bare.db")) as file:
        schema = parsed(ItemOpened)

        def group(number: int, callers: int) -> None:
            file.execute("BEGIN IMMEDIATE")
            file.executemany(
                _INSERT,
                [
                    (new_event_id().bytes, f"item-{number}-{it}", 1, encoded(schema, _OPENED))
                    for it in range(callers)
                ],
            )
            file.execute("COMMIT")

        return _groups(callers, calls, group, watch)


def _groups(callers: int, calls: int, group: Callable[[int, int], None], watch: Watch) -> Pace:
    waits = []
    with watch:
        for number in range(max(1, calls // callers)):
            at = perf_counter()
            group(number, callers)
            waits.append(perf_counter() - at)
    return Pace(len(waits) * callers, watch.seconds, sorted(waits))


class BareLoads:
    """Reads the events of one aggregate with sqlite3, and decodes them with fastavro.

    Parameters:
        folder: for the file.
    """

    def __init__(self, folder: Path) -> None:
        self._file = _file(folder / "bare.db")
        self._schema = parsed(ItemNoted)

    def save_history(self, events: int) -> str:
        """Keep so many events of a new aggregate; returns its id."""
        aggregate_id = f"item-b{events}"
        rows = []
        for rank in range(1, events + 1):
            values: dict[str, object] = {
                "text": f"the note with number {rank}", "rank": rank, "author": "ann",
                "amount": rank * 1.5,
            }  # fmt: skip
            body = encoded(self._schema, values)
            rows.append((new_event_id().bytes, aggregate_id, rank, body))
        self._file.execute("BEGIN")
        self._file.executemany(_INSERT, rows)
        self._file.execute("COMMIT")
        return aggregate_id

    def load(self, aggregate_id: str) -> object:
        """Read them."""
        wanted = "SELECT version, data FROM events WHERE aggregate_id = ? ORDER BY version"
        schema = self._schema
        return [
            fastavro.schemaless_reader(io.BytesIO(data[10:]), schema, None)
            for _, data in self._file.execute(wanted, (aggregate_id,))
        ]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _file(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = FULL")
    file.execute(_TABLE)
    return file
