"""Repositories: load, decide, save; and again when somebody else was faster."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from eventkit import (
    Aggregate,
    AggregateNotFound,
    Appended,
    ConcurrencyError,
    DuplicateEventId,
    Event,
    Metadata,
    Repository,
    aio,
    apply,
)
from eventkit.aggregate import pending_of
from eventkit.errors import InvalidAggregateId, InvalidInput, MissingApply
from eventkit.sqlite import SqliteStore
from tests.aio_kit import RepositoryFace, loop_thread

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
ANN = Metadata(caused_by_user="ann", timestamp=NOON)


class SeatTaken(Event):
    by: str


class SeatFreed(Event):
    pass


class Seat(Aggregate):
    by: str | None = None

    def take(self, who: str) -> str:
        if self.by is not None:
            raise ValueError(self.by)
        self.record(SeatTaken(by=who))
        return f"taken by {who}"

    @apply
    def _taken(self, event: SeatTaken) -> None:
        self.by = event.by

    @apply
    def _freed(self, _event: SeatFreed) -> None:
        self.by = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "events.db") as store:
        yield store


class Seats(Protocol):
    """A repository of seats, whether its calls are awaited behind this or not."""

    def get(
        self, aggregate_id: str, version: int | None = None, as_of: datetime | None = None
    ) -> Seat: ...

    def save(self, aggregate: Seat, metadata: Metadata | None = None) -> Appended | None: ...

    def edit(
        self, aggregate_id: str, metadata: Metadata | None = None
    ) -> AbstractContextManager[Seat]: ...

    def execute(
        self,
        aggregate_id: str,
        command: Callable[[Seat], Any],
        metadata: Metadata | None = None,
        attempts: int = 10,
    ) -> Any: ...


@pytest.fixture(params=["called", "awaited"])
def seats(store: SqliteStore, request: pytest.FixtureRequest) -> Iterator[Seats]:
    if request.param == "called":
        yield Repository(store, Seat)
        return
    with loop_thread() as loop:
        awaited = aio.EventStore(store)
        yield RepositoryFace(loop, aio.Repository(awaited, Seat))
        loop.run(awaited.close())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the pauses between attempts instead of making them; chance is always 1."""
    made: list[float] = []

    async def noted(pause: float) -> None:
        made.append(pause)

    monkeypatch.setattr("eventkit.repository.sleep", made.append)
    monkeypatch.setattr("eventkit.aio.repository.sleep", noted)
    monkeypatch.setattr("eventkit.steps.random.random", lambda: 1.0)
    return made


def test_what_was_saved_can_be_got(seats: Seats, store: SqliteStore) -> None:
    seat = Seat("seat-1")
    seat.take("ann")
    done = seats.save(seat, ANN)
    assert done is not None
    assert (done.aggregate_id, done.version) == ("seat-1", 1)
    assert seats.get("seat-1") == seat
    assert [item.metadata for item in store.get_events("seat-1")] == [ANN]


def test_saving_nothing_does_nothing(seats: Seats, store: SqliteStore) -> None:
    assert seats.save(Seat("seat-1")) is None
    assert store.get_events("seat-1") == []


def test_a_saved_aggregate_can_go_on(seats: Seats) -> None:
    seat = Seat("seat-1")
    for name in ("ann", "bob"):
        seat.take(name)
        seats.save(seat)
        seat.record(SeatFreed())
    seats.save(seat)
    assert (seats.get("seat-1").version, seats.get("seat-1").by) == (4, None)


def test_who_saves_second_loses_and_keeps_what_was_decided(seats: Seats) -> None:
    one, two = Seat("seat-1"), Seat("seat-1")
    one.take("ann")
    two.take("bob")
    seats.save(one)
    with pytest.raises(ConcurrencyError) as caught:
        seats.save(two)
    assert (caught.value.expected, caught.value.actual) == (0, 1)
    assert list(two.pending_events) == [SeatTaken(by="bob")]
    assert seats.get("seat-1").by == "ann"


def test_saving_again_what_was_saved_without_knowing_writes_it_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seats = Repository(store, Seat)
    seat = Seat("seat-1")
    seat.take("ann")
    append = store.append

    def fails_late(*arguments: object, **options: object) -> None:
        append(*arguments, **options)  # type: ignore[arg-type]
        raise TimeoutError

    monkeypatch.setattr(store, "append", fails_late)
    with pytest.raises(TimeoutError):
        seats.save(seat)
    monkeypatch.undo()
    done = seats.save(seat)
    assert done is not None
    assert (done.version, done.already_recorded) == (1, True)
    assert seats.get("seat-1").version == 1


def saved_unknown_to(seat: Seat, seats: Seats) -> None:
    """Save what a seat has recorded, without telling it."""
    seats.save(copy.deepcopy(seat))


