"""Side effects: after the commit, in order, at least once, and in no rebuild."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventkit import Event, RecordedEvent
from eventkit.errors import InvalidProjection
from eventkit.projection import DeadLetters, ReadModels, Runner, Versions, effect, worker
from eventkit.projection.versions import rebuild_live
from eventkit.sqlite import SqliteStore
from tests.projection.accounts import (
    Balances,
    Deposited,
    Opened,
    Withdrawn,
    actual,
    expected,
    fill,
)
from tests.projection.following import until
from tests.projection.test_parking import letters, places

pytestmark = pytest.mark.usefixtures("no_pauses")


class Mailing(Balances):
    """Notes the deposits for which a mail went out."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.fails_at: set[tuple[str, int]] = set()

    @effect(Deposited)
    def mailed(self, recorded: RecordedEvent) -> None:
        place = (recorded.aggregate_id, recorded.version)
        if place in self.fails_at:
            raise ConnectionError("no mail server")
        self.sent.append(place)


@pytest.fixture
def mailing(store: SqliteStore, models: ReadModels) -> Mailing:
    """A projection that has run before on a log with history."""
    fill(store, accounts=3, rounds=1)
    mailing = Mailing()
    Runner(mailing, store, models).run()
    return mailing


def deposit(store: SqliteStore, *names: str) -> list[tuple[str, int]]:
    """Deposit on each account; returns what is to be mailed."""
    return [(name, store.append(name, [Deposited(amount=1)]).version) for name in names]


def test_a_projection_that_runs_for_the_first_time_leaves_history_alone(mailing: Mailing) -> None:
    assert mailing.sent == []


def test_effects_run_for_what_comes_from_then_on_in_order_once(
    mailing: Mailing, store: SqliteStore, models: ReadModels
) -> None:
    wanted = deposit(store, "account-1", "account-2", "account-1")
    store.append("account-1", [Withdrawn(amount=1)])
    Runner(mailing, store, models).run()
    assert mailing.sent == wanted
    Runner(mailing, store, models).run()
    assert mailing.sent == wanted
    assert actual(models) == expected(store)


def test_an_effect_finds_its_event_in_the_read_model(
    store: SqliteStore, models: ReadModels
) -> None:
    seen = []

    class Looking(Mailing):
        @effect(Opened)
        def looked(self, recorded: RecordedEvent) -> None:
            seen.append(
                recorded.aggregate_id in dict(row[:2] for row in actual(models)["accounts"])
            )

    Runner(Looking(), store, models).run()
    store.append("account-7", [Opened(owner="x")])
    Runner(Looking(), store, models).run()
    assert seen == [True]


@pytest.mark.usefixtures("mailing")
def test_effects_run_while_the_log_is_followed(store: SqliteStore, models_url: str) -> None:
    stop, sent = threading.Event(), threading.Event()

    class Telling(Mailing):
        @effect(Deposited)
        def mailed(self, recorded: RecordedEvent) -> None:
            super().mailed(recorded)
            if len(self.sent) == 3:
                sent.set()

    telling = Telling()
    with ReadModels(models_url, timeout=30) as models, ThreadPoolExecutor(1) as threads:
        future = threads.submit(Runner(telling, store, models).follow, stop)
        try:
            wanted = deposit(store, "account-1", "account-2", "account-1")
            assert sent.wait(30)
        finally:
            stop.set()
            future.result(30)
    assert telling.sent == wanted


@pytest.mark.parametrize("how", ["rebuild", "rebuild_beside"])
def test_a_rebuild_runs_no_effect_again_and_leaves_none_out(
    mailing: Mailing, store: SqliteStore, models: ReadModels, how: str
) -> None:
    class Second(Mailing):
        version = 2

    done = deposit(store, "account-1")
    Runner(mailing, store, models).run()
    due = deposit(store, "account-2")
    again = Second() if how == "rebuild_beside" else Mailing()
    getattr(Runner(again, store, models), how)()
    Runner(mailing, store, models).run()
    assert (mailing.sent, again.sent) in [(done, due), ([*done, *due], [])]
    assert (again.sent == []) == (how == "rebuild_beside")


