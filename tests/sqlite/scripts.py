"""Scripts that run in a process of their own."""

import subprocess
import sys
from typing import Any

from tests.unit.source import ROOT


def python(script: str, *arguments: Any) -> str:
    """Return what a script prints in a process of its own, which ends well."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
