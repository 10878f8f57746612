"""Several processes on one file, and what becomes of it when they are killed."""

import os
import signal
import sqlite3
from collections import Counter
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import pytest

from eventkit.sqlite import SqliteStore
from tests.contract.concurrency import assert_only_winners_are_recorded
from tests.contract.domain import by_aggregate, places, versions
from tests.sqlite.scripts import python
from tests.sqlite.workers import (
    append_until_killed,
    meeting,
    open_and_append,
    race,
    remaining,
    worker,
)

EFFORT = int(os.environ.get("EVENTKIT_TEST_EFFORT", "1"))
"""How many times as many rounds as usual."""

Acknowledged = dict[tuple[str, int], list[str]]


def assert_nothing_is_lost_or_doubled(file: Path, acknowledged: Acknowledged) -> None:
    """See that the log holds all that was acknowledged, whole appends only, and no gap."""
    with SqliteStore(file) as store:
        log = by_aggregate(store.replay())
    for (aggregate_id, version), ids in acknowledged.items():
        stands = log[aggregate_id][version - len(ids) : version]
        assert [item.event_id.hex for item in stands] == ids
    for items in log.values():
        assert versions(items) == [*range(1, len(items) + 1)]
        marks = Counter(places(items))
        assert {mark: int(mark.partition("/")[2]) for mark in marks} == marks
    every = [item.event_id for items in log.values() for item in items]
    assert len(every) == len(set(every))
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def take(receive: Connection, count: int, acknowledged: Acknowledged) -> None:
    """Wait until a process has told of some more appends."""
    for _ in range(count):
        aggregate_id, version, ids = receive.recv()
        acknowledged[aggregate_id, version] = ids


@pytest.mark.parametrize("seed", range(EFFORT))
def test_writers_killed_at_any_point_lose_and_double_nothing(file: Path, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a repeatable choice
    acknowledged: Acknowledged = {}
    SqliteStore(file).close()
    kills = 60
    for kill in range(kills):
        with (
            worker(append_until_killed, file, seed * 1_000 + kill) as (one, from_one),
            worker(append_until_killed, file, seed * 1_000 + kill + kills) as (two, from_two),
        ):
            take(from_one, random.choice((0, 1, 5, 30)), acknowledged)
            kill_one_or_both(random, one, two)
            for receive in (from_one, from_two):
                for aggregate_id, version, ids in remaining(receive):
                    acknowledged[aggregate_id, version] = ids
        if kill % 10 == 9:
            assert_nothing_is_lost_or_doubled(file, acknowledged)
    assert len(acknowledged) > kills


def kill_one_or_both(random: Random, one: BaseProcess, two: BaseProcess) -> None:
    """Kill a writer while the other goes on for a while, or is frozen by then."""
    if random.random() < 0.3:
        os.kill(two.pid or 0, signal.SIGSTOP)
    one.kill()
    one.join()
    two.kill()
    two.join()


def test_a_writer_goes_on_when_the_one_that_held_the_lock_is_killed(file: Path) -> None:
    acknowledged: Acknowledged = {}
    SqliteStore(file).close()
    with worker(append_until_killed, file, 1) as (other, from_other):
        for turn in range(8):
            with worker(append_until_killed, file, 100 + turn) as (_, receive):
                take(receive, 3, acknowledged)
            take(from_other, 3, acknowledged)
        other.kill()
        for aggregate_id, version, ids in remaining(from_other):
            acknowledged[aggregate_id, version] = ids
    assert_nothing_is_lost_or_doubled(file, acknowledged)


def test_each_version_has_one_winner_among_processes(file: Path) -> None:
    won: list[tuple[str, int, str]] = []
    with ExitStack() as stack:
        receivers = [
            stack.enter_context(worker(race, file, racer, 25 * EFFORT))[1] for racer in range(4)
        ]
        for receive in receivers:
            won += receive.recv()
    with SqliteStore(file) as store:
        assert len(won) >= 25
        assert_only_winners_are_recorded(store, won)


@pytest.mark.parametrize("turn", range(8 * EFFORT))
def test_a_new_file_can_be_opened_by_many_processes_at_once(file: Path, turn: int) -> None:
    del turn
    all_here = meeting(8)
    with ExitStack() as stack:
        receivers = [
            stack.enter_context(worker(open_and_append, all_here, file, number, 3))[1]
            for number in range(8)
        ]
        assert [receive.recv() for receive in receivers] == [3] * 8
    with SqliteStore(file) as store:
        found = {key: len(items) for key, items in by_aggregate(store.replay()).items()}
    assert found == {f"parcel-{number}": 3 for number in range(8)}


LEFT_OPEN = """
import sys, threading
from eventkit import Repository
from eventkit.sqlite import SqliteStore
from tests.contract.domain import Parcel, moves

store = SqliteStore(sys.argv[1])
for number in range(1500):
    store.append("parcel-1", moves("a"))
Repository(store, Parcel, snapshot_every=1).get("parcel-1")
replay = store.replay()
next(replay)
def go_on():
    while True:
        store.append("parcel-2", moves("b"))
for _ in range(4):
    threading.Thread(target=go_on, daemon=True).start()
print("done")
"""


def test_a_process_that_ends_without_closing_does_not_hang(file: Path) -> None:
    assert python(LEFT_OPEN, file) == "done\n"
    with SqliteStore(file) as store:
        found = by_aggregate(store.replay())
    assert len(found["parcel-1"]) == 1_500
    for items in found.values():
        assert versions(items) == [*range(1, len(items) + 1)]
