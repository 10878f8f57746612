"""How much memory a process has."""

from __future__ import annotations

import resource
from pathlib import Path

from tests.benchmarks.results import Aim

FLAT_MEGABYTES = 16
FLAT = Aim(FLAT_MEGABYTES, most=True)
"""What counts as not growing: bounded caches fill late, and the allocator keeps some."""


def resident() -> int:
    """Bytes of memory of this process now; where that cannot be told, at most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()
