"""What a check-up says, line by line."""

from __future__ import annotations

import os
import shutil
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class State(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(NamedTuple):
    """One line of a check-up.

    Parameters:
        what: was looked at.
        state: how it is.
        told: what was seen.
        fix: how to mend it, with the exact command where there is one.
        unusable: the store cannot be used like this.
    """

    what: str
    state: State
    told: str
    fix: str = ""
    unusable: bool = False


_LITTLE, _TOO_LITTLE = 1 << 30, 100 << 20


def ok(what: str, told: str) -> Check:
    """All is well."""
    return Check(what, State.OK, told)


def warning(what: str, told: str, fix: str) -> Check:
    """It works, and may not go on to."""
    return Check(what, State.WARNING, told, fix)


def problem(what: str, told: str, fix: str, *, unusable: bool = False) -> Check:
    """It does not work."""
    return Check(what, State.PROBLEM, told, fix, unusable)


def disk_space(folder: Path) -> Check:
    """How much room there is in a folder."""
    what = f"disk space of {folder}"
    try:
        free = shutil.disk_usage(folder).free
    except FileNotFoundError:
        return problem(what, "the folder is not there", f"mkdir -p {folder}", unusable=True)
    told = f"{free / (1 << 30):,.1f} GiB free"
    if free < _TOO_LITTLE:
        return problem(what, told, f"make room: du -xh {folder} | sort -h | tail")
    if free < _LITTLE:
        return warning(what, told, f"make room: du -xh {folder} | sort -h | tail")
    return ok(what, told)


def writable(path: Path) -> Check:
    """Whether this user may write a file, and beside it, where SQLite keeps its log."""
    folder = path.parent
    what = f"permissions of {path}"
    if not folder.is_dir():
        return problem(what, "its folder is not there", f"mkdir -p {folder}", unusable=True)
    wrong = [it for it in (path, folder) if it.exists() and not os.access(it, os.R_OK | os.W_OK)]
    if wrong:
        told = f"this user may not read and write {' and '.join(map(str, wrong))}"
        fix = f"chmod u+rw {' '.join(map(str, wrong))}, as its owner"
        return problem(what, told, fix, unusable=True)
    return ok(what, "this user may read and write it" if path.exists() else "it can be made")
