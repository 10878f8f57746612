"""A temporary folder goes with the process that made it, and with no other."""

import subprocess
import sys
from pathlib import Path

import pytest

from eventkit.kafka.folder import TemporaryFolder

SECONDS = 30.0

# How the child ends: both run what Python runs at the end of a process, or of an object.
FORKS = """
import os, sys
from eventkit.kafka.folder import TemporaryFolder

folder = TemporaryFolder()
file = folder.path / "index.db"
file.touch()
child = os.fork()
if child == 0:
    {ends}
os.waitpid(child, 0)
print(file, file.exists())
"""


@pytest.mark.parametrize("ends", ["sys.exit(0)", "folder.remove(); del folder; os._exit(0)"])
def test_it_outlives_a_forked_process_and_goes_with_its_own(ends: str) -> None:
    script = FORKS.format(ends=ends)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    file, existed = done.stdout.split()
    assert (existed, done.stderr) == ("True", "")
    assert not Path(file).parent.exists()


def test_it_is_removed_with_all_that_is_in_it_once() -> None:
    folder = TemporaryFolder()
    folder.path.joinpath("index.db").touch()
    folder.remove()
    assert not folder.path.exists()
    folder.path.mkdir()
    folder.remove()
    folder.path.rmdir()


def test_it_goes_with_who_had_it() -> None:
    folder = TemporaryFolder()
    path = folder.path
    del folder
    assert not path.exists()
