"""What is measured: the same small domain on eventkit and on the package eventsourcing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate as PeerAggregate
from eventsourcing.domain import event as peer_event

from eventkit import Aggregate, Event, Repository, apply, connect

PEER_PAGE = 1_000
_SAVED_TOGETHER = 2_000
PEER_POOL = "5"
"""Connections: its default, without the ten more that it would open under load. With 200 callers
it appends faster so than with 15 or 50, since each append locks the whole table of events."""


class Subject(Protocol):
    """One library with one store."""

    name: str

    def save_new(self, number: int) -> None:
        """Save a new aggregate with one event."""

    def save_history(self, events: int) -> Any:
        """Save an aggregate with so many events; returns its id."""

    def load(self, aggregate_id: Any) -> Any:
        """Load an aggregate from its events, without snapshots."""

    def keep_snapshot(self, aggregate_id: Any) -> None:
        """Keep a snapshot of an aggregate at its last event."""

    def load_snapshot(self, aggregate_id: Any) -> Any:
        """Load an aggregate from its snapshot."""

    def replay(self) -> Iterator[object]:
        """Read every event of the store as an object of its class."""

    def close(self) -> None:
        """Let go of the store."""


class ItemOpened(Event):
    """An item was put on the list."""

    title: str
    owner: str
    rank: int


class ItemNoted(Event):
    """Somebody wrote something on it."""

    text: str
    rank: int
    author: str
    amount: float


class Item(Aggregate):
    """The aggregate of eventkit."""

    title: str = ""
    owner: str = ""
    rank: int = 0

    def open(self, title: str, owner: str, rank: int) -> None:
        self.record(ItemOpened(title=title, owner=owner, rank=rank))

    def note(self, text: str, rank: int, author: str, amount: float) -> None:
        self.record(ItemNoted(text=text, rank=rank, author=author, amount=amount))

    @apply
    def _opened(self, event: ItemOpened) -> None:
        self.title, self.owner, self.rank = event.title, event.owner, event.rank

    @apply
    def _noted(self, event: ItemNoted) -> None:
        self.rank = event.rank


class PeerItem(PeerAggregate):
    """The same in the words of eventsourcing."""

    class Opened(PeerAggregate.Created):
        title: str
        owner: str
        rank: int

    class Noted(PeerAggregate.Event):
        text: str
        rank: int
        author: str
        amount: float

    @peer_event(Opened)
    def __init__(self, title: str, owner: str, rank: int) -> None:
        self.title, self.owner, self.rank = title, owner, rank

    @peer_event(Noted)
    def note(self, text: str, rank: int, author: str, amount: float) -> None:
        self.rank = rank


def notes(item: Any, events: int) -> Iterator[None]:
    """Bring an item with one event to so many; stops where it is time to save it."""
    for rank in range(1, events):
        item.note(f"the note with number {rank}", rank, "ann", rank * 1.5)
        if rank % _SAVED_TOGETHER == 0:
            yield
    yield


class Eventkit:
    """eventkit on a store.

    Parameters:
        url: of the store.
        index: of a store on Kafka: the file.
    """

    name = "eventkit"

    def __init__(self, url: str, index: str | None = None) -> None:
        self._store = connect(url, index=index)
        self._repository = Repository(self._store, Item)
        self._with_snapshots = Repository(self._store, Item, snapshot_every=1)
        self._histories = 0

    def save_new(self, number: int) -> None:
        item = Item(f"item-{number}")
        item.open(f"item {number}", "ann", number)
        self._repository.save(item)

    def save_history(self, events: int) -> str:
        self._histories += 1
        item = Item(f"item-h{self._histories}")
        item.open("a long story", "ann", 0)
        for _ in notes(item, events):
            self._repository.save(item)
        return item.aggregate_id

    def load(self, aggregate_id: str) -> Item:
        return self._repository.get(aggregate_id)

    def keep_snapshot(self, aggregate_id: str) -> None:
        self._with_snapshots.get(aggregate_id)

    def load_snapshot(self, aggregate_id: str) -> Item:
        return self._with_snapshots.get(aggregate_id)

    def replay(self) -> Iterator[object]:
        return (recorded.event for recorded in self._store.replay())

    def close(self) -> None:
        self._store.close()


class _Peer:
    """eventsourcing 9.5, with the settings of one of its persistence modules."""

    name = "eventsourcing"

    def __init__(self, settings: dict[str, str]) -> None:
        self._application: Application[UUID] = Application(env=settings)
        # One of its own: with snapshots on, each load looks for one.
        with_snapshots = settings | {"IS_SNAPSHOTTING_ENABLED": "y"}
        self._with_snapshots: Application[UUID] = Application(env=with_snapshots)

    def save_new(self, number: int) -> None:
        self._application.save(PeerItem(f"item {number}", "ann", number))

    def save_history(self, events: int) -> UUID:
        item = PeerItem("a long story", "ann", 0)
        for _ in notes(item, events):
            self._application.save(item)
        return item.id

    def load(self, aggregate_id: UUID) -> Any:
        return self._application.repository.get(aggregate_id)

    def keep_snapshot(self, aggregate_id: UUID) -> None:
        self._with_snapshots.take_snapshot(aggregate_id)

    def load_snapshot(self, aggregate_id: UUID) -> Any:
        return self._with_snapshots.repository.get(aggregate_id)

    def replay(self) -> Iterator[object]:
        # The recorder pages as it likes; the public log of an application gives ten at a time.
        start: int | None = 1
        while start is not None:
            page = self._application.recorder.select_notifications(start, PEER_PAGE)
            for notification in page:
                yield self._application.mapper.to_domain_event(notification)
            start = page[-1].id + 1 if page else None

    def close(self) -> None:
        self._with_snapshots.close()
        self._application.close()


class Eventsourcing(_Peer):
    """eventsourcing 9.5 with its SQLite persistence, as its documentation sets it up."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            {
                "PERSISTENCE_MODULE": "eventsourcing.sqlite",
                "SQLITE_DBNAME": str(folder / "eventsourcing.db"),
            }
        )


class EventsourcingOnPostgres(_Peer):
    """eventsourcing 9.5 with its PostgreSQL persistence, on psycopg 3 and its C part.

    It appends by stored procedures, which it leaves off by itself: many callers are faster so.

    Parameters:
        url: of an empty database: `postgresql://user:password@host:port/name`.
    """

    def __init__(self, url: str) -> None:
        super().__init__(postgres_settings(url))


def postgres_settings(url: str) -> dict[str, str]:
    """How the peer is told of a database: `postgresql://user:password@host:port/name`."""
    at = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_HOST": at.hostname or "",
        "POSTGRES_PORT": str(at.port or 5432),
        "POSTGRES_USER": at.username or "",
        "POSTGRES_PASSWORD": at.password or "",
        "POSTGRES_DBNAME": at.path.removeprefix("/"),
        "POSTGRES_POOL_SIZE": PEER_POOL,
        "POSTGRES_MAX_OVERFLOW": "0",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "y",
    }
