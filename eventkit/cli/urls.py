"""What the command line reads from URLs: which file is meant, and which lies beside it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

import typer

from eventkit.connection import parse_sqlite_url
from eventkit.errors import InvalidUrl
from eventkit.masking import masked_url

_BYTES = re.compile(r"[\udc80-\udcff]")
"""What Python makes of bytes of the command line that are no UTF-8."""
_HOW = "write sqlite:///events.db or kafka://host:9092"
_UNUSUAL = re.compile(r"[^A-Za-z0-9_.]+")


def parse_store_url(text: str) -> str:
    """A URL given on the command line; bytes of a file name that are no text become `%FF`."""
    return _BYTES.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", text)


def parse_read_models_url(text: str) -> str:
    """A URL given on the command line; a file name may hold bytes that are no text, as it is."""
    if _BYTES.search(text) and not text.startswith("sqlite:"):
        raise typer.BadParameter(f"{masked_url(text)!r} is no UTF-8 text")
    return text


def sqlite_file(url: str) -> Path | None:
    """The file of a `sqlite:///` URL; None for any other URL.

    Raises:
        InvalidUrl: no store can be opened at this URL.
    """
    if _split(url).scheme != "sqlite":
        return None
    return Path(parse_sqlite_url(url).path)


def read_models_beside(store_url: str) -> str:
    """Where the read models of a store are unless told otherwise: `<stem>-read-models.db`.

    Those of a store on Kafka are in the working directory, named after its address and prefix.

    Raises:
        InvalidUrl: the store is neither a file nor on Kafka, so there is no place beside it.
    """
    parts = _split(store_url)
    if parts.scheme == "kafka":
        prefix = "".join(parse_qs(parts.query).get("prefix", []))
        stem = _UNUSUAL.sub("-", f"{parts.netloc.rpartition('@')[2]}-{prefix}").strip("-.")
        return f"sqlite:///{stem}-read-models.db"
    file = sqlite_file(store_url)
    if file is None:
        raise InvalidUrl(
            store_url, "it is no file beside which read models could be; say --read-models URL"
        )
    return f"sqlite:///{file.with_name(f'{file.stem}-read-models.db')}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:  # such as an address in brackets that is none
        raise InvalidUrl(url, f"{error}; {_HOW}") from error
