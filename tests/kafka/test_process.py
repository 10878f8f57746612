"""Brokers end with the process that started them, and only with it."""

import fcntl
import subprocess
import sys
from pathlib import Path
from threading import Thread

from tools.broker import process

# Takes a lock on a file, says so in another, and keeps it for as long as it lives.
LOCKER = """\
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""

# Starts LOCKER as brokers are started, and waits to be killed.
PARENT = """\
import pathlib, sys, time
from tools.broker import process
child = process.start([sys.executable, "-c", sys.argv[1], sys.argv[2]], pathlib.Path(sys.argv[3]))
while "locked" not in pathlib.Path(sys.argv[3]).read_text():
    time.sleep(0.01)
print("up", flush=True)
time.sleep(600)
"""


def test_a_killed_process_takes_its_children_along(tmp_path: Path) -> None:
    lock, log = tmp_path / "lock", tmp_path / "log"
    command = [sys.executable, "-c", PARENT, LOCKER, str(lock), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"up\n"
        parent.kill()
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # comes back when the child is gone


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    children: list[subprocess.Popen[bytes]] = []
    go_on = tmp_path / "go-on"
    waits = f"import os, time\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.01)"
    command = [sys.executable, "-c", waits]
    thread = Thread(target=lambda: children.append(process.start(command, tmp_path / "log")))
    thread.start()
    thread.join()
    go_on.touch()
    assert children[0].wait() == 0
