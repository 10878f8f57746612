"""`projection run --workers N`: one process watches the others, and they end together."""

import json
import os
import re
import signal
import subprocess

from tests.kafka.ledger import folded, held
from tests.kafka.test_group_workers import ACCOUNTS, Log, log
from tests.kafka.worker_kit import fill
from tests.projection.following import SECONDS, until

__all__ = ["log"]


def children(log: Log, parent: "subprocess.Popen[str]") -> list[int]:
    """The processes of the workers, as they say when they begin."""
    return [
        int(pid) for pid in re.findall(r"of 2, process (\d+); handles", log.workers.said(parent))
    ]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_two_workers_share_the_log_and_end_together_when_they_are_told_to(log: Log) -> None:
    fill(log.store, ACCOUNTS, rounds=3)
    parent = log.workers.start("--follow", "--workers", "2")
    until(lambda: log.is_shared(2))
    until(log.is_current)
    running = children(log, parent)
    assert len(running) == 2
    assert log.workers.end(parent) == [0]
    assert all(map(is_gone, running))
    assert log.members() == []
    assert held(log.models) == folded(log.store)


def test_a_worker_that_is_killed_ends_all_and_says_so(log: Log) -> None:
    parent = log.workers.start("--follow", "--workers", "2")
    until(lambda: log.is_shared(2))
    killed, other = children(log, parent)
    os.kill(killed, signal.SIGKILL)
    assert parent.wait(SECONDS) == 128 + signal.SIGKILL
    assert re.search(
        rf"worker \d \(process {killed}\) was killed by SIGKILL; the others are ended",
        log.workers.said(parent),
    )
    assert is_gone(other)


def test_workers_end_when_the_process_that_watches_them_is_killed(log: Log) -> None:
    parent = log.workers.start("--follow", "--workers", "2")
    until(lambda: log.is_shared(2))
    running = children(log, parent)
    parent.kill()
    parent.wait()
    until(lambda: all(map(is_gone, running)))


def test_workers_without_following_end_at_the_end_of_the_log(log: Log) -> None:
    fill(log.store, ACCOUNTS, rounds=20)
    parent = log.workers.start("--workers", "2", "--json")
    assert parent.wait(SECONDS) == 0
    *shared, last = [json.loads(line) for line in log.workers.said(parent).splitlines()]
    assert sum(one["handled"] for one in shared) == ACCOUNTS * 41
    assert [one["handled"] > 0 for one in shared] == [True, True]
    assert (last["handled"], last["state"]) == (0, "ready")  # who sees to it at the end
    assert log.is_ready()
    assert held(log.models) == folded(log.store)