def test_no_effect_runs_while_the_read_model_is_rebuilt(
    mailing: Mailing, store: SqliteStore, models: ReadModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Mailing):
        def note(self, recorded: RecordedEvent, tx: object) -> None:
            super().note(recorded, tx)  # type: ignore[arg-type]
            if recorded.position.offset == store.last_position():
                raise KeyboardInterrupt

    monkeypatch.setattr(worker, "_FIRST", 1)
    monkeypatch.setattr(worker, "_LARGEST", 1)
    due = deposit(store, "account-1", "account-2", "account-1")
    interrupted = Interrupted()
    with models.building() as connection:
        rebuild_live(connection, interrupted)
    with pytest.raises(KeyboardInterrupt):
        Runner(interrupted, store, models).follow(threading.Event())
    assert interrupted.sent == []  # though two of them are in the read model
    Runner(mailing, store, models).run()
    assert mailing.sent == due


@pytest.mark.usefixtures("mailing")
def test_an_effect_that_fails_is_tried_again(store: SqliteStore, models: ReadModels) -> None:
    tries = iter([ConnectionError(), ConnectionError()])

    class Unlucky(Mailing):
        @effect(Deposited)
        def mailed(self, recorded: RecordedEvent) -> None:
            for error in tries:
                raise error
            super().mailed(recorded)

    unlucky = Unlucky()
    wanted = deposit(store, "account-1", "account-2")
    Runner(unlucky, store, models).run()
    assert unlucky.sent == wanted
    assert letters(models) == []


