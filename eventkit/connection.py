"""From a URL to a store: the one place that knows every backend."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from eventkit.errors import InvalidUrl
from eventkit.sqlite import SqliteStore
from eventkit.store import EventStore

_EXAMPLES = "Write sqlite:///events.db (a file here) or sqlite:////var/lib/app/events.db (a path)."


def connect(url: str) -> EventStore:
    """Open the event store at a URL.

    Parameters:
        url: `sqlite:///events.db`, relative to the working directory, or
            `sqlite:////absolute/path.db`. `?timeout=SECONDS` is how long to wait for the write
            lock of another process (10 unless given).

    Raises:
        InvalidUrl: the URL leads nowhere.
        StoreError: the store cannot be opened; the message says why.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "sqlite":
            return _sqlite(url, parts.netloc, parts.path, dict(parse_qsl(parts.query)))
        case "":
            raise InvalidUrl(url, f"it has no scheme. {_EXAMPLES}")
        case scheme:
            raise InvalidUrl(url, f"there is no store for {scheme}://. {_EXAMPLES}")


def _sqlite(url: str, netloc: str, path: str, options: dict[str, str]) -> SqliteStore:
    if netloc or len(path) < 2:  # noqa: PLR2004 - "/" and a name
        raise InvalidUrl(url, f"it names no file; mind the three slashes. {_EXAMPLES}")
    timeout = options.pop("timeout", "10")
    if options:
        raise InvalidUrl(url, f"unknown option {min(options)!r}; there is: timeout")
    try:
        seconds = float(timeout)
    except ValueError as error:
        raise InvalidUrl(url, f"timeout is a number of seconds, not {timeout!r}") from error
    return SqliteStore(Path(unquote(path[1:])), timeout=seconds)
