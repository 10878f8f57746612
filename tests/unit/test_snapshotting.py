"""Snapshots of one class: taken when due, used when sound, and never in the way."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, PrivateAttr

from eventkit import Aggregate, Event, Metadata, Position, RecordedEvent, Repository, apply
from eventkit.errors import (
    AggregateError,
    CodecError,
    EventkitError,
    StoreBusy,
    StoreClosed,
    StoreCorrupted,
    UndecodableEvent,
)
from eventkit.snapshotting import Snapshotter
from eventkit.sqlite import SqliteStore
from eventkit.store import Snapshot

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class JarFilled(Event):
    grams: int


class JarLabelled(Event):
    text: str


class Jar(Aggregate):
    grams: int = 0
    label: str

    @apply
    def _filled(self, event: JarFilled) -> None:
        self.grams += event.grams

    @apply
    def _labelled(self, event: JarLabelled) -> None:
        self.label = event.text


class Shelf:
    """A snapshot store in memory, which fails where a test wants it to."""

    def __init__(self) -> None:
        self.kept: Snapshot | None = None
        self.values: dict[bytes, dict[str, object]] = {}
        self.load_error: EventkitError | None = None
        self.decode_error: EventkitError | None = None
        self.save_error: EventkitError | None = None

    def load_snapshot(self, _aggregate_id: str) -> Snapshot | None:
        if self.load_error is not None:
            raise self.load_error
        return self.kept

    def save_snapshot(self, snapshot: Snapshot) -> None:
        if self.save_error is not None:
            raise self.save_error
        self.kept = snapshot

    def encode_state(self, _model: type[BaseModel], values: dict[str, object]) -> bytes:
        state = b"state %d" % len(self.values)
        self.values[state] = dict(values)
        return state

    def decode_state(self, _model: type[BaseModel], data: bytes) -> dict[str, object] | None:
        if self.decode_error is not None:
            raise self.decode_error
        return self.values.get(data)


def filled(*minutes: int) -> list[RecordedEvent]:
    """Return events that fill a jar by a gram each, at some minutes after the start."""
    return [
        RecordedEvent(
            UUID(int=version),
            "jar-1",
            version,
            "JarFilled",
            JarFilled(grams=1),
            Metadata(timestamp=START + minute * MINUTE),
            Position("events", 0, version),
        )
        for version, minute in enumerate(minutes, start=1)
    ]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def snapshotter(shelf: Shelf) -> Snapshotter[Jar]:
    return Snapshotter(shelf, Jar, every=3)


def keep(snapshotter: Snapshotter[Jar], *minutes: int) -> None:
    """Fold some events, and keep a snapshot if one is due."""
    events = filled(*minutes)
    snapshotter.keep(Jar.replay_from(events), events, None)


def restored(
    snapshotter: Snapshotter[Jar], version: int | None = None, as_of: datetime | None = None
) -> int:
    """Return at which version an aggregate is that begins at its snapshot."""
    jar = Jar("jar-1")
    snapshotter.restore(jar, version, as_of)
    return jar.version


def test_a_snapshot_is_due_after_so_many_events(
    snapshotter: Snapshotter[Jar], shelf: Shelf
) -> None:
    keep(snapshotter, 0, 1)
    assert list(shelf.values) == []
    keep(snapshotter, 0, 1, 2)
    assert shelf.kept is not None
    assert (shelf.kept.aggregate_id, shelf.kept.version) == ("jar-1", 3)
    assert shelf.values[shelf.kept.state] == {"grams": 3}


@pytest.mark.parametrize("minutes", [(0, 1, 5), (5, 1, 0), (1, 5, 5)])
def test_a_snapshot_carries_the_latest_moment_of_its_events(
    snapshotter: Snapshotter[Jar], shelf: Shelf, minutes: tuple[int, ...]
) -> None:
    keep(snapshotter, *minutes)
    assert shelf.kept is not None
    assert shelf.kept.timestamp == START + 5 * MINUTE


def test_the_latest_moment_may_be_that_of_the_snapshot_before(
    snapshotter: Snapshotter[Jar], shelf: Shelf
) -> None:
    keep(snapshotter, 9, 0, 0)
    events = filled(9, 0, 0, 1, 2, 3)
    snapshotter.keep(Jar.replay_from(events), events[3:], shelf.kept)
    assert shelf.kept is not None
    assert (shelf.kept.version, shelf.kept.timestamp) == (6, START + 9 * MINUTE)


def test_an_aggregate_begins_at_its_snapshot(snapshotter: Snapshotter[Jar]) -> None:
    keep(snapshotter, 0, 1, 2)
    jar = Jar("jar-1")
    assert snapshotter.restore(jar, None, None) is not None
    assert (jar.version, jar.grams) == (3, 3)
    assert not hasattr(jar, "label")


@pytest.mark.parametrize(("version", "expected"), [(None, 3), (4, 3), (3, 3), (2, 0), (1, 0)])
def test_a_snapshot_after_the_version_asked_for_is_not_used(
    snapshotter: Snapshotter[Jar], version: int | None, expected: int
) -> None:
    keep(snapshotter, 0, 1, 2)
    assert restored(snapshotter, version=version) == expected


@pytest.mark.parametrize(("minute", "expected"), [(9, 3), (5, 3), (4, 0), (0, 0)])
def test_a_snapshot_after_the_moment_asked_for_is_not_used(
    snapshotter: Snapshotter[Jar], minute: int, expected: int
) -> None:
    keep(snapshotter, 0, 5, 2)
    assert restored(snapshotter, as_of=START + minute * MINUTE) == expected


def test_a_snapshot_of_other_code_is_not_used(snapshotter: Snapshotter[Jar], shelf: Shelf) -> None:
    keep(snapshotter, 0, 1, 2)
    assert shelf.kept is not None
    shelf.kept = replace(shelf.kept, fold="other")
    assert restored(snapshotter) == 0


def test_a_snapshot_with_other_fields_is_not_used(
    snapshotter: Snapshotter[Jar], shelf: Shelf
) -> None:
    keep(snapshotter, 0, 1, 2)
    shelf.values.clear()
    assert restored(snapshotter) == 0


@pytest.mark.parametrize(
    "error", [StoreBusy("locked"), StoreCorrupted("damaged"), CodecError("no Avro")]
)
@pytest.mark.parametrize("where", ["load_error", "decode_error"])
def test_a_snapshot_that_cannot_be_read_costs_a_fold(
    snapshotter: Snapshotter[Jar],
    shelf: Shelf,
    caplog: pytest.LogCaptureFixture,
    where: str,
    error: EventkitError,
) -> None:
    keep(snapshotter, 0, 1, 2)
    setattr(shelf, where, error)
    assert restored(snapshotter) == 0
    assert caplog.messages == [f"the snapshot of jar-1 cannot be read: {error}"]


def test_a_closed_store_is_no_matter_of_the_snapshot(
    snapshotter: Snapshotter[Jar], shelf: Shelf
) -> None:
    shelf.load_error = StoreClosed("the store")
    with pytest.raises(StoreClosed):
        restored(snapshotter)


@pytest.mark.parametrize(
    "error", [StoreBusy("locked"), UndecodableEvent("Jar", "00", "no"), AggregateError("odd")]
)
def test_a_snapshot_that_cannot_be_kept_is_told_once(
    snapshotter: Snapshotter[Jar],
    shelf: Shelf,
    caplog: pytest.LogCaptureFixture,
    error: EventkitError,
) -> None:
    caplog.set_level(logging.DEBUG, "eventkit.snapshots")
    shelf.save_error = error
    keep(snapshotter, 0, 1, 2)
    keep(snapshotter, 0, 1, 2, 3)
    assert [(it.levelname, it.getMessage()) for it in caplog.records] == [
        ("WARNING", f"no snapshot of jar-1: {error}"),
        ("DEBUG", f"no snapshot of jar-1: {error}"),
    ]


def test_state_outside_the_typed_fields_is_no_snapshot(
    snapshotter: Snapshotter[Jar], shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    events = filled(0, 1, 2)
    jar = Jar.replay_from(events)
    vars(jar).update(zone=1, area=2)
    snapshotter.keep(jar, events, None)
    assert shelf.kept is None
    (message,) = caplog.messages
    assert message == (
        "no snapshot of jar-1: Jar keeps 'area' outside its typed fields, where a snapshot would "
        "lose it; declare it: area: <type>"
    )


class Sieve(Aggregate, category="jar"):
    grams: int = 0
    _grains: list[int] = []  # noqa: RUF012 - each aggregate gets its own copy

    @apply
    def _filled(self, event: JarFilled) -> None:
        self.grams += event.grams
        if event.grams > 1:
            self._grains.append(event.grams)


def test_private_fields_that_changed_are_no_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SqliteStore(tmp_path / "events.db") as store:
        repository = Repository(store, Sieve, snapshot_every=1)
        for grams in (2, 3):
            store.append("jar-1", [JarFilled(grams=grams)])
            assert repository.get("jar-1")._grains == [2, 3][: grams - 1]
        store.append("jar-2", [JarFilled(grams=1)])
        repository.get("jar-2")
        assert store.snapshots.load_snapshot("jar-1") is None
        assert store.snapshots.load_snapshot("jar-2") is not None
    (message,) = caplog.messages
    assert message.endswith("would lose it; declare it: grains: <type>")


class Odd(Aggregate):
    thing: "Undefined"  # type: ignore[name-defined]  # noqa: F821


def test_fields_that_cannot_be_kept_are_told_at_once(shelf: Shelf) -> None:
    with pytest.raises(AggregateError, match="the fields of Odd cannot be read"):
        Snapshotter(shelf, Odd, every=1)


class Line(BaseModel):
    sku: str
    quantity: int = 0
    _raised: int = PrivateAttr(0)

    @cached_property
    def text(self) -> str:
        return f"{self.quantity} {self.sku}"


class LineAdded(Event):
    sku: str


class QuantityRaised(Event):
    by: int


class Sharing(Aggregate, category="order"):
    """Holds the line that is edited in two places."""

    lines: list[Line] = []  # noqa: RUF012 - each aggregate gets its own copy
    current: Line | None = None

    @apply
    def _added(self, event: LineAdded) -> None:
        self.current = Line(sku=event.sku)
        self.lines.append(self.current)

    @apply
    def _raised(self, event: QuantityRaised) -> None:
        assert self.current is not None
        self.current.quantity += event.by


class Counting(Aggregate, category="order"):
    """Counts in a private attribute of a model."""

    line: Line | None = None
    total: int = 0

    @apply
    def _added(self, event: LineAdded) -> None:
        self.line = Line(sku=event.sku)

    @apply
    def _raised(self, event: QuantityRaised) -> None:
        assert self.line is not None
        self.line._raised += event.by
        self.total = self.line._raised


class Computing(Aggregate, category="order"):
    """Asks a model for what it computes once."""

    line: Line | None = None
    text: str = ""

    @apply
    def _added(self, event: LineAdded) -> None:
        self.line = Line(sku=event.sku)

    @apply
    def _raised(self, event: QuantityRaised) -> None:
        assert self.line is not None
        self.text = self.line.text
        self.line.quantity += event.by


class Adding(Aggregate, category="order"):
    """Puts whole numbers into a field for others."""

    total: float = 0
    text: str = ""

    @apply
    def _added(self, event: LineAdded) -> None:
        pass

    @apply
    def _raised(self, event: QuantityRaised) -> None:
        self.total += event.by
        self.text = f"{self.total} pieces"


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Adding, "1 (int) in 'total' would become 1.0 (float)"),
        (Sharing, "one Line is in 'lines' and in 'current'"),
        (Counting, "'line' holds a Line with the private attribute '_raised'"),
        (Computing, "'line' holds a Line that has computed 'text' once"),
    ],
)
def test_a_state_that_would_come_back_as_another_is_no_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cls: type[Aggregate], reason: str
) -> None:
    with SqliteStore(tmp_path / "events.db") as store:
        store.append("order-1", [LineAdded(sku="a"), QuantityRaised(by=1)])
        repository = Repository(store, cls, snapshot_every=2)
        repository.get("order-1")
        store.append("order-1", [QuantityRaised(by=5)])
        assert repository.get("order-1") == Repository(store, cls).get("order-1")
        assert store.snapshots.load_snapshot("order-1") is None
    (message,) = caplog.messages
    assert message.startswith(
        f"no snapshot of order-1: its state would not come back as it is: {reason}"
    )


def test_a_state_that_cannot_be_read_back_is_no_snapshot(
    snapshotter: Snapshotter[Jar],
    shelf: Shelf,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shelf, "decode_state", lambda *_: None)
    keep(snapshotter, 0, 1, 2)
    assert shelf.kept is None
    assert "it could not be read back" in caplog.text


def test_fields_that_are_not_set_yet_stay_unset(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "events.db") as store:
        repository: Any = Repository(store, Jar, snapshot_every=1)
        store.append("jar-1", [JarFilled(grams=5)])
        repository.get("jar-1")
        assert store.snapshots.load_snapshot("jar-1") is not None
        assert not hasattr(repository.get("jar-1"), "label")
        store.append("jar-1", [JarLabelled(text="jam")])
        assert [repository.get("jar-1").label for _ in range(2)] == ["jam", "jam"]