def test_an_effect_that_keeps_failing_parks_with_those_behind_it_and_others_run(
    mailing: Mailing,
    store: SqliteStore,
    models: ReadModels,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, other, second = deposit(store, "account-1", "account-2", "account-1")
    mailing.fails_at = {first}
    Runner(mailing, store, models).run()
    third, fourth = deposit(store, "account-1", "account-2")
    Runner(mailing, store, models).run()
    assert mailing.sent == [other, fourth]
    assert places(models) == [
        (*first, "failed"),
        (*second, "waiting"),
        (*third, "waiting"),
    ]
    (letter, *_) = letters(models)
    assert (letter.kind, letter.failed_in, letter.version) == ("effect", "mailed", 0)
    assert letter.error == "ConnectionError: no mail server"
    assert any("effect mailed of projection" in it.getMessage() for it in caplog.records)
    assert actual(models) == expected(store)
    Runner(mailing, store, models).rebuild()
    assert len(letters(models)) == 3  # they are not of one build
    mailing.fails_at = set()
    assert DeadLetters(mailing, store, models).retry() == (3, (), 0)
    assert mailing.sent == [other, fourth, first, second, third]


def test_a_retry_of_an_effect_that_fails_again_keeps_it(
    mailing: Mailing, store: SqliteStore, models: ReadModels
) -> None:
    first, second = deposit(store, "account-1", "account-1")
    mailing.fails_at = {first}
    Runner(mailing, store, models).run()
    done = DeadLetters(mailing, store, models).retry()
    assert (done.applied, len(done.failed), done.parked) == (0, 1, 2)
    assert letters(models)[0].attempts == 4
    dead_letters = DeadLetters(mailing, store, models)
    assert dead_letters.discard(done.failed[0].number, "told by phone") == (1, (), 0)
    assert mailing.sent == [second]


@pytest.mark.usefixtures("mailing")
def test_a_retry_begins_with_the_effect_that_failed(store: SqliteStore, models: ReadModels) -> None:
    called: list[str] = []

    class Two(Mailing):
        broken = True

        @effect(Event)
        def first(self, _recorded: RecordedEvent) -> None:
            called.append("first")

        @effect(Event)
        def second(self, _recorded: RecordedEvent) -> None:
            called.append("second")
            if self.broken:
                raise ValueError

    store.append("account-1", [Withdrawn(amount=1)])
    Runner(Two(), store, models).run()
    assert called == ["first", "second", "second", "second"]
    mended = Two()
    mended.broken = False
    DeadLetters(mended, store, models).retry()
    assert called == ["first", *["second"] * 4]


def test_a_worker_behind_a_retry_parks_for_it_to_find(
    mailing: Mailing, store: SqliteStore, models: ReadModels
) -> None:
    """While the retry runs an effect, a worker comes to the next event of the aggregate."""
    first = deposit(store, "account-1")
    mailing.fails_at = set(first)
    Runner(mailing, store, models).run()

    class Meeting(Mailing):
        @effect(Deposited)
        def mailed(self, recorded: RecordedEvent) -> None:
            if not self.sent:
                deposit(store, "account-1")
                Runner(mailing, store, models).run()
            super().mailed(recorded)

    meeting = Meeting()
    assert DeadLetters(meeting, store, models).retry() == (2, (), 0)
    assert meeting.sent == [*first, (first[0][0], first[0][1] + 1)]
    assert mailing.sent == []


def test_an_effect_takes_the_event_alone_and_is_a_plain_method() -> None:
    with pytest.raises(InvalidProjection, match=r"def note\(self, recorded\)"):
        effect(Deposited)(Balances.note)  # type: ignore[type-var]

    with pytest.raises(InvalidProjection, match="@effect marks plain methods"):

        class Asynchronous(Balances):
            @effect(Deposited)
            async def mailed(self, recorded: RecordedEvent) -> None: ...

    with pytest.raises(InvalidProjection, match="@effect takes event classes"):
        effect(int)  # type: ignore[arg-type]


@pytest.fixture
def dying(tmp_path: Path, models_url: str) -> "Dying":
    return Dying(tmp_path, models_url)


class Dying:
    """Runs `Mailing` in processes that are killed; the file of sent mails is what outlives them."""

    def __init__(self, folder: Path, models_url: str) -> None:
        self._arguments = [str(folder / "events.db"), models_url, str(folder / "sent.txt")]
        self._sent = folder / "sent.txt"

    def __call__(self, point: str, left: int) -> int:
        command = [sys.executable, "-m", "tests.projection.dying_effects", *self._arguments]
        return subprocess.run([*command, point, str(left)], timeout=60, check=False).returncode

    def sent(self) -> list[tuple[str, int]]:
        lines = self._sent.read_text().splitlines() if self._sent.exists() else []
        return [(name, int(version)) for name, version in map(str.split, lines)]


@pytest.mark.usefixtures("mailing")
@pytest.mark.parametrize(("point", "doubled"), [("before the effect", 0), ("after the effect", 1)])
def test_a_worker_killed_around_an_effect_leaves_it_to_the_next(
    point: str, doubled: int, store: SqliteStore, models: ReadModels, dying: Dying
) -> None:
    names = [f"account-{n % 3}" for n in range(12)]
    wanted = deposit(store, *names)
    assert dying(point, 4) == -9
    assert actual(models) == expected(store)  # the batch was committed before
    before = dying.sent()
    assert before == wanted[: 4 + doubled]
    assert dying(point, 3) == -9
    assert dying("never", 0) == 0
    sent = dying.sent()
    assert list(dict.fromkeys(sent)) == wanted
    assert len(sent) == len(wanted) + 2 * doubled
    for name in set(names):
        versions = [version for account, version in sent if account == name]
        assert versions == sorted(versions)


def test_after_a_switch_the_effects_of_the_new_version_begin_without_a_new_event(
    mailing: Mailing, store: SqliteStore, models: ReadModels
) -> None:
    class Mailing2(Mailing):
        version = 2

    newer, stop = Mailing2(), threading.Event()
    runner = Runner(newer, store, models)
    runner.rebuild_beside()
    wanted = deposit(store, "account-1")
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(runner.follow, stop)
        try:
            until(lambda: runner.status().lag == 0)
            assert newer.sent == []
            Versions(mailing.name, models).switch(timeout=10)
            until(lambda: newer.sent == wanted)
        finally:
            stop.set()
            future.result(30)
