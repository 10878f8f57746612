"""The read models that are measured: a row an event, an upsert, and one that writes hardly."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table

from eventkit import RecordedEvent
from eventkit.projection import Projection, Transaction, on
from tests.benchmarks.subjects import ItemNoted, ItemOpened


class _OfItems(Projection):
    """A read model that takes the same of either kind of event."""

    version = 1
    categories = ("item",)

    @on(ItemOpened)
    def opened(self, recorded: RecordedEvent[ItemOpened], tx: Transaction) -> None:
        event = recorded.event
        self._write(recorded, tx, event.title, event.owner, event.rank)

    @on(ItemNoted)
    def noted(self, recorded: RecordedEvent[ItemNoted], tx: Transaction) -> None:
        event = recorded.event
        self._write(recorded, tx, event.text, event.author, event.rank)

    def _write(
        self, recorded: RecordedEvent, tx: Transaction, text: str, author: str, rank: int
    ) -> None:
        raise NotImplementedError


class Notes(_OfItems):
    """One row for each event."""

    name = "bench_notes"

    notes = Table(
        "bench_notes",
        MetaData(),
        Column("item_id", String, primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("text", String, nullable=False),
        Column("author", String, nullable=False),
        Column("rank", Integer, nullable=False),
    )

    def _write(
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


class Items(_OfItems):
    """One row for each aggregate, changed by each of its events."""

    name = "bench_items"

    items = Table(
        "bench_items",
        MetaData(),
        Column("item_id", String, primary_key=True),
        Column("last_text", String, nullable=False),
        Column("rank", Integer, nullable=False),
        Column("events", Integer, nullable=False),
    )

    def _write(
        self, recorded: RecordedEvent, tx: Transaction, text: str, author: str, rank: int
    ) -> None:
        row = {"item_id": recorded.aggregate_id, "last_text": text, "rank": rank}
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
