"""Child processes that cannot outlive the process that started them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Runs in the child before the real program: asks the kernel for SIGKILL when the parent is gone.
# The parent may have died before the question was asked; then there is nobody to work for.
_TIED = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""

# The kernel means the thread that started the child, not its process: a broker that is restarted
# by a thread would die with that thread. So one thread, which lives to the end, starts them all.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker-starter")


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start `command` with its output appended to `log`.

    It gets a session of its own, so that a Ctrl-C in the terminal reaches only the parent, which
    then ends its children in order. On systems other than Linux it may outlive a killed parent.
    """
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command]
    return _STARTER.submit(_start, command, log).result()


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