@pytest.mark.parametrize("turns", [1, 2])
def test_what_was_saved_without_knowing_can_be_saved_with_more(
    seats: Seats, store: SqliteStore, turns: int
) -> None:
    seat = Seat("seat-1")
    names = ["ann", "bob"]
    for name in names[:turns]:
        seat.take(name)
        seat.record(SeatFreed())
        saved_unknown_to(seat, seats)
    seat.take("eve")
    done = seats.save(seat)
    assert done is not None
    assert (done.version, done.already_recorded) == (2 * turns + 1, False)
    assert seat.pending_events == ()
    assert seats.get("seat-1") == seat
    assert len(store.get_events("seat-1")) == 2 * turns + 1


def test_what_was_saved_without_knowing_is_told_from_what_lost(seats: Seats) -> None:
    seat = Seat("seat-1")
    seat.take("ann")
    saved_unknown_to(seat, seats)
    rival = seats.get("seat-1")
    rival.record(SeatFreed())
    seats.save(rival)
    seat.record(SeatFreed())
    with pytest.raises(ConcurrencyError) as caught:
        seats.save(seat)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert seat.pending_events == (SeatFreed(),)


def test_an_id_that_is_taken_by_other_content_is_not_taken_for_what_was_saved(
    seats: Seats, store: SqliteStore
) -> None:
    seat = Seat("seat-1")
    seat.take("ann")
    taken = pending_of(seat)[0].event_id
    store.append("seat-1", [SeatTaken(by="bob")], event_ids=[taken])
    seat.record(SeatFreed())
    with pytest.raises(DuplicateEventId, match="its content differs"):
        seats.save(seat)
    assert len(seat.pending_events) == 2
    assert len(store.get_events("seat-1")) == 1


def test_an_aggregate_without_an_id_cannot_be_saved(seats: Seats) -> None:
    seat = Seat()
    seat.take("ann")
    with pytest.raises(InvalidAggregateId):
        seats.save(seat)


@pytest.mark.parametrize("aggregate_id", ["seat", "", "seat-"])
def test_what_is_no_id_is_refused(seats: Seats, aggregate_id: str) -> None:
    with pytest.raises((InvalidAggregateId, AggregateNotFound)):
        seats.get(aggregate_id)


def test_an_aggregate_without_events_is_not_found(seats: Seats) -> None:
    with pytest.raises(AggregateNotFound, match="seat-1 has no events") as caught:
        seats.get("seat-1")
    assert caught.value.aggregate_id == "seat-1"


def test_an_event_the_class_cannot_apply_is_named(seats: Seats, store: SqliteStore) -> None:
    class SeatPainted(Event):
        pass

    store.append("seat-1", [SeatPainted()])
    with pytest.raises(MissingApply, match="Seat has no @apply method for SeatPainted"):
        seats.get("seat-1")


class TestTimeTravel:
    @pytest.fixture(autouse=True)
    def _history(self, store: SqliteStore) -> None:
        for hour, event in enumerate([SeatTaken(by="ann"), SeatFreed(), SeatTaken(by="bob")]):
            metadata = Metadata(timestamp=NOON + timedelta(hours=hour))
            store.append("seat-1", [event], metadata=metadata)

    @pytest.mark.parametrize(("version", "by"), [(1, "ann"), (2, None), (3, "bob")])
    def test_back_to_a_version(self, seats: Seats, version: int, by: str | None) -> None:
        seat = seats.get("seat-1", version=version)
        assert (seat.version, seat.by) == (version, by)

    @pytest.mark.parametrize(("minutes", "by"), [(0, "ann"), (59, "ann"), (60, None), (999, "bob")])
    def test_back_to_a_moment(self, seats: Seats, minutes: int, by: str | None) -> None:
        assert seats.get("seat-1", as_of=NOON + timedelta(minutes=minutes)).by == by

    def test_a_version_and_a_moment_bound_each_other(self, seats: Seats) -> None:
        late, early = NOON + timedelta(hours=9), NOON
        assert seats.get("seat-1", version=2, as_of=late).version == 2
        assert seats.get("seat-1", version=2, as_of=early).version == 1

    def test_the_future_is_not_found(self, seats: Seats) -> None:
        with pytest.raises(AggregateNotFound, match="is at version 3; there is no version 4"):
            seats.get("seat-1", version=4)

    def test_the_time_before_is_not_found(self, seats: Seats) -> None:
        with pytest.raises(AggregateNotFound, match="had no events at 2024-02-29T11:59"):
            seats.get("seat-1", as_of=NOON - timedelta(minutes=1))

    @pytest.mark.parametrize("version", [0, -1])
    def test_there_is_no_version_before_1(self, seats: Seats, version: int) -> None:
        with pytest.raises(InvalidInput):
            seats.get("seat-1", version=version)

    def test_a_moment_needs_a_time_zone(self, seats: Seats) -> None:
        with pytest.raises(InvalidInput, match="time zone"):
            seats.get("seat-1", as_of=NOON.replace(tzinfo=None))

    def test_an_aggregate_of_the_past_cannot_be_saved_over_the_present(self, seats: Seats) -> None:
        seat = seats.get("seat-1", version=2)
        seat.take("eve")
        with pytest.raises(ConcurrencyError):
            seats.save(seat)


