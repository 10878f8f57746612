"""What measurements share: sizes, a broker and a database that start when they are wanted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self

import psycopg
from psycopg.sql import SQL, Identifier

from eventkit import connect
from tests.benchmarks.kafka_log import Log, fill, fresh_log
from tests.benchmarks.spending import Spendings, Watch
from tools.broker.cluster import FULL_SPEED, Wanted
from tools.broker.from_jars import start_from_jars
from tools.broker.jar_node import JarNode
from tools.postgres.local_server import LocalServer
from tools.postgres.sources import choose


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Parameters:
        rounds: how often; medians are told.
        long_rounds: the same of what reads the whole log.
        part: of the calls that a whole run makes.
        lengths: of the aggregates that are loaded.
        events: of the log that is read.
        peer_events: that the peer projects: it takes a transaction for each.
        memory: appends to see memory stay flat after as many that fill the caches.
        delays: appends that are watched until a row is there.
        contending: seconds of contention.
        loading: seconds that one aggregate is loaded again and again.
    """

    rounds: int = 5
    long_rounds: int = 3
    part: float = 1.0
    lengths: tuple[int, ...] = (1, 10, 100, 1_000, 2_000, 10_000)
    events: int = 1_000_000
    peer_events: int = 5_000
    memory: int = 300_000
    delays: int = 200
    contending: float = 10.0
    loading: float = 0.3

    def calls(self, whole: int, callers: int) -> int:
        """So many of the calls of a whole run, but two for each caller at least."""
        return max(int(whole * self.part), 2 * callers)


QUICK = Sizes(
    rounds=1, long_rounds=1, part=0.1, lengths=(1, 10, 100, 1_000, 2_000), events=40_000,
    peer_events=500, memory=10_000, delays=40, contending=3.0, loading=0.05,
)  # fmt: skip


class Kit:
    """Starts servers when they are wanted first, and ends them.

    Parameters:
        folder: where everything is kept meanwhile.
        sizes: how much is measured.
    """

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder = folder
        self.sizes = sizes
        self.problems: dict[str, str] = {}
        self._stack = ExitStack()
        self._pids: dict[str, int] = {}
        self._kafka: str | None = None
        self._postgres: str | None = None
        self._filled: Log | None = None
        self._warm: Path | None = None
        self._numbers = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def kafka(self) -> str:
        """The address of a broker.

        Raises:
            Exception: none can be started.
        """
        if self._kafka is None:
            self._kafka = self._started("Kafka", self._start_kafka)
        return self._kafka

    @property
    def postgres(self) -> str:
        """The URL of a PostgreSQL server.

        Raises:
            Exception: none can be started.
        """
        if self._postgres is None:
            self._postgres = self._started("PostgreSQL", self._start_postgres)
        return self._postgres

    @property
    def known_postgres(self) -> str | None:
        """The same where it is wanted for a comparison only: None if there is none."""
        try:
            return self.postgres
        except Exception:  # noqa: BLE001 - the report tells it as a problem
            return None

    @property
    def running(self) -> tuple[str | None, str | None]:
        """The broker and the database that were started so far."""
        return self._kafka, self._postgres

    def watch(self) -> Watch:
        """Look where the processor time goes in a block."""
        return Watch(self._pids)

    def spendings(self) -> Spendings:
        """The same over rounds."""
        return Spendings(self._pids)

    def filled(self) -> Log:
        """A log with all events of the sizes, ten to an aggregate."""
        if self._filled is None:
            log = fresh_log(self.kafka)
            fill(log, self.sizes.events // 10, 10)
            self._filled = log
        return self._filled

    def warm_index(self) -> Path:
        """The index file of that log, built already: whoever runs workers on a host has one."""
        if self._warm is None:
            index = self.room() / "index.db"
            connect(self.filled().url, index=index).close()
            self._warm = index
        return self._warm

    def index(self) -> str:
        """A name for a new index file."""
        return f"{self.room()}/index.db"

    def room(self) -> Path:
        """A new folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    @contextmanager
    def passing_room(self) -> Iterator[Path]:
        """A folder that goes at the end of the block."""
        room = self.room()
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database of PostgreSQL; it goes at the end of the block."""
        server, name = self.postgres, f"bench_{next(self._numbers)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                drop = SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name))
                connection.execute(drop)

    def _started(self, name: str, start: Callable[[], str]) -> str:
        if name in self.problems:
            raise RuntimeError(f"there is no {name}: see above")
        try:
            return start()
        except Exception as error:
            self.problems[name] = f"{type(error).__name__}: {error}"
            raise

    def _start_kafka(self) -> str:
        cluster = start_from_jars(self.folder / "kafka", Wanted(java=FULL_SPEED))
        self._stack.callback(cluster.close)
        node = cluster.nodes[1]
        if isinstance(node, JarNode) and node.pid:
            self._pids["the broker"] = node.pid
        return cluster.bootstrap

    def _start_postgres(self) -> str:
        server = choose().make()
        self._stack.callback(server.close)
        server.start()
        if isinstance(server, LocalServer):
            kept = server.log.parent / "data" / "postmaster.pid"
            self._pids["PostgreSQL"] = int(kept.read_text(encoding="ascii").split()[0])
        return server.url
