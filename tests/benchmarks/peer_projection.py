"""The read models on the package eventsourcing, as its documentation writes them."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import psycopg
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Composed, Identifier

from tests.benchmarks.subjects import EventsourcingOnPostgres, PeerItem, postgres_settings

_PATIENCE = 600.0


class _View(PostgresTrackingRecorder):
    """Writes a row and the tracking record in one transaction, event by event."""

    table = ""
    columns = ""
    insert = ""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements.append(
            self._sql(f"CREATE TABLE IF NOT EXISTS {{}} ({self.columns})")
        )
        self._insert_row = self._sql(self.insert)

    def write(self, values: dict[str, Any], tracking: Tracking) -> None:
        """Write a row, and that the event is processed."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking=tracking)
            cursor.execute(self._insert_row, values, prepare=True)

    def _sql(self, text: str) -> Composed:
        return SQL(text).format(Identifier(self.datastore.schema, self.table))


class NotesView(_View):
    """One row for each event."""

    table = "peer_notes"
    columns = (
        "item_id uuid, version int, text text NOT NULL, author text NOT NULL, rank int NOT NULL, "
        "PRIMARY KEY (item_id, version)"
    )
    insert = "INSERT INTO {} VALUES (%(item_id)s, %(version)s, %(text)s, %(author)s, %(rank)s)"


class ItemsView(_View):
    """One row for each aggregate."""

    table = "peer_items"
    columns = (
        "item_id uuid PRIMARY KEY, last_text text NOT NULL, rank int NOT NULL, events int NOT NULL"
    )
    insert = (
        "INSERT INTO {} AS it VALUES (%(item_id)s, %(text)s, %(rank)s, 1) "
        "ON CONFLICT (item_id) DO UPDATE SET "
        "last_text = excluded.last_text, rank = excluded.rank, events = it.events + 1"
    )


class _PeerProjection(Projection[_View]):
    """The same events for either view."""

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        raise NotImplementedError(domain_event, tracking)

    @process_event.register
    def _(self, event: PeerItem.Opened, tracking: Tracking) -> None:
        self._write(event, event.title, event.owner, tracking)

    @process_event.register
    def _(self, event: PeerItem.Noted, tracking: Tracking) -> None:
        self._write(event, event.text, event.author, tracking)

    def _write(self, event: Any, text: str, author: str, tracking: Tracking) -> None:
        values = {
            "item_id": event.originator_id, "version": event.originator_version, "text": text,
            "author": author, "rank": event.rank,
        }  # fmt: skip
        self.view.write(values, tracking)


class PeerNotes(_PeerProjection):
    """One row for each event."""

    name = "peernotes"


class PeerItems(_PeerProjection):
    """One row for each aggregate."""

    name = "peeritems"


_VIEWS: dict[type[_PeerProjection], type[_View]] = {PeerNotes: NotesView, PeerItems: ItemsView}


class PeerRebuild:
    """Builds read models from the same events again and again, in an empty database.

    Parameters:
        url: of the database.
        aggregates: how many.
        events: of each.
    """

    def __init__(self, url: str, aggregates: int, events: int) -> None:
        self._url, self._settings = url, postgres_settings(url)
        self._total = aggregates * events
        peer = EventsourcingOnPostgres(url)
        try:
            for _ in range(aggregates):
                peer.save_history(events)
        finally:
            peer.close()

    def per_second(self, projection: type[_PeerProjection]) -> float:
        """Build one anew; events a second, from its start until the last one is visible."""
        view = _VIEWS[projection]
        self._forget(projection, view)
        began = perf_counter()
        with ProjectionRunner(
            application_class=Application,
            projection_class=projection,
            view_class=view,
            env=self._settings,
        ) as runner:
            runner.wait(runner.app.recorder.max_notification_id(), timeout=_PATIENCE)
            seconds = perf_counter() - began
        return self._total / seconds

    def _forget(self, projection: type[_PeerProjection], view: type[_View]) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            for table in (view.table, f"{projection.name}_tracking"):
                connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(table)))
