"""A new version beside the live one: built, switched to, gone back from, dropped."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Column, Connection, MetaData, String, Table, inspect

from eventkit.errors import CheckpointMoved, ProjectionError, RebuildNeeded
from eventkit.projection import ReadModels, Runner, worker
from eventkit.projection.builds import builds_of
from eventkit.projection.checkpoints import Checkpoints
from eventkit.projection.source import Partition, SqliteSource
from eventkit.projection.versions_switch import drop, rollback, switch
from eventkit.projection.worker import Worker
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import Deposited, fill
from tests.projection.ledgers import Ledger, Ledger2, Ledger3, expected, glance, held


@pytest.fixture(autouse=True)
def _filled(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_FIRST", 20)
    monkeypatch.setattr(worker, "_LARGEST", 20)
    fill(store, accounts=10)


@pytest.fixture
def beside(store: SqliteStore, models: ReadModels) -> None:
    """Version 1 live, version 2 ready beside it."""
    Runner(Ledger(), store, models).run()
    Runner(Ledger2(), store, models).rebuild_beside()


def roles(models: ReadModels) -> dict[int, str]:
    with models.connect() as connection:
        return {it.version: it.role for it in builds_of(connection, "ledger").values()}


def tables_in(models: ReadModels) -> set[str]:
    with models.connect() as connection:
        names = inspect(connection).get_table_names()
    return {name for name in names if not name.startswith("eventkit_")}


def test_a_version_beside_leaves_the_live_one_as_it_is(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    handled = Runner(Ledger2(), store, models).rebuild_beside()
    assert handled == len(expected(store, 1)["journal"])
    assert (held(models), held(models, "__v2")) == (expected(store, 1), expected(store, 2))
    assert roles(models) == {1: "live", 2: "beside"}
    assert Runner(Ledger2(), store, models).status().state == "ready"


@pytest.mark.usefixtures("beside")
def test_both_versions_follow_the_log_side_by_side(store: SqliteStore, models: ReadModels) -> None:
    store.append("account-1", [Deposited(amount=5)])
    for projection in (Ledger(), Ledger2()):
        assert Runner(projection, store, models).run() == 1
    assert (held(models), held(models, "__v2")) == (expected(store, 1), expected(store, 2))


def test_code_of_a_new_version_names_both_ways_until_it_has_a_build_of_its_own(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    with pytest.raises(RebuildNeeded, match="--beside"):
        Runner(Ledger2(), store, models).run()
    Runner(Ledger2(), store, models).rebuild_beside()
    assert Runner(Ledger2(), store, models).run() == 0


def test_without_any_build_there_is_nothing_to_be_beside_of(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger2(), store, models).rebuild_beside()
    assert (roles(models), held(models)) == ({2: "live"}, expected(store, 2))


@pytest.mark.usefixtures("beside")
def test_a_switch_gives_readers_the_new_version_and_keeps_the_old_one(
    store: SqliteStore, models: ReadModels
) -> None:
    switched = switch(models, "ledger")
    assert switched == ("ledger", 2, 1, None, 0)
    assert (held(models), held(models, "__v1")) == (expected(store, 2), expected(store, 1))
    assert tables_in(models) == {"accounts", "journal", "accounts__v1", "journal__v1"}


@pytest.mark.usefixtures("beside")
def test_after_a_switch_both_versions_go_on_and_a_rollback_is_current(
    store: SqliteStore, models: ReadModels
) -> None:
    switch(models, "ledger")
    store.append("account-1", [Deposited(amount=5)])
    for projection in (Ledger(), Ledger2()):
        assert Runner(projection, store, models).run() == 1
    assert rollback(models, "ledger") == ("ledger", 1, 2, None, 0)
    assert (held(models), held(models, "__v2")) == (expected(store, 1), expected(store, 2))
    assert rollback(models, "ledger").live == 2
    assert held(models) == expected(store, 2)


@pytest.mark.usefixtures("beside")
def test_a_rollback_tells_how_far_the_version_is_behind_and_run_catches_up(
    store: SqliteStore, models: ReadModels
) -> None:
    switch(models, "ledger")
    store.append("account-1", [Deposited(amount=5)])
    Runner(Ledger2(), store, models).run()
    assert rollback(models, "ledger").behind == 1
    assert held(models) == expected(store, 1, store.last_position() - 1)
    Runner(Ledger(), store, models).run()
    assert held(models) == expected(store, 1)


@pytest.mark.usefixtures("beside")
def test_the_next_switch_drops_the_version_before_the_last(
    store: SqliteStore, models: ReadModels
) -> None:
    switch(models, "ledger")
    Runner(Ledger3(), store, models).rebuild_beside()
    assert roles(models) == {1: "previous", 2: "live", 3: "beside"}
    assert switch(models, "ledger").dropped == 1
    assert roles(models) == {2: "previous", 3: "live"}
    assert tables_in(models) == {"accounts", "journal", "accounts__v2", "journal__v2"}
    assert held(models) == expected(store, 3)


def test_versions_come_and_go_for_years(store: SqliteStore, models: ReadModels) -> None:
    Runner(Ledger(), store, models).run()
    for number in range(2, 7):
        version = type("Later", (Ledger,), {"version": number})()
        Runner(version, store, models).rebuild_beside()
        switch(models, "ledger")
        Runner(version, store, models).rebuild()
    assert roles(models) == {5: "previous", 6: "live"}
    assert held(models) == expected(store, 6)


@pytest.mark.usefixtures("beside")
def test_a_dropped_version_leaves_nothing(store: SqliteStore, models: ReadModels) -> None:
    assert drop(models, "ledger") == 2
    assert (roles(models), tables_in(models)) == ({1: "live"}, {"accounts", "journal"})
    with models.connect() as connection:
        assert Checkpoints("ledger", 2, 2).read(connection) == {}
    Runner(Ledger2(), store, models).rebuild_beside()
    assert held(models, "__v2") == expected(store, 2)


def test_a_worker_of_a_dropped_version_never_writes_into_the_next_one(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    Runner(Ledger2(), store, models).rebuild_beside()
    late = Worker(Ledger2(), SqliteSource(store), models)
    drop(models, "ledger")
    Runner(Ledger2(), store, models).rebuild_beside()
    store.append("account-1", [Deposited(amount=5)])
    with pytest.raises(CheckpointMoved):
        late.step(ONLY)


ONLY = Partition("events", 0)

REFUSED: dict[str, Callable[[ReadModels], object]] = {
    "no beside version; it has 1 (live)": lambda models: switch(models, "ledger"),
    "no previous version; it has 1 (live)": lambda models: rollback(models, "ledger"),
    "no version to drop; it has 1 (live)": lambda models: drop(models, "ledger"),
    "no version 7; it has 1 (live)": lambda models: drop(models, "ledger", 7),
    "version 1 is live, readers read it": lambda models: drop(models, "ledger", 1),
    "no projection 'leger' has run into": lambda models: switch(models, "leger"),
    "it holds: ledger": lambda models: drop(models, "leger"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_done_is_refused(
    reason: str, store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    with pytest.raises(ProjectionError) as caught:
        REFUSED[reason](models)
    assert reason in str(caught.value)
    assert (roles(models), held(models)) == ({1: "live"}, expected(store, 1))


def test_the_live_version_cannot_be_built_beside_itself(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    with pytest.raises(ProjectionError, match="Raise `version` in the class"):
        Runner(Ledger(), store, models).rebuild_beside()


@pytest.mark.usefixtures("beside")
def test_one_version_at_a_time_is_beside(store: SqliteStore, models: ReadModels) -> None:
    with pytest.raises(ProjectionError, match="version 2 is beside the live one already"):
        Runner(Ledger3(), store, models).rebuild_beside()


@pytest.mark.usefixtures("beside")
def test_a_version_that_is_not_live_is_not_rebuilt_in_place(
    store: SqliteStore, models: ReadModels
) -> None:
    with pytest.raises(ProjectionError, match="version 2 is not live"):
        Runner(Ledger2(), store, models).rebuild()
    switch(models, "ledger")
    with pytest.raises(ProjectionError, match="projection rollback ledger"):
        Runner(Ledger(), store, models).rebuild()


def test_a_version_that_is_not_ready_is_switched_to_by_force_alone(
    store: SqliteStore, models: ReadModels
) -> None:
    Runner(Ledger(), store, models).run()
    with pytest.raises(KeyboardInterrupt):
        Runner(Ledger2(), store, models).rebuild_beside(interrupt_after(3))
    with pytest.raises(ProjectionError, match="has not caught up"):
        switch(models, "ledger")
    assert held(models) == expected(store, 1)
    switch(models, "ledger", force=True)
    assert held(models) == expected(store, 2, 40)
    Runner(Ledger2(), store, models).run()
    assert held(models) == expected(store, 2)


def interrupt_after(calls: int) -> Callable[[object], None]:
    """Ctrl-C at a report of progress."""
    left = iter(range(calls - 1))

    def report(_now: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return report


def test_an_interrupted_build_beside_goes_on(store: SqliteStore, models: ReadModels) -> None:
    Runner(Ledger(), store, models).run()
    with pytest.raises(KeyboardInterrupt):
        Runner(Ledger2(), store, models).rebuild_beside(interrupt_after(3))
    # How much the first one did depends on how fast it was: batches grow where they are quick.
    assert (
        0 < Runner(Ledger2(), store, models).rebuild_beside() < len(expected(store, 2)["journal"])
    )
    assert held(models, "__v2") == expected(store, 2)


@pytest.mark.usefixtures("beside")
def test_a_build_beside_of_other_tables_begins_again(
    store: SqliteStore, models: ReadModels
) -> None:
    class Changed(Ledger2):
        more = Table("more", MetaData(), Column("id", String, primary_key=True))

    runner = Runner(Changed(), store, models)
    assert runner.status().state == "outdated"
    assert runner.rebuild_beside() == len(expected(store, 2)["journal"])
    assert "more__v2" in tables_in(models)


@pytest.mark.usefixtures("beside")
def test_a_version_far_behind_the_live_one_is_not_switched_to(
    store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.projection.versions_switch._CLOSE", 0)
    store.append("account-1", [Deposited(amount=5)])
    Runner(Ledger(), store, models).run()
    with pytest.raises(ProjectionError, match="1 events behind the live one"):
        switch(models, "ledger")


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("guard", ["there", "taken out"])
def test_a_worker_that_knows_the_names_of_before_finds_its_build_again(
    guard: str, store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the guard, which the test takes out, rows of version 1 would be in version 2."""
    old = Worker(Ledger(), SqliteSource(store), models)
    new = Worker(Ledger2(), SqliteSource(store), models)
    switch(models, "ledger")
    store.append("account-1", [Deposited(amount=5)])
    if guard == "taken out":
        monkeypatch.setattr(Checkpoints, "advance", _unguarded)
    for one in (old, new):
        while one.step(ONLY) is not None:
            pass
    right = (held(models), held(models, "__v1")) == (expected(store, 2), expected(store, 1))
    assert right == (guard == "there")


