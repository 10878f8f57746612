"""Child processes that cannot outlive the process that started them."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

# Runs in the child before the real program: asks the kernel for SIGKILL when the parent is gone.
# The parent may have died before the question was asked; then there is nobody to work for.
# The kernel forgets the question when the user changes, so that comes first.
_TIED = """\
import ctypes, os, signal, sys
if sys.argv[2]:
    uid, gid = map(int, sys.argv[2].split(":"))
    os.setgroups([]), os.setgid(gid), os.setuid(uid)
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


EXIT_SECONDS = 30


class User(NamedTuple):
    """Who runs a child of root."""

    uid: int
    gid: int


# The kernel means the thread that started the child, not its process: a broker that is restarted
# by a thread would die with that thread. So one thread, which lives to the end, starts them all.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker-starter")


def start(command: Sequence[str], log: Path, user: User | None = None) -> subprocess.Popen[bytes]:
    """Start `command` with its output appended to `log`, as `user` if one is given.

    It gets a session of its own, so that a Ctrl-C in the terminal reaches only the parent, which
    then ends its children in order. On systems other than Linux it may outlive a killed parent.
    """
    if sys.platform == "linux":
        name = f"{user.uid}:{user.gid}" if user else ""
        command = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), name, *command]
        user = None
    return _STARTER.submit(_start, command, log, user).result()


def _start(command: Sequence[str], log: Path, user: User | None) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user and user.uid,
            group=user and user.gid,
            cwd="/" if user else None,
        )


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Send the signal and wait for the end; a process that hangs meanwhile is killed."""
    process.send_signal(how)
    try:
        process.wait(EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(EXIT_SECONDS)
