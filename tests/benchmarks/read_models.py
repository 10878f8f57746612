"""The read models that are measured: a row an event, an upsert, and one that writes hardly."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table

from eventkit import RecordedEvent
from eventkit.projection import Projection, Transaction, on
from tests.benchmarks.subjects import ItemNoted, ItemOpened


class Notes(Projection):
    """One row for each event."""

    name = "bench_notes"
    version = 1
    categories = ("item",)

    notes = Table(
        "bench_notes",
        MetaData(),
        Column("item_id", String, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("text", String, nullable=False),
        Column("author", String, nullable=False),
        Column("rank", Integer, nullable=False),
    )

    @on(ItemOpened)
    def opened(self, recorded: RecordedEvent[ItemOpened], tx: Transaction) -> None:
        event = recorded.event
        self._add(recorded, tx, event.title, event.owner, event.rank)

    @on(ItemNoted)
    def noted(self, recorded: RecordedEvent[ItemNoted], tx: Transaction) -> None:
        event = recorded.event
        self._add(recorded, tx, event.text, event.author, event.rank)

    def _add(
        self, recorded: RecordedEvent, tx: Transaction, text: str, author: str, rank: int
    ) -> None:
        tx.insert(
            self.notes,
            {
                "item_id": recorded.aggregate_id,
                "version": recorded.version,
                "text": text,
                "author": author,
                "rank": rank,
            },
        )


class Items(Projection):
    """One row for each aggregate, changed by each of its events."""

    name = "bench_items"
    version = 1
    categories = ("item",)

    items = Table(
        "bench_items",
        MetaData(),
        Column("item_id", String, primary_key=True),
        Column("last_text", String, nullable=False),
        Column("rank", Integer, nullable=False),
        Column("events", Integer, nullable=False),
    )

    @on(ItemOpened)
    def opened(self, recorded: RecordedEvent[ItemOpened], tx: Transaction) -> None:
        self._set(recorded.aggregate_id, tx, recorded.event.title, recorded.event.rank)

    @on(ItemNoted)
    def noted(self, recorded: RecordedEvent[ItemNoted], tx: Transaction) -> None:
        self._set(recorded.aggregate_id, tx, recorded.event.text, recorded.event.rank)

    def _set(self, item_id: str, tx: Transaction, text: str, rank: int) -> None:
        row = {"item_id": item_id, "last_text": text, "rank": rank}
        tx.upsert(self.items, row, add={"events": 1})


class Totals(Projection):
    """A few rows for all events: the database has little to do, the worker all the more."""

    name = "bench_totals"
    version = 1
    categories = ("item",)

    totals = Table(
        "bench_totals",
        MetaData(),
        Column("part", Integer, primary_key=True),
        Column("author", String, primary_key=True),
        Column("notes", BigInteger, nullable=False),
        Column("ranks", BigInteger, nullable=False),
        Column("highest", Float),
    )

    @on(ItemNoted)
    def noted(self, recorded: RecordedEvent[ItemNoted], tx: Transaction) -> None:
        # A row belongs to one partition: two workers never wait for each other's.
        row = {"part": recorded.position.partition, "author": recorded.event.author}
        tx.upsert(self.totals, row, add={"notes": 1, "ranks": recorded.event.rank})


PROJECTIONS = {cls.name: cls for cls in (Notes, Items, Totals)}
