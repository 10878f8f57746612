"""Which event a letter is of, also where damage hides the id of the event."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from eventkit.errors import EventkitError
from eventkit.events import RecordedEvent
from eventkit.projection.texts import storable

HIDDEN = ""
"""In place of an event id that damage hides."""


class Discarded:
    """The events that were given up, by their ids; those whose ids damage hides, by their versions.

    Parameters:
        ids: those that are known.
        versions: aggregates and versions of the others. They are left out also once the damage is
            mended.
    """

    def __init__(self, ids: Collection[UUID], versions: Collection[tuple[str, int]]) -> None:
        self._ids = frozenset(ids)
        self._versions = frozenset(versions)

    def __bool__(self) -> bool:
        return bool(self._ids or self._versions)

    def __contains__(self, recorded: RecordedEvent) -> bool:
        return self.has(id_of(recorded), storable(recorded.aggregate_id), recorded.version)

    def has(self, event_id: UUID | None, aggregate_id: str, version: int) -> bool:
        """As `in`, of an event of which these are known."""
        return (aggregate_id, version) in self._versions or event_id in self._ids


def id_of(recorded: RecordedEvent) -> UUID | None:
    """The id of an event; None where damage hides it."""
    try:
        return recorded.event_id
    except EventkitError:
        return None


def identity(row: Row[*tuple[Any, ...]]) -> tuple[str, ...]:
    """What tells the event of a letter from others, whichever version the letter belongs to."""
    hidden = row.event_id == HIDDEN
    return (row.aggregate_id, str(row.aggregate_version)) if hidden else (row.event_id,)
