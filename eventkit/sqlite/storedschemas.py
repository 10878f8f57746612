"""Schemas on their way into the file: no event is written whose schema does not stand there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from copy import copy

from eventkit.codec import AvroSchema, check_same_meaning
from eventkit.errors import CodecError, EventkitError
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
        self._missing: dict[AvroSchema, None] = {}
        self._unfit: dict[AvroSchema, CodecError] = {}

    def look_up(self, connection: sqlite3.Connection, writes: Iterable[Write]) -> None:
        """Compare what writes use with what the file holds; with the write lock, before all else.

        Callers have done so, but between then and now another one may have come with a schema of
        the same fingerprint: from another process, or in these very writes, of which the earliest
        counts.
        """
        self._missing.clear()
        self._unfit.clear()
        new: dict[bytes, str] = {}
        for schema in self._uncertain(writes):
            found = connection.execute(_FIND, (schema.fingerprint,)).fetchone()
            text = new.setdefault(schema.fingerprint, schema.json) if found is None else found[0]
            try:
                check_same_meaning(text, schema, schema.name)
            except CodecError as error:
                self._unfit[schema] = error
            else:
                if found is None:
                    self._missing[schema] = None
                else:
                    self._certain.add(schema)

    def obstacle(self, write: Write) -> EventkitError | None:
        """Why a write cannot be made, if one of its schemas is the cause."""
        if not self._unfit:
            return None
        errors = (self._unfit.get(schema) for schema in write.schemas)
        return next((copy(error) for error in errors if error is not None), None)

    def add(self, connection: sqlite3.Connection, writes: Sequence[Write]) -> list[AvroSchema]:
        """Add what is missing for the writes that were decided to be made.

        In the transaction of `look_up`. Returns what is to be told to `keep`.
        """
        if not self._missing:
            return []
        used = {schema for write in writes if _is_written(write) for schema in write.schemas}
        added = {it.fingerprint: it for it in self._missing if it in used}
        for fingerprint, schema in added.items():
            connection.execute(_ADD, (fingerprint, schema.json))
        return list(added.values())

    def keep(self, added: Iterable[AvroSchema]) -> None:
        """What `add` returned is certain now: its transaction is committed."""
        self._certain.update(added)

    def _uncertain(self, writes: Iterable[Write]) -> Iterable[AvroSchema]:
        """In the order of the writes."""
        certain = self._certain
        used = [write.schemas for write in writes if not certain.issuperset(write.schemas)]
        return dict.fromkeys(it for some in used for it in some if it not in certain)


def _is_written(write: Write) -> bool:
    return isinstance(write.outcome, Appended) and not write.outcome.already_recorded
