"""Opens a store and is killed at one of the statements by which it brings its index up to date.

python -m tests.kafka.dying_follower ADDRESS PREFIX INDEX STATEMENT
"""

import os
import signal
import sqlite3
import sys
from itertools import count
from pathlib import Path

from eventkit.kafka import following, samefile, tails
from eventkit.kafka.indexfile import connect_index
from eventkit.kafka.settings import KafkaSettings
from eventkit.kafka.store import KafkaStore
from tests.kafka.conftest import QUICK

address, prefix, index, last = sys.argv[1:]
statements = count(1)


def die_in_time(_statement: str) -> None:
    if next(statements) == int(last):
        os.kill(os.getpid(), signal.SIGKILL)


def connect(path: Path, *, timeout: float, create: bool = False) -> sqlite3.Connection:
    connection = connect_index(path, timeout=timeout, create=create)
    connection.set_trace_callback(die_in_time)
    return connection


tails._MOST = 7  # records in a batch
for module in (following, samefile):
    setattr(module, "connect_index", connect)  # noqa: B010 - which mypy takes for not exported
KafkaStore(KafkaSettings(address, QUICK), index=index, prefix=prefix).close()
