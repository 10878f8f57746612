"""Whether the snapshots in their topics say what a replay says; folded while the log is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from shlex import quote
from typing import Any

from confluent_kafka import Message

from eventkit.aggregate import Aggregate
from eventkit.codec import AvroCodec
from eventkit.errors import EventkitError
from eventkit.events import Position
from eventkit.health.findings import Finding, Kind
from eventkit.health.snapshots import Refold, Sample, is_used
from eventkit.kafka.index import Partition
from eventkit.kafka.layout import LogLayout
from eventkit.kafka.reading import LogRecord
from eventkit.kafka.rule import Home
from eventkit.kafka.scanning.log import row_of
from eventkit.kafka.snapshots.record import Placed, is_newer, read
from eventkit.kafka.snapshots.tail import belongs
from eventkit.sqlite.rows import recorded


class SnapshotAudit:
    """The newest snapshots of some aggregates, and the replays of these as far as they have come.

    Memory grows with the number of snapshots that are compared.

    Parameters:
        layout: the topics.
        class_of: the aggregate class of a category.
        most: how many snapshots to compare; None compares all.
        bootstrap: the brokers, for commands.
    """

    def __init__(
        self,
        layout: LogLayout,
        class_of: Callable[[str], type[Aggregate] | None],
        most: int | None,
        bootstrap: str,
    ) -> None:
        self._layout = layout
        self._class_of = class_of
        self._sample = Sample(most)
        self._bootstrap = bootstrap
        self._newest: dict[str, Placed] = {}
        self._refolds: dict[str, Refold] = {}
        self.compared = 0

    def offer(self, partition: Partition, messages: Sequence[Message]) -> Iterator[Finding]:
        """Take records of a topic of snapshots, in their order."""
        for message in messages:
            key: Any = message.key()
            value: Any = message.value()
            if value is None:  # a tombstone
                self._newest.pop((key or b"").decode(errors="replace"), None)
                continue
            placed = read(key, value)
            if placed is None:
                yield self._stranger(partition, message, key)
            elif belongs(placed, partition[0], self._layout):
                self._keep(placed)

    def begin(self) -> None:
        """All was offered: begin the replays of those that today's code would use."""
        for aggregate_id, (snapshot, _) in self._newest.items():
            cls = self._class_of(aggregate_id.partition("-")[0])
            if cls is not None and is_used(snapshot, cls):
                self._refolds[aggregate_id] = Refold(snapshot, cls)

    def add(
        self, partition: Partition, accepted: Sequence[LogRecord], codec: AvroCodec
    ) -> Iterator[Finding]:
        """Fold events that took effect; tells of each snapshot once the replay is there."""
        if not self._refolds:
            return
        place = partial(Position, *partition)
        for record in accepted:
            refold = self._refolds.get(record.aggregate_id)
            if refold is None:
                continue
            try:
                refold.add([recorded(row_of(record), codec, place)])
            except EventkitError:  # told by those who look at bodies
                del self._refolds[record.aggregate_id]
                continue
            if refold.is_done:
                yield from self._verdict(record.aggregate_id, partition, record.offset)

    def unfinished(self, homes: dict[Partition, Home]) -> Iterator[Finding]:
        """What is left when all partitions were read: of aggregates that have not so many events.

        Parameters:
            homes: the partitions that were read.
        """
        for aggregate_id in list(self._refolds):
            home = self._layout.partition_of(aggregate_id)
            if home in homes:
                yield from self._verdict(aggregate_id, home, None)

    def _keep(self, placed: Placed) -> None:
        aggregate_id = placed.snapshot.aggregate_id
        known = self._newest.get(aggregate_id)
        if known is not None:
            if is_newer(placed.snapshot, known.snapshot):
                self._newest[aggregate_id] = placed
            return
        self._newest[aggregate_id] = placed
        gone = self._sample.offer(aggregate_id)
        if gone is not None:
            self._newest.pop(gone, None)

    def _verdict(
        self, aggregate_id: str, partition: Partition, offset: int | None
    ) -> Iterator[Finding]:
        refold = self._refolds.pop(aggregate_id)
        self.compared += 1
        said = self._newest[aggregate_id].place.offset
        problem = refold.problem()
        if problem is None and offset != said:
            problem = f"the snapshot names offset {said} for its last event, which is at {offset}"
        if problem is None:
            return
        topic, number = self._layout.snapshots_of(aggregate_id)
        yield Finding(
            Kind.SNAPSHOT,
            problem,
            f"printf '%s|NULL\\n' {quote(aggregate_id)} | kafka-console-producer.sh "
            f"--bootstrap-server {self._bootstrap} --topic {topic} --property parse.key=true "
            "--property key.separator='|' --property null.marker=NULL",
            Position(topic, number, 0) if offset is None else Position(*partition, offset),
            aggregate_id,
        )

    def _stranger(self, partition: Partition, message: Message, key: bytes | None) -> Finding:
        return Finding(
            Kind.SNAPSHOT,
            "it is no snapshot that this eventkit can read",
            "nothing: it is passed over, which costs the time of a replay",
            Position(*partition, message.offset() or 0),
            (key or b"").decode(errors="replace") or None,
        )
