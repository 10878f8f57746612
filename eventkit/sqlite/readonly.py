"""Files that are looked at and never made or changed."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from eventkit.errors import StoreUnavailable
from eventkit.sqlite.failures import translated
from eventkit.sqlite.forked import refuse_inherited

_TIMEOUT = 10.0


def open_readonly(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that cannot write.

    Text that is damaged comes with surrogates in it, instead of an error.

    Raises:
        StoreError: there is no such file, or it cannot be opened.
    """
    if not path.exists():
        raise StoreUnavailable(f"there is no file {path}")
    refuse_inherited(path)
    with translated(str(path)):
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode=ro",
            uri=True,
            timeout=_TIMEOUT,
            isolation_level=None,
        )
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
