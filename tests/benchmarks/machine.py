"""What the figures were measured on: the machine, the versions, and how busy it was."""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import confluent_kafka
import psycopg

from tests.benchmarks.spending import busy_seconds
from tools.broker.jars import kafka_version

_SYNCS = 100
_BLOCK = b"x" * 4096
_PACKAGES = ("eventkit-kafka", "eventsourcing", "fastavro", "pydantic", "SQLAlchemy", "psycopg")


class Load(NamedTuple):
    """How busy a machine is.

    Parameters:
        averages: of the last 1, 5 and 15 minutes, as the system counts them.
        busy: the part of all cores that worked while it was looked at; 0 where that is not told.
    """

    averages: tuple[float, float, float]
    busy: float


def load_now(seconds: float) -> Load:
    """Look for some seconds."""
    busy, began = busy_seconds(), time.perf_counter()
    time.sleep(seconds)
    passed = time.perf_counter() - began
    return Load(os.getloadavg(), (busy_seconds() - busy) / passed / (os.cpu_count() or 1))


def machine(folder: Path) -> dict[str, str]:
    """The machine, and what it costs to sync a file in a folder."""
    return {
        "CPU": _named("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "sync of 4 KiB": _sync_cost(folder),
    }


def versions(kafka: str | None, postgres: str | None) -> dict[str, str]:
    """What was used: of the broker and the database too, where they were started."""
    found = {
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "confluent-kafka": f"{version('confluent-kafka')}, librdkafka {_librdkafka()}",
    }
    if kafka is not None:
        found["Kafka"] = f"{kafka_version()}, one broker on this machine"
    if postgres is not None:
        with psycopg.connect(postgres) as connection:
            told = connection.execute("SHOW server_version").fetchone()
        found["PostgreSQL"] = f"{told[0] if told else '?'}, fsync on"
    return found | {name: version(name) for name in _PACKAGES}


def _librdkafka() -> str:
    return str(confluent_kafka.libversion()[0])


def _named(path: str, name: str) -> str:
    """The value after a name in one of Linux's files; empty where there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _memory() -> str:
    told = _named("/proc/meminfo", "MemTotal").split()
    return f"{int(told[0]) / 2**20:.1f} GiB" if told else "unknown"


def _sync_cost(folder: Path) -> str:
    """How long SQLite and the others wait for the disk at least."""
    path, taken = folder / "sync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(_BLOCK)
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    path.unlink()
    return f"{median(taken):.2f} ms (median), {quantiles(taken, n=100)[98]:.2f} ms (p99)"
