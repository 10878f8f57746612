"""Each named step is still where the library passes, and strikes do what they say."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from eventkit import Append, connect
from eventkit.kafka.cluster import Cluster
from eventkit.kafka.names import Names
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from eventkit.kafka.topics import Topics
from eventkit.kafka.writing.doubt import Doubt
from eventkit.kafka.writing.transactions import Transactions
from eventkit.projection import ReadModels, Runner
from eventkit.projection.versions_switch import switch
from tests.torture.domain import CATEGORY, Jotted
from tests.torture.failpoints import CALM, ONLY, SEED, STEPS, Failed, wrapped
from tests.torture.read_models import projection_class

SECONDS = 30.0

Opened = Callable[[str], KafkaStore]


class Passed:
    """The steps that were passed; one can be made to fail at."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.fails = ""

    def take(self, name: str, _: Any) -> None:
        self.names.add(name)
        if name == self.fails:
            self.fails = ""
            raise Failed(name)


@pytest.fixture
def passed() -> Iterator[Passed]:
    passed = Passed()
    with wrapped(passed.take):
        yield passed


@pytest.fixture
def opened(kafka_address: str, tmp_path: Path, passed: Passed) -> Iterator[Opened]:
    """Opens stores on a log of this test, with the index of that name."""
    assert passed.names == set()  # the stores are opened when the steps are wrapped
    names = Names(f"{uuid.uuid4().hex}.")
    Topics(Cluster(KafkaSettings(kafka_address)), names).create(CATEGORY, 1, 1)
    stores: list[KafkaStore] = []

    def open_store(index: str) -> KafkaStore:
        url = f"kafka://{kafka_address}?prefix={names.prefix}&fetch.wait.max.ms=10"
        store = connect(url, index=tmp_path / f"{index}.db")
        assert isinstance(store, KafkaStore)
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


def jotted() -> list[Jotted]:
    return [Jotted(token=uuid.uuid4().hex)]


def race(*stores: KafkaStore, until: Callable[[], bool]) -> None:
    """All append to one aggregate at once, until something was seen."""
    deadline = monotonic() + SECONDS

    def append(store: KafkaStore) -> None:
        while not until() and monotonic() < deadline:
            store.append("note-1", jotted())

    threads = [threading.Thread(target=append, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def decide_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next time that a writer is in doubt, its records stay undecided for too long."""
    original, answers = Doubt._reached, iter([False])

    def reached(*arguments: Any) -> bool:
        return original(*arguments) and next(answers, True)

    monkeypatch.setattr(Doubt, "_reached", reached)


def leave_undecided(store: KafkaStore) -> None:
    """A writer proposes something, and is never heard of again."""
    dead = Transactions(store._settings.producer(f"dead-{uuid.uuid4()}"), SECONDS)
    dead.open(SECONDS)
    waiting = store._waiting(Append("note-2", jotted()))
    waiting.first_version = 1
    dead.propose([waiting])


def project(store: KafkaStore, url: str, passed: Passed) -> None:
    """Two versions of a read model; the second one becomes live."""
    one, two = (projection_class("notes", version)() for version in (1, 2))
    stop = threading.Event()
    with ReadModels(url) as models:
        runner = Runner(one, store, models)
        follower = threading.Thread(target=runner.follow, args=(stop,))
        follower.start()
        done = store.append("note-1", jotted())
        runner.wait(done.position, SECONDS)
        deadline = monotonic() + SECONDS
        while "projection: before group offsets" not in passed.names and monotonic() < deadline:
            stop.wait(0.05)
        stop.set()
        follower.join()
        Runner(two, store, models).rebuild_beside()
        switch(models, "notes")


@pytest.mark.timeout(120)
def test_every_step_is_still_passed(
    opened: Opened, passed: Passed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, elsewhere = opened("shared"), opened("shared"), opened("elsewhere")
    one.append("note-1", jotted())
    other.append("note-1", jotted())
    race(one, elsewhere, until=lambda: "abort: after" in passed.names)
    one.append_all([Append("note-3", jotted()), Append("note-4", jotted())])
    decide_late(monkeypatch)
    passed.fails = "read back: after"
    one.append("note-1", jotted())
    leave_undecided(one)
    one.append("note-2", jotted())
    project(one, f"sqlite:///{tmp_path}/models.db", passed)
    assert passed.names == set(STEPS)


STRUCK = """
import logging, time
from tests.torture import failpoints
from eventkit.kafka.inflight import InFlight
logging.basicConfig(format="%(message)s")
failpoints.EVERY_ONLY = 0.001
failpoints._FREEZES = failpoints._SLEEPS = (0.01, 0.02, 0.05)
failpoints.arm("test")
for _ in range(300):
    InFlight("").settle([], [])
    time.sleep(0.002)
"""


def struck(seed: int, calm: Path) -> tuple[int, list[str]]:
    """How a process ended that passes one step again and again, and what struck it."""
    told = {SEED: str(seed), ONLY: "acknowledge: in the index", CALM: str(calm)}
    ended = subprocess.run(
        [sys.executable, "-c", STRUCK],
        env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return ended.returncode, ended.stderr.splitlines()


def test_a_process_is_struck_until_it_dies_and_a_frozen_one_wakes_up(tmp_path: Path) -> None:
    seen: set[str] = set()
    for seed in range(20):
        code, strikes = struck(seed, tmp_path / "calm")
        assert code == -signal.SIGKILL
        assert strikes[-1].startswith("killed at: acknowledge: in the index")
        seen |= {it.split()[0] for it in strikes}
        if {"frozen", "one"} <= seen:
            return
    pytest.fail(f"only {seen}")


def test_nothing_is_struck_when_all_is_to_become_well(tmp_path: Path) -> None:
    calm = tmp_path / "calm"
    calm.touch()
    assert struck(1, calm) == (0, [])
