"""What commands need of a store on Kafka beside the store: its topics, and to see it catch up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventkit.cli.progress import catching_up
from eventkit.connection import connect
from eventkit.errors import InvalidUrl, StoreUnavailable
from eventkit.masking import masked_url
from eventkit.store import EventStore

if TYPE_CHECKING:
    from eventkit.kafka.topics import Topics

_TIMEOUT = 5.0
"""Seconds that the brokers may take for one answer."""
_OPTIONS = ("index", "prefix", "timeout")
"""Of a store on Kafka; what is not for topics does no harm there."""


def is_kafka(url: str) -> bool:
    """Whether a URL is that of a store on Kafka."""
    return url.lower().startswith("kafka://")


@contextmanager
def opened(url: str) -> Iterator[EventStore]:
    """The store at a URL.

    Raises:
        StoreUnavailable: no category has topics on Kafka.
    """
    if not is_kafka(url):
        with connect(url) as store:
            yield store
        return
    _check_any_topics(url)
    with catching_up("reading the log") as report, connect(url, on_catch_up=report) as store:
        yield store


def topics_at(url: str) -> Topics:
    """The topics of a store.

    Raises:
        InvalidUrl: the store is not on Kafka.
        StoreUnavailable: Kafka's client is not installed.
    """
    if not is_kafka(url):
        raise InvalidUrl(url, "topics are Kafka's; say --store kafka://host:port")
    try:
        # Only here: SQLite's users need no Kafka client.
        from eventkit.kafka.cluster import Cluster  # noqa: PLC0415
        from eventkit.kafka.names import Names  # noqa: PLC0415
        from eventkit.kafka.topics import Topics  # noqa: PLC0415
        from eventkit.kafka.urls import parse_url  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise StoreUnavailable(
            "topics are Kafka's, and need the package confluent-kafka: "
            "pip install 'eventkit-kafka[kafka]'"
        ) from error
    settings, options = parse_url(url)
    for unknown in sorted(options.keys() - {*_OPTIONS}):
        raise InvalidUrl(url, f"unknown option {unknown!r}; there is: {', '.join(_OPTIONS)}")
    return Topics(Cluster(settings, timeout=_TIMEOUT), Names(options.get("prefix", "")))


def _check_any_topics(url: str) -> None:
    """See that there is a store on Kafka.

    Raises:
        StoreUnavailable: no category has topics there.
    """
    topics = topics_at(url)
    if not topics.categories():
        raise StoreUnavailable(
            f"there is no event store at {masked_url(url)}: no category has topics there. "
            f"Make them with:\n{topics.how_to_create('CATEGORY')}"
        )


def make_topics(url: str, categories: Sequence[str]) -> list[str]:
    """Make the topics of those categories that have none; returns the names of what was made."""
    topics = topics_at(url)
    there = topics.categories()
    made: list[str] = []
    for category in categories:
        if category not in there:
            made += topics.create(category, *topics.usual_size())
    return made