_GUARDED = Checkpoints.advance


def _unguarded(
    self: Checkpoints,
    connection: Connection,
    partition: Partition,
    expected: int,
    to: int,
    events: int,
) -> None:
    """`Checkpoints.advance` without a look at the number of the build."""
    number = {build.version: build.number for build in builds_of(connection, "ledger").values()}
    current = Checkpoints("ledger", self._version, number[self._version])
    _GUARDED(current, connection, partition, expected, to, events)


@pytest.fixture
def readers(models_url: str) -> Iterator["Readers"]:
    readers = Readers(models_url)
    yield readers
    readers.stop()


class Readers:
    """Threads that read both tables again and again, each time in one transaction."""

    def __init__(self, url: str) -> None:
        self._stop = threading.Event()
        self.seen: list[tuple[set[int], int, int]] = []
        self.errors: list[BaseException] = []
        self._models = ReadModels(url)
        self._threads = [threading.Thread(target=self._read) for _ in range(3)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                with self._models.connect() as connection:
                    self.seen.append(glance(connection))
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.errors.append(error)

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(self.seen) < count and not self.errors:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(30)
        self._models.close()


def test_readers_see_one_whole_version_at_any_time(
    store: SqliteStore, models: ReadModels, readers: Readers
) -> None:
    Runner(Ledger(), store, models).run()
    one, count = glance_of(models)[1:]
    readers.start()
    Runner(Ledger2(), store, models).rebuild_beside()
    for _ in range(5):
        before = len(readers.seen)
        (switch if roles(models)[2] == "beside" else rollback)(models, "ledger")
        readers.wait(before + 12)
    readers.stop()
    assert readers.errors == []
    assert {(min(by), total, rows) for by, total, rows in readers.seen if len(by) == 1} == {
        (1, one, count),
        (2, 100 * one, count),
    }
    assert all(len(by) == 1 for by, *_ in readers.seen)


def glance_of(models: ReadModels) -> tuple[set[int], int, int]:
    with models.connect() as connection:
        return glance(connection)
