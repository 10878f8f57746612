"""Keeping up with the log: one store of a host follows it into the index, the others watch."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from eventkit.errors import NotAnEventStore, StoreBusy, StoreCorrupted, StoreUnavailable
from eventkit.events import Position
from eventkit.kafka.committed import Accepted, CommittedTail, Listener, Rejected
from eventkit.kafka.heads import KnownHeads
from eventkit.kafka.index import Partition, Partitions
from eventkit.kafka.indexfile import (
    Deposed,
    IndexWriter,
    LogId,
    add_partitions,
    connect_index,
    delete_index,
    is_index,
    make_tables,
    progress_of,
)
from eventkit.kafka.inflight import InFlight, Waiting
from eventkit.kafka.locks import FollowerLock
from eventkit.kafka.names import Names
from eventkit.kafka.rule import Home
from eventkit.kafka.samefile import SameFile
from eventkit.kafka.tails import Tail
from eventkit.kafka.view import View
from eventkit.sqlite.failures import translated

log = logging.getLogger("eventkit.kafka")

_BUSY, _IDLE = 0.001, 0.02
"""Seconds between two looks of a watcher, while somebody waits and while nobody does."""
_FROZEN = 2.0
"""Seconds after which one who follows and gives no sign of life is replaced."""
_FOUND = "SELECT position, version FROM events WHERE event_id = ? AND aggregate_id = ?"


class Following:
    """A thread that keeps a store's view of the log up to date.

    The one that gets the lock follows: it reads the log and writes the index. The others look into
    the index, and take over when the lock is free.

    Parameters:
        path: of the index.
        log_id: which log it is an index of; another one's is made anew.
        homes: the partitions.
        settings: of the consumer.
        timeout: seconds to wait for locks of SQLite.
        beside: makes another tail that runs while this store follows, given its number.
    """

    def __init__(
        self,
        path: Path,
        log_id: LogId,
        homes: Mapping[Partition, Home],
        settings: Mapping[str, Any],
        *,
        timeout: float,
        beside: Callable[[int], Tail] | None = None,
    ) -> None:
        self._beside = beside
        self.known = KnownHeads()
        self._path = path
        self._log_id = log_id
        self._homes = homes
        self._settings = settings
        self._timeout = timeout
        self._view = View(dict.fromkeys(homes, 0), "")
        self._in_flight = InFlight("")
        self._stop = threading.Event()
        self._tail: CommittedTail | None = None
        self._file = SameFile(path, timeout)
        self._lock = FollowerLock(path)
        self._following = self._has_lock = False
        self._patience = 0.0
        self._partitions: Partitions | None = None
        self._thread = threading.Thread(target=self._work, name="eventkit follower", daemon=True)

    def prepare(self) -> Partitions:
        """Make the index, or wait until its follower has made it; returns its layout.

        Raises:
            NotAnEventStore: the file is something else.
            StoreError: it cannot be read or written, or is another log's and in use.
        """
        deadline = monotonic() + self._timeout
        while True:
            if self._following or self._take_lock():
                self._make()
            connection = self._file.hold()
            if connection is not None and self._is_index(connection):
                break
            if monotonic() > deadline:
                raise StoreUnavailable(
                    f"the index {self._path} is of another log, and in use. Give each log an index "
                    "file of its own."
                    if connection is not None
                    else f"the index {self._path} is not there, and a process that holds its lock "
                    "file does not make it. Find that process and end it."
                )
            sleep(_IDLE)
        with translated(str(self._path)):
            if not self._homes.keys() <= progress_of(connection).keys():
                add_partitions(connection, self._log_id, self._homes)
            self._partitions = Partitions(
                connection, {part: home.category for part, home in self._homes.items()}
            )
        return self._partitions

    def _make(self) -> None:
        """See that there is a sound index of this log.

        Only the holder of the lock may, and only before it reads: whatever else is there is
        replaced by a new file, so that those who use the old one can tell. That the lock file is
        there says whose the file is, even if nothing in it can be read.
        """
        existing = partial(connect_index, self._path, timeout=self._timeout)
        if self._path.exists():
            if self._is_sound(existing):
                return
            log.warning("%s is damaged or of another log, and is built again", self._path)
        delete_index(self._path)
        with closing(existing(create=True)) as connection, translated(str(self._path)):
            make_tables(connection, self._log_id)

    def _is_sound(self, connect: Callable[[], sqlite3.Connection]) -> bool:
        try:
            with closing(connect()) as connection:
                return self._is_index(connection)
        except (StoreCorrupted, NotAnEventStore) as error:
            if isinstance(error, NotAnEventStore) and error.__cause__ is None:
                raise
            return False

    def _is_index(self, connection: sqlite3.Connection) -> bool:
        with translated(str(self._path)):
            return is_index(connection, self._log_id)

    def _take_lock(self) -> bool:
        """Follow, if nobody does."""
        self._has_lock = self._following = monotonic() > self._patience and self._lock.take()
        if self._following:
            self._lock.beat()
        return self._following

    def _take_over(self) -> bool:
        """Follow in place of one who holds the lock and is frozen; it is deposed in the index."""
        if self._lock.silence() < _FROZEN:
            return False
        log.warning("who follows the log into %s is frozen; taking over", self._path)
        self._following = True
        self._lock.beat()
        return True

    def _beat(self) -> None:
        self._look_around()
        self._lock.beat()
        if not self._has_lock:
            self._has_lock = self._lock.take()

    @property
    def applied(self) -> dict[Partition, int]:
        """How far the index has come."""
        with closing(self.connect()) as connection:
            progress = progress_of(connection)
        return {partition: progress[partition].decided for partition in self._homes}

    def start(self, view: View, in_flight: InFlight) -> None:
        """Begin to keep up.

        Parameters:
            view: told how far the index has come.
            in_flight: told what became of appends.
        """
        self._view, self._in_flight = view, in_flight
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; `close` waits for it."""
        self._stop.set()
        tail = self._tail
        if tail is not None:
            tail.stop()

    def close(self) -> None:
        """End the thread; another store of this host takes over."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._file.close()
        self._lock.close()

    @property
    def is_follower(self) -> bool:
        """Whether it is this store that follows the log."""
        return self._following

    def connect(self) -> sqlite3.Connection:
        """One more connection to the index that was prepared, never to another file.

        Raises:
            StoreUnavailable: it was deleted or replaced.
        """
        return self._file.connect()

    def check(self) -> None:
        """See that the index was there when it was looked at last; costs nothing.

        Raises:
            StoreUnavailable: it was not.
        """
        self._file.check_known()

    def _look_around(self) -> None:
        """See that the index and its lock are the files that others find."""
        self._file.is_lost = self._file.is_lost or not self._lock.is_in_place()
        self._file.check()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    if self._following:
                        self._follow()
                    else:
                        self._watch()
                except StoreBusy as error:
                    self._give_way(error)
        except BaseException as error:  # noqa: BLE001 - told to all who wait
            log.error("the log is not followed any more: %s", error)  # noqa: TRY400 - it is told
            self._view.fail(error)
            self._let_go()

    def _give_way(self, error: StoreBusy) -> None:
        """Try again later: whoever is frozen may have been so in the middle of writing the index.

        SQLite's lock goes when that process goes on or dies, and not before.
        """
        log.warning("the index is locked, trying again: %s", error)
        self._let_go()

    def _let_go(self) -> None:
        """Follow no more; another store may take the lock."""
        self._following = self._has_lock = False
        self._lock.release()

    def _follow(self) -> None:
        if not self._is_sound(self.connect):
            # Readers of this store have that file open: the next store that opens makes it anew.
            raise StoreUnavailable(
                f"the index {self._path} is damaged. Close the store and open it again: then the "
                "index is built again from Kafka."
            )
        with closing(self.connect()) as connection, closing(self.connect()) as lookup:
            index = IndexWriter(connection, lookup, str(self._path), self._log_id, self._homes)
            homes = {**self._homes, **self._later_homes(index.progress())}
            tail = CommittedTail(
                "eventkit follower", self._settings, homes, index, self.known,
                Listener(self._in_flight, self._applied, self._beat),
            )  # fmt: skip
            beside: Tail | None = None
            try:
                self._look(connection)
                self._tail = tail
                if self._beside is not None:
                    beside = self._beside(index.follower)
                    beside.start()
                if not self._stop.is_set():
                    tail.run()
            except Deposed:
                log.warning("another store follows the log into %s now", self._path)
                self._let_go()
                self._patience = monotonic() + _FROZEN  # the other one takes the lock before us
            finally:
                self._tail = None
                if beside is not None:
                    beside.close()
                tail.close()

    def _applied(
        self, accepted: Accepted, rejected: Rejected, offsets: Mapping[Partition, int]
    ) -> None:
        if self._in_flight:
            self._in_flight.settle(accepted, rejected)
            self._in_flight.settle_passed(offsets)
        self._view.add_applied({part: it for part, it in offsets.items() if part in self._homes})

    def _later_homes(self, indexed: Iterable[Partition]) -> dict[Partition, Home]:
        """Partitions of topics that were made after this store was opened.

        Stores that were opened later read them from this index, so whoever follows follows them.
        """
        names = Names.of_registry(self._log_id.cluster)  # there may have been no topic
        counts = Counter(topic for topic, _ in indexed)
        return {
            (topic, part): Home(category, part, count)
            for topic, count in counts.items()
            if (category := names.category_of(topic)) is not None
            for part in range(count)
            if (topic, part) not in self._homes
        }

    def _watch(self) -> None:
        with closing(self.connect()) as connection:
            seen = -1
            while not self._stop.is_set():
                self._look_around()
                with translated(str(self._path)):
                    (version,) = connection.execute("PRAGMA data_version").fetchone()
                    if version != seen or self._in_flight:
                        self._look(connection)
                seen = version
                if self._take_lock() or self._take_over():
                    return
                busy = len(self._in_flight) or self._view.waiters()
                self._stop.wait(_BUSY if busy else _IDLE)

    def _look(self, connection: sqlite3.Connection) -> None:
        """Tell what the index says: what became of appends, then how far it has come."""
        pending = self._in_flight.pending()
        progress = progress_of(connection)
        found: list[tuple[Waiting, Position, int]] = []
        missing: list[Waiting] = []
        for waiting in pending:
            row = connection.execute(
                _FOUND, (waiting.event_ids[-1].bytes, waiting.aggregate_id)
            ).fetchone()
            if row is not None:
                found.append((waiting, self._place(row[0]), row[1]))
            elif 0 <= waiting.last_offset < progress[waiting.partition].decided:
                missing.append(waiting)
        if found:
            self._in_flight.settle_found(found)
        if missing:
            self._in_flight.settle_missing(missing)
        self._view.add_applied(
            {part: it.decided for part, it in progress.items() if part in self._homes}
        )

    def _place(self, number: int) -> Position:
        assert self._partitions is not None  # noqa: S101 - `prepare` comes before `start`
        return self._partitions.place(number)