class TestEdit:
    def test_what_is_recorded_inside_is_saved_at_the_end(self, seats: Seats) -> None:
        with seats.edit("seat-1", ANN) as seat:
            seat.take("ann")
        with seats.edit("seat-1") as seat:
            seat.record(SeatFreed())
            seat.take("bob")
        assert (seats.get("seat-1").version, seats.get("seat-1").by) == (3, "bob")

    def test_an_error_inside_saves_nothing(self, seats: Seats, store: SqliteStore) -> None:
        def spoil() -> None:
            with seats.edit("seat-1") as seat:
                seat.take("ann")
                seat.take("bob")

        with pytest.raises(ValueError, match="ann"):
            spoil()
        assert store.get_events("seat-1") == []

    def test_a_conflict_is_raised(self, seats: Seats, store: SqliteStore) -> None:
        def lose() -> None:
            with seats.edit("seat-1") as seat:
                seat.take("ann")
                store.append("seat-1", [SeatTaken(by="bob")])

        with pytest.raises(ConcurrencyError):
            lose()
        assert seats.get("seat-1").by == "bob"


class TestExecute:
    def test_a_command_runs_on_the_aggregate_and_its_result_comes_back(
        self, seats: Seats, store: SqliteStore
    ) -> None:
        assert seats.execute("seat-1", lambda seat: seat.take("ann"), ANN) == "taken by ann"
        assert [item.metadata for item in store.get_events("seat-1")] == [ANN]

    def test_a_command_that_lost_runs_again_on_what_is_there_then(
        self, seats: Seats, store: SqliteStore, pauses: list[float]
    ) -> None:
        seen: list[tuple[int, str | None]] = []

        def take(seat: Seat) -> None:
            seen.append((seat.version, seat.by))
            if len(seen) < 3:
                store.append("seat-1", [SeatTaken(by=f"rival {len(seen)}"), SeatFreed()])
            seat.take("ann")

        seats.execute("seat-1", take)
        assert seen == [(0, None), (2, None), (4, None)]
        assert (seats.get("seat-1").version, seats.get("seat-1").by) == (5, "ann")
        assert pauses == [0.002, 0.004]

    def test_a_command_that_always_loses_gives_up_with_the_conflict(
        self, seats: Seats, store: SqliteStore, pauses: list[float]
    ) -> None:
        def lose(seat: Seat) -> None:
            store.append("seat-1", [SeatFreed()])
            seat.record(SeatFreed())

        with pytest.raises(ConcurrencyError) as caught:
            seats.execute("seat-1", lose, attempts=10)
        assert (caught.value.expected, caught.value.actual) == (9, 10)
        assert pauses == [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.25]

    def test_an_error_of_the_command_is_raised_at_once(
        self, seats: Seats, store: SqliteStore
    ) -> None:
        runs: list[int] = []

        def fail(seat: Seat) -> None:
            runs.append(seat.version)
            seat.take("ann")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            seats.execute("seat-1", fail)
        assert (runs, store.get_events("seat-1")) == ([0], [])

    def test_a_command_may_decide_to_do_nothing(self, seats: Seats) -> None:
        assert seats.execute("seat-1", lambda seat: seat.by) is None

    @pytest.mark.parametrize("attempts", [0, -1])
    def test_there_is_at_least_one_attempt(self, seats: Seats, attempts: int) -> None:
        with pytest.raises(InvalidInput):
            seats.execute("seat-1", lambda seat: seat.take("ann"), attempts=attempts)


@pytest.mark.parametrize("every", [0, -1])
def test_snapshots_are_taken_every_so_many_events(store: SqliteStore, every: int) -> None:
    with pytest.raises(InvalidInput):
        Repository(store, Seat, snapshot_every=every)


def test_a_repository_makes_its_store_read_with_the_classes_of_its_aggregate(
    store: SqliteStore,
) -> None:
    def other_class_of_the_same_name() -> type[Event]:
        class SeatTaken(Event):
            other: str = ""

        return SeatTaken

    other_class_of_the_same_name()
    with SqliteStore(store._path) as second:
        second.append("seat-1", [SeatTaken(by="ann")])
    assert Repository(store, Seat).get("seat-1").by == "ann"
