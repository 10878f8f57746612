"""Schemas on their way into the file: no event is written whose schema does not stand there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from eventkit.codec import AvroSchema, check_same_meaning
from eventkit.sqlite.writes import Write
from eventkit.store import Appended

_FIND = "SELECT schema FROM schemas WHERE fingerprint = ?"
_ADD = "INSERT INTO schemas (fingerprint, schema) VALUES (?, ?)"


class StoredSchemas:
    """Which schemas the file holds for certain; adds those that are missing of what is written.

    A schema is certain once it was found in the file, or COMMIT has returned for the transaction
    that added it. Whatever happens before (every append that uses it is refused, the transaction is
    rolled back, it is not known what became of it) leaves it to be looked up by the next one: an
    event without its schema could not be read by any other class than that of today.
    """

    def __init__(self) -> None:
        self._certain: set[AvroSchema] = set()

    def add(self, connection: sqlite3.Connection, writes: Iterable[Write]) -> list[AvroSchema]:
        """Add what is missing for the writes that were decided to be made.

        In their transaction, which holds the write lock. Returns what is to be told to `keep`.

        Raises:
            IncompatibleSchema: the file holds another schema under the fingerprint of one.
        """
        uncertain = self._uncertain([write for write in writes if _is_written(write)])
        for schema in uncertain:
            stored = connection.execute(_FIND, (schema.fingerprint,)).fetchone()
            if stored is None:
                connection.execute(_ADD, (schema.fingerprint, schema.json))
            else:
                check_same_meaning(stored[0], schema, schema.name)
        return uncertain

    def keep(self, added: Iterable[AvroSchema]) -> None:
        """What `add` returned is certain now: its transaction is committed."""
        self._certain.update(added)

    def _uncertain(self, writes: Sequence[Write]) -> list[AvroSchema]:
        certain = self._certain
        used = [write.schemas for write in writes if not certain.issuperset(write.schemas)]
        return list({schema for some in used for schema in some} - certain)


def _is_written(write: Write) -> bool:
    return isinstance(write.outcome, Appended) and not write.outcome.already_recorded
