"""From a URL to a store: the one place that knows every backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import SplitResult, parse_qsl, unquote_to_bytes, urlsplit

from eventkit.errors import InvalidUrl, StoreUnavailable
from eventkit.sqlite import SqliteStore
from eventkit.store import EventStore

if TYPE_CHECKING:
    from eventkit.kafka.direct import DirectStore
    from eventkit.kafka.settings import Setting
    from eventkit.kafka.store import CatchUp, KafkaStore

_LONGEST_TIMEOUT = 1_000_000.0  # seconds; SQLite counts milliseconds in 32 bits
_EXAMPLES = (
    "Write sqlite:///events.db (a file here), sqlite:////var/lib/app/events.db (a path) or "
    "kafka://host:9092."
)


def connect(
    url: str,
    *,
    index: str | Path | None = None,
    kafka: Mapping[str, Setting] | None = None,
    on_catch_up: Callable[[CatchUp], None] | None = None,
) -> EventStore:
    """Open the event store at a URL.

    Parameters:
        url: `sqlite:///events.db`, relative to the working directory, or
            `sqlite:////absolute/path.db`. `?timeout=SECONDS` is how long to wait for the write
            lock of another process (10 unless given).
            `kafka://host:9092`, or several addresses with commas. `?index=FILE` as below;
            `?timeout=SECONDS` is how long an append may take (30 unless given); `?prefix=TEXT` is
            what the names of all topics begin with; an option with a `.` is a setting of
            librdkafka, `?config=FILE` names a file of such settings.
        index: of a store on Kafka: the file that keeps the local copy of the log. All processes of
            a host may share one. Without it a store that only reads keeps no copy, and scans the
            log; the first append makes one in a temporary folder.
        kafka: settings of librdkafka (TLS, SASL, client id ...), for all connections.
        on_catch_up: of a store on Kafka: told now and then how far the index has come, until it is
            up to date.

    Raises:
        InvalidUrl: the URL leads nowhere.
        InvalidSetting: librdkafka or eventkit cannot take a setting.
        StoreError: the store cannot be opened; the message says why.
    """
    if not isinstance(cast("object", url), str):
        raise InvalidUrl(str(url), f"it is no text. {_EXAMPLES}")
    match _split(url).scheme:
        case "kafka":
            return _kafka(url, index, kafka, on_catch_up)
        case "sqlite" if index is not None or kafka is not None or on_catch_up is not None:
            raise InvalidUrl(url, "index, kafka and on_catch_up are for a store on Kafka")
        case "sqlite":
            path, timeout = parse_sqlite_url(url)
            return SqliteStore(path, timeout=timeout)
        case "":
            raise InvalidUrl(url, f"it has no scheme. {_EXAMPLES}")
        case scheme:
            raise InvalidUrl(url, f"there is no store for {scheme}://. {_EXAMPLES}")


class SqliteUrl(NamedTuple):
    """What the URL of an embedded store says.

    Parameters:
        path: of the file; bytes that are no UTF-8 are surrogates, as `os` takes them.
        timeout: seconds to wait for the write lock.
    """

    path: str
    timeout: float


def parse_sqlite_url(url: str) -> SqliteUrl:
    """Take apart `sqlite:///events.db?timeout=SECONDS`.

    Raises:
        InvalidUrl: the URL names no file, or says what is not understood.
    """
    parts = _split(url)
    if not url.lower().startswith("sqlite:///") or len(parts.path) < 2:  # noqa: PLR2004 - "/" and a name
        raise InvalidUrl(url, f"it names no file; mind the three slashes. {_EXAMPLES}")
    if parts.fragment:
        raise InvalidUrl(url, "a file name with '#' is written with %23")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    _check_options(url, options, "timeout")
    path = os.fsdecode(unquote_to_bytes(parts.path[1:]))
    return SqliteUrl(path, _seconds(url, options, "10"))


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:  # such as an address in brackets that is none
        raise InvalidUrl(url, f"{error}. {_EXAMPLES}") from error


def _kafka(
    url: str,
    index: str | Path | None,
    given: Mapping[str, Setting] | None,
    on_catch_up: Callable[[CatchUp], None] | None,
) -> KafkaStore | DirectStore:
    try:
        # Only here: SQLite's users need no Kafka client.
        from eventkit.kafka.direct import DirectStore  # noqa: PLC0415
        from eventkit.kafka.store import KafkaStore  # noqa: PLC0415
        from eventkit.kafka.urls import parse_url  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise StoreUnavailable(
            "a store on Kafka needs the package confluent-kafka: "
            "pip install 'eventkit-kafka[kafka]'"
        ) from error
    settings, options = parse_url(url, given)
    _check_options(url, options, "index", "prefix", "timeout")
    prefix, timeout = options.get("prefix", ""), _seconds(url, options, "30")
    file = index or options.get("index")
    if not file:
        return DirectStore(settings, prefix=prefix, timeout=timeout, on_catch_up=on_catch_up)
    return KafkaStore(settings, index=file, prefix=prefix, timeout=timeout, on_catch_up=on_catch_up)


def _check_options(url: str, options: Mapping[str, str], *known: str) -> None:
    unknown = sorted(options.keys() - {*known})
    if unknown:
        raise InvalidUrl(url, f"unknown option {unknown[0]!r}; there is: {', '.join(known)}")


def _seconds(url: str, options: Mapping[str, str], default: str) -> float:
    timeout = options.get("timeout", default)
    try:
        seconds = float(timeout)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_TIMEOUT:
        raise InvalidUrl(url, f"timeout is a number of seconds, not {timeout!r}")
    return seconds
