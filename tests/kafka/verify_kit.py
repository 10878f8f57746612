"""A log that is damaged by plain producers, and what `eventkit verify` says of it."""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Producer
from typer.testing import CliRunner

from eventkit.cli.main import app
from eventkit.codec import AvroCodec
from eventkit.events import EventTypes
from eventkit.kafka.murmur2 import partition_for
from eventkit.kafka.names import Names
from eventkit.kafka.records import framed, new_records, part_of_all
from tests.contract.domain import ParcelMoved
from tests.kafka.clients import SECONDS
from tests.kafka.conftest import PARTITIONS

APP = ("--app", "tests.contract.domain")
_CODEC = AvroCodec(EventTypes(), lambda _: None)
MOVED = _CODEC.encode(ParcelMoved(place="rogue"))


class Told(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def kinds(self) -> list[str]:
        return [it["kind"] for it in self.lines]


def run(*arguments: str) -> Told:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Told(result.exit_code, result.stdout, result.stderr)


class Damaged(NamedTuple):
    """A log of a test, and a producer that knows no rule."""

    address: str
    names: Names
    index_file: Path
    producer: Producer

    @property
    def url(self) -> str:
        return f"kafka://{self.address}?prefix={self.names.prefix}&fetch.wait.max.ms=10"

    def verify(self, *arguments: str, app: bool = True) -> Told:
        """What it says, in JSON."""
        return run(*(APP if app else ()), "--store", self.url, "verify", "--json", *arguments)

    def place_of(self, aggregate_id: str) -> tuple[str, int]:
        topic = self.names.events(aggregate_id.partition("-")[0])
        return topic, partition_for(aggregate_id.encode(), PARTITIONS)

    def write(
        self,
        aggregate_id: str,
        version: int,
        *,
        bodies: Sequence[bytes] = (MOVED,),
        event_type: str = "ParcelMoved",
        parts: slice = slice(None),
        whole: tuple[str, int, int] | None = None,
        place: tuple[str, int] | None = None,
        event_id: uuid.UUID | None = None,
    ) -> int:
        """Write an append, or some parts of it; returns the offset of the last record."""
        new = new_records(
            aggregate_id, [(event_id or uuid.uuid4(), event_type, it) for it in bodies], 0
        )
        if whole is not None:
            new = part_of_all(new, *whole)
        headers = framed(new, uuid.uuid4().hex, version, "rogue")
        topic, part = place or self.place_of(aggregate_id)
        return [
            self.raw(topic, part, record.key, record.value, list(these))
            for record, these in list(zip(new, headers, strict=True))[parts]
        ][-1]

    def raw(
        self, topic: str, part: int, key: bytes | None, value: bytes | None, headers: Any = None
    ) -> int:
        """Write any record; returns its offset."""
        offsets: list[int] = []
        self.producer.produce(
            topic, value, key, part, headers=headers,
            on_delivery=lambda _, it: offsets.append(it.offset() or 0),
        )  # fmt: skip
        self.producer.flush(SECONDS)
        return offsets[0]
