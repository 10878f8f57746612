"""What `verify` needs of Kafka; nothing here is imported for SQLite's users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from eventkit.cli.kafka import topics_at
from eventkit.events import EventTypes
from eventkit.health.findings import Asked, Listener

if TYPE_CHECKING:
    from eventkit.kafka.checking.checkup import KafkaCheckup
    from eventkit.kafka.checking.verifying import KafkaVerifier
    from eventkit.kafka.names import Names
    from eventkit.kafka.settings import KafkaSettings


class Place(NamedTuple):
    """Where a log on Kafka is, and the index that its URL names."""

    settings: KafkaSettings
    names: Names
    index_file: Path | None


def place_of(url: str) -> Place:
    """What a URL says.

    Raises:
        InvalidUrl: the URL leads nowhere.
        InvalidSetting: librdkafka or eventkit cannot take a setting.
        StoreUnavailable: Kafka's client is not installed.
    """
    topics_at(url)  # says what is wrong with the URL, or not installed; asks no broker
    from eventkit.kafka.names import Names  # noqa: PLC0415 - as there
    from eventkit.kafka.urls import parse_url  # noqa: PLC0415

    settings, options = parse_url(url)
    file = options.get("index")
    return Place(settings, Names(options.get("prefix", "")), Path(file) if file else None)


def verifier_at(place: Place, types: EventTypes, asked: Asked, listener: Listener) -> KafkaVerifier:
    """What verifies the log at a place."""
    from eventkit.kafka.checking.verifying import KafkaVerifier  # noqa: PLC0415 - as in `place_of`

    return KafkaVerifier(place.settings, place.names, types, asked, listener)


def checkup_at(place: Place, *, writes: bool) -> KafkaCheckup:
    """What looks at all that a store at a place needs."""
    from eventkit.kafka.checking.checkup import KafkaCheckup  # noqa: PLC0415 - as in `place_of`

    return KafkaCheckup(place.settings, place.names, place.index_file, writes=writes)
